//! A small cluster issuer: what a cluster without a cluster needs to issue service-account tokens that Entra can verify.

mod claims;

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

pub use self::claims::{Claims, Kubernetes, Object, ServiceAccountToken};
use crate::{
    config::Host,
    server::{self, Servers},
    signing::{self, SigningKey},
    tls,
};

/// How long kube-apiserver lets discovery and keys be kept (Kubernetes, `pkg/routes/openidmetadata.go`).
const CACHE: &str = "public, max-age=3600";

/// A cluster's issuer of service-account tokens.
pub struct ClusterIssuer;

/// A running issuer. Dropping it stops it, without waiting; [`RunningIssuer::stop`] waits.
#[must_use = "dropping it stops the issuer"]
pub struct RunningIssuer {
    issuer: Arc<Issuer>,
    ca_pem: String,
    servers: Servers,
}

/// Why an issuer does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] podbadge_runtime::serve::Error),
    /// No certificate could be made.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// No signing key could be made.
    #[error(transparent)]
    Key(#[from] signing::Error),
}

struct Issuer {
    url: String,
    keys: RwLock<Keys>,
}

/// The key that signs, and those before it; all are published.
struct Keys {
    signing: SigningKey,
    older: Vec<SigningKey>,
}

// === impl ClusterIssuer ===

impl ClusterIssuer {
    /// Starts an issuer inside the current tokio runtime on `bind` (port 0 takes any free port). `hosts` are names in its
    /// certificate beside `localhost` and the loopback addresses; the first stands in the issuer's URL, without any it is
    /// the bound address. Every start makes a new authority certificate and a new signing key.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(bind: SocketAddr, hosts: &[Host]) -> Result<RunningIssuer, StartError> {
        let mut names: Vec<_> = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned).into();
        names.extend(hosts.iter().map(ToString::to_string));
        if !bind.ip().is_unspecified() {
            names.push(bind.ip().to_string());
        }
        names.sort();
        names.dedup();
        let identity = tls::Identity::new("Podbadge cluster issuer", names)?;
        let key = SigningKey::for_service_accounts()?;
        let bound = server::bind(bind)?;
        let url = server::url(bound.local_addr(), hosts.first().map(Host::as_str));
        let issuer = Arc::new(Issuer { url, keys: RwLock::new(Keys { signing: key, older: Vec::new() }) });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/openid/v1/jwks", get(keys))
            .with_state(Arc::clone(&issuer));
        let mut servers = Servers::new();
        servers.serve(bound, identity.server, router);
        Ok(RunningIssuer { issuer, ca_pem: identity.ca_pem, servers })
    }
}

async fn discovery(State(issuer): State<Arc<Issuer>>) -> Response {
    let url = &issuer.url;
    let document = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    answer(&document, "application/json")
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Response {
    let keys = issuer.keys.read().unwrap_or_else(PoisonError::into_inner);
    let keys: Vec<_> = keys.older.iter().chain([&keys.signing]).map(SigningKey::jwk).collect();
    answer(&json!({ "keys": keys }), "application/jwk-set+json")
}

fn answer(document: &Value, kind: &'static str) -> Response {
    let Ok(body) = serde_json::to_vec(document) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
    response
}

// === impl RunningIssuer ===

impl RunningIssuer {
    /// The issuer's URL, the `iss` of its tokens; without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.issuer.url
    }

    /// The certificate (PEM) of the authority that this issuer's own certificate is from; for
    /// [`Config::trusted_cas`](crate::config::Config::trusted_cas).
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a token as TokenRequest does, valid from `now` for `lifetime` (whole seconds).
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn mint(
        &self,
        token: &ServiceAccountToken,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<String, signing::Error> {
        let claims = token.claims(&self.issuer.url, now, lifetime, Uuid::new_v4());
        self.sign(&claims)
    }

    /// Signs any claims with the issuer's key.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    pub fn sign(&self, claims: &impl serde::Serialize) -> Result<String, signing::Error> {
        self.issuer.keys.read().unwrap_or_else(PoisonError::into_inner).signing.sign(claims)
    }

    /// Signs with a new key from now on; the older ones stay published, so that their tokens stay valid.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn rotate(&self) -> Result<(), signing::Error> {
        let key = SigningKey::for_service_accounts()?;
        let mut keys = self.issuer.keys.write().unwrap_or_else(PoisonError::into_inner);
        let older = std::mem::replace(&mut keys.signing, key);
        keys.older.push(older);
        Ok(())
    }

    /// Stops: no new connection, open requests have two seconds.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}
