//! The exchange with Entra ID, or with what stands before it: the pod's token goes there as a client assertion, an access
//! token comes back
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>, third case).

mod answer;
mod client;
mod transport;

use std::time::Duration;

use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{AuthType, Client, ClientId, RequestTokenError, Scope, StandardRevocableToken, TokenUrl};
use podbadge_runtime::backoff::Backoff;
use podbadge_sidecar_core::assertion::Assertion;
use podbadge_sidecar_core::error::Failure;
use podbadge_sidecar_core::freshness::{Lifetime, Upkeep};
use podbadge_sidecar_core::grant::Grant;
use podbadge_sidecar_core::response::AccessToken;
use podbadge_sidecar_core::retry::{self, Attempt};
use reqwest::Url;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;
use zeroize::Zeroize as _;

use crate::broker::Exchange;
use crate::cache::Key;
use crate::chance::jitter;
use crate::clock::Clock;
use crate::config::{Entra as Config, TokenProxy};
use crate::metrics::Metrics;
use crate::token_file::{self, TokenFile};
use answer::Granted;
use client::Clients;
use transport::Fault;

/// For everything between a request and its answer; clients give up after ten seconds and more.
const DEADLINE: Duration = Duration::from_secs(9);
/// Entra's code for an assertion out of its time: then the kubelet may just have replaced the file.
const OUT_OF_TIME: u32 = 700_024;
/// Of attempts within one exchange: four or five fit into its time.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));

type OAuth = Client<
    BasicErrorResponse,
    Granted,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

pub(crate) struct Entra {
    config: Config,
    token_file: TokenFile,
    clock: Clock,
    clients: Clients,
    started: Instant,
    metrics: Metrics,
}

// === impl Entra ===

impl Entra {
    pub(crate) fn new(config: Config, clock: Clock, metrics: Metrics) -> Self {
        let token_file = TokenFile::new(config.token_file.clone());
        Self { config, token_file, clock, clients: Clients::default(), started: Instant::now(), metrics }
    }

    /// Tries until there is a token, or nothing to hope for in the time that is left.
    async fn attempts(&self, key: &Key) -> Result<AccessToken, Failure> {
        let end = Instant::now() + DEADLINE;
        let mut failures = 0;
        loop {
            let failure = match self.with_assertion(key).await {
                Ok(token) => return Ok(token),
                Err(failure) => failure,
            };
            failures += 1;
            let attempt = Attempt {
                age: self.started.elapsed(),
                spreading: self.config.spreading,
                left: end.saturating_duration_since(Instant::now()),
                delay: BACKOFF.delay(failures, jitter()),
            };
            let Some(wait) = retry::wait(&failure, &attempt) else {
                return Err(failure);
            };
            let Key { client_id, tenant, scope, .. } = key;
            info!(%client_id, %tenant, scope, failures, ?wait, error = %failure, "Asking again");
            sleep(wait).await;
        }
    }

    /// One attempt with the assertion as it is now, and another one if it was replaced while Entra judged it.
    async fn with_assertion(&self, key: &Key) -> Result<AccessToken, Failure> {
        let assertion = self.assertion()?;
        let first = self.attempt(key, &assertion).await;
        if !matches!(&first, Err(Failure::Refused { error, .. }) if error.error_codes.contains(&OUT_OF_TIME)) {
            return first;
        }
        let renewed = self.assertion()?;
        if renewed.jwt().matches(assertion.jwt().expose().as_bytes()) {
            first
        } else {
            self.attempt(key, &renewed).await
        }
    }

    fn assertion(&self) -> Result<Assertion, token_file::Error> {
        let read = self.token_file.read(self.clock.now());
        match &read {
            Ok(assertion) => self.metrics.assertion_read(assertion.claims().exp),
            Err(_) => self.metrics.unsent(),
        }
        read
    }

    async fn attempt(&self, key: &Key, assertion: &Assertion) -> Result<AccessToken, Failure> {
        let started = Instant::now();
        let result = self.ask(key, assertion).await;
        self.metrics.exchanged(&result, started.elapsed());
        result
    }

    async fn ask(&self, key: &Key, assertion: &Assertion) -> Result<AccessToken, Failure> {
        let https = self.clients.current(&self.config).map_err(|fault| self.unavailable(&fault))?;
        let client = OAuth::new(ClientId::new(key.client_id.to_string()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(self.token_url(key)));
        // Before the request, so that whatever the answer takes is not added to the token's life.
        let issued = self.clock.now();
        let request = key.challenge.iter().fold(client.exchange_client_credentials(), |request, challenge| {
            request.add_extra_param("claims", challenge.as_str())
        });
        let answer = request
            .add_scope(Scope::new(key.scope.to_string()))
            .add_extra_param("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .add_extra_param("client_assertion", assertion.jwt().expose())
            .request_async(&https)
            .await;
        match answer {
            Ok(Granted { grant: Grant { secret, lasts, refresh_in }, .. }) => {
                let upkeep = Upkeep { refresh_in, max_age: self.config.max_age, jitter: jitter() };
                Ok(AccessToken { secret, lifetime: Lifetime::new(issued, lasts, upkeep) })
            }
            Err(RequestTokenError::Request(Fault::Refused { status, error })) => Err(Failure::Refused {
                status: status.as_u16(),
                error,
                client_id: key.client_id,
                presented: assertion.claims().clone(),
            }),
            Err(RequestTokenError::Request(fault)) => Err(self.unavailable(&fault)),
            // Not looked at, since it may hold a token.
            Err(RequestTokenError::Parse(_, mut body)) => {
                body.zeroize();
                Err(self.unavailable(&Fault::NoToken))
            }
            Err(RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_)) => {
                Err(self.unavailable(&Fault::NoToken))
            }
        }
    }

    /// Tenants need no escaping, and paths are kept: the custom token endpoint's, and then the authority's, as SDKs do it.
    fn token_url(&self, key: &Key) -> Url {
        let Config { authority, token_proxy, .. } = &self.config;
        let prefix = |url: &Url| url.path().trim_end_matches('/').to_owned();
        let path = format!("{}/{}/oauth2/v2.0/token", prefix(authority), key.tenant);
        let Some(token_proxy) = token_proxy else {
            return with_path(authority.clone(), &path);
        };
        with_path(token_proxy.named_url(), &format!("{}{path}", prefix(&token_proxy.url)))
    }

    fn unavailable(&self, fault: &Fault) -> Failure {
        if let Fault::Throttled { retry_after } = fault {
            return Failure::Throttled { retry_after: *retry_after };
        }
        let description = match &self.config.token_proxy {
            None => format!("Entra ID at {} {fault}", self.config.authority),
            Some(TokenProxy { url, .. }) => format!("The custom token endpoint {url} {fault}"),
        };
        Failure::Unavailable { description, retry_after: fault.retry_after(), may_pass: fault.may_pass() }
    }
}

fn with_path(mut url: Url, path: &str) -> Url {
    url.set_path(path);
    url
}

impl Exchange for Entra {
    async fn exchange(&self, key: &Key) -> Result<AccessToken, Failure> {
        match timeout(DEADLINE, self.attempts(key)).await {
            Ok(result) => result,
            Err(_) => {
                let late = Err(self.unavailable(&Fault::Slow(DEADLINE)));
                self.metrics.exchanged(&late, DEADLINE);
                late
            }
        }
    }
}
