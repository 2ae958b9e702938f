//! HTTPS to whoever exchanges tokens: no redirects (an assertion is never posted twice), no more of an answer than a token needs, no
//! proxy but the one that is set.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use podbadge_sidecar_core::error::EntraError;
use podbadge_sidecar_core::text::one_line;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{ClientBuilder, Proxy};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use url::Host;

const CONNECT: Duration = Duration::from_secs(4);
/// A pod asks for several tokens at its start and then rarely.
const IDLE: Duration = Duration::from_secs(20);
/// Tokens with many groups reach some tens of kilobytes.
const LONGEST: usize = 256 * 1024;

/// A client with its connections; a clone shares them.
#[derive(Clone)]
pub(super) struct Https(reqwest::Client);

/// Where a server is to be found that is asked by another name.
pub(super) struct At(pub(super) Host);

/// An answer that is no OAuth answer, or none at all. The texts go on after who was asked and hold nothing of a body
/// but an error's description.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// The client cannot be made.
    #[error("cannot be asked: {0}")]
    Unusable(String),
    /// No connection, no TLS, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody answers, without a certificate that is trusted.
    #[error("cannot be reached: {0}")]
    Untrusted(String),
    /// Longer than anybody waits.
    #[error("did not answer within {} seconds", .0.as_secs())]
    Slow(Duration),
    /// 429.
    #[error("asked for patience")]
    Throttled { retry_after: Option<Duration> },
    /// 5xx, a redirect, or another status that the protocol does not have.
    #[error("answered {status}{description}")]
    Status { status: StatusCode, description: String, retry_after: Option<Duration> },
    /// Understood, and no: what the `oauth2` crate would read without the codes and the status.
    #[error("answered {status}: {}", .error.error)]
    Refused { status: StatusCode, error: EntraError },
    /// HTML most of the time.
    #[error("answered {status} with {kind} instead of JSON: is something else answering in its place?")]
    NotJson { status: StatusCode, kind: String },
    /// JSON, but neither a token nor an OAuth error.
    #[error("answered with JSON that is neither a token nor an error of OAuth 2.0")]
    NoToken,
    /// More than [`LONGEST`].
    #[error("answered with more than {LONGEST} bytes")]
    TooLong,
}

// === impl Fault ===

impl Fault {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the authority may answer soon. A page of HTML, a redirect or strange JSON comes from something else that
    /// stands in its place, and will.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Slow(_) | Self::Throttled { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            _ => false,
        }
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        // The outermost text repeats the URL; the causes say what happened.
        let mut causes = Vec::new();
        let (mut cause, mut untrusted) = (error.source(), false);
        while let Some(error) = cause {
            causes.push(error.to_string());
            untrusted |= is_untrusted(error);
            cause = error.source();
        }
        if causes.is_empty() {
            causes.push(error.without_url().to_string());
        }
        let text = one_line(&causes.join(": "));
        if untrusted { Self::Untrusted(text) } else { Self::Unreachable(text) }
    }
}

/// An I/O error does not count what it was made of among its sources, and it may have been made of another one.
fn is_untrusted(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut innermost = cause;
    while let Some(inner) = innermost.downcast_ref().and_then(std::io::Error::get_ref) {
        innermost = inner;
    }
    matches!(innermost.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

// === impl Https ===

impl Https {
    /// A client that trusts `roots` alone, and asks `at`, if there is one, whatever host it is told.
    pub(super) fn new(roots: RootCertStore, proxy: Option<Proxy>, at: Option<At>) -> Result<Self, anyhow::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("podbadge-sidecar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1);
        // Its own look at the environment is not wanted: settings are read in one place.
        let client = proxy.into_iter().fold(client.no_proxy(), ClientBuilder::proxy);
        let client = at.into_iter().fold(client, |client, at| client.dns_resolver(Arc::new(at)));
        Ok(Self(client.build()?))
    }

    /// What comes back is JSON of a 200, or of a 4xx that is no refusal.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Fault> {
        let response = self.0.execute(request.try_into()?).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let retry_after = retry_after(&headers);
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Fault::Throttled { retry_after });
        }
        let body = body(response).await?;
        let transient = status == StatusCode::REQUEST_TIMEOUT;
        if transient || !(status == StatusCode::OK || status.is_client_error()) {
            return Err(Fault::Status { status, description: described(&body), retry_after });
        }
        let kind = headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        if let Some(kind) = kind.filter(|kind| !kind.to_ascii_lowercase().starts_with("application/json")) {
            return Err(Fault::NotJson { status, kind: one_line(&kind) });
        }
        if status.is_client_error()
            && let Ok(error) = serde_json::from_slice(&body)
        {
            return Err(Fault::Refused { status, error });
        }
        let mut answer = HttpResponse::new(body);
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

impl<'c> AsyncHttpClient<'c> for Https {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Fault>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

// === impl At ===

impl Resolve for At {
    /// The name is not looked at: no name server need know it. Ports are the caller's.
    fn resolve(&self, _: Name) -> Resolving {
        let Self(host) = self;
        let host = match host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST {
            return Err(Fault::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Seconds, or a date (RFC 9110 section 10.2.3), which is compared with the answer's own: the clocks of two machines differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim());
    let value = text(RETRY_AFTER)?;
    let seconds = value.parse().ok().map(Duration::from_secs);
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    seconds.or_else(|| Some(date(value)?.duration_since(date(text(DATE)?)?).unwrap_or_default()))
}

/// Entra's own words of a 5xx, if there are any.
fn described(body: &[u8]) -> String {
    match serde_json::from_slice::<EntraError>(body) {
        Ok(error) => format!(": {}", one_line(&format!("{} {}", error.error, error.error_description))),
        Err(_) => String::new(),
    }
}
