//! The real metadata service, for the little of it that is not about identities, where the operator lets the pod read it.

use std::net::SocketAddrV4;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use podbadge_sidecar_core::pass_through::PassThrough as Paths;
use podbadge_sidecar_core::request::Rejection;
use rustls::RootCertStore;
use tracing::debug;

use crate::guard;

/// It is on the same machine. Where there is none, as off Azure, nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The whole instance document has some ten kilobytes.
const LONGEST: usize = 256 * 1024;
/// Says who asks: what bears it has come back by a redirection that does not exempt us, and would go round for ever.
static MARK: HeaderName = HeaderName::from_static("podbadge-pass-through");

pub(crate) struct PassThrough {
    paths: Paths,
    service: SocketAddrV4,
    /// Made at the first request: almost no pod has one.
    client: OnceLock<reqwest::Client>,
}

// === impl PassThrough ===

impl PassThrough {
    pub(crate) fn new(paths: Paths, service: SocketAddrV4) -> Self {
        Self { paths, service, client: OnceLock::new() }
    }

    /// The service's answer, none if this is nothing to be passed on.
    pub(crate) async fn answer(&self, parts: &Parts) -> Result<Option<Response>, Rejection> {
        let head = guard::head(parts);
        if parts.headers.contains_key(&MARK) {
            return Ok(None);
        }
        let Some(path) = self.paths.path(&head)? else {
            return Ok(None);
        };
        let url = format!("http://{}{path}?{}", self.service, head.query);
        match tokio::time::timeout(PATIENCE, self.ask(&url)).await {
            Ok(Ok(response)) => Ok(Some(response)),
            Ok(Err(error)) => Ok(Some(unreachable(&error.without_url().to_string()))),
            Err(_) => Ok(Some(unreachable("it did not answer within a second"))),
        }
    }

    async fn ask(&self, url: &str) -> reqwest::Result<Response> {
        let client = match self.client.get() {
            Some(client) => client,
            None => {
                let made = client()?;
                self.client.get_or_init(|| made)
            }
        };
        let request = client.get(url).header("Metadata", "true").header(&MARK, "1");
        let mut answer = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > LONGEST {
                return Ok(unreachable("its answer has no end"));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = answer.status();
        // No other header is the application's business.
        if let Some(kind) = answer.headers().get(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        Ok(response)
    }
}

/// No redirects, no proxy, and no TLS, which the client will not be made without.
fn client() -> reqwest::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).http1_only();
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    match tls {
        Ok(tls) => {
            let tls = tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            builder.tls_backend_preconfigured(tls).build()
        }
        Err(_) => builder.build(),
    }
}

fn unreachable(why: &str) -> Response {
    debug!(why, "Nothing came from the metadata service");
    let body = serde_json::json!({"error": format!("The metadata service cannot be asked: {why}")}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
