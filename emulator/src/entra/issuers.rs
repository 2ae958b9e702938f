//! Fetches the signing keys of cluster issuers: discovery document, then key set (OpenID Connect Discovery 1.0).

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::Instant;

use super::decide::{Keys, NoKeys};
use crate::config::Roots;

/// How long keys are kept. Entra keeps them for minutes; a cluster that rotates its key in a test should not have to
/// wait, so that an unknown key id fetches them anew at once.
const FRESH: Duration = Duration::from_secs(60);

/// The time of one fetch, connection included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most that a discovery document or a key set may take.
const MOST_BYTES: usize = 1024 * 1024;

/// The issuers met so far, with their keys.
pub(crate) struct Issuers {
    client: Client,
    cache: Mutex<HashMap<String, Cached>>,
}

/// Why issuers cannot be called.
#[derive(Debug, Error)]
pub enum Error {
    /// A trusted certificate is no authority's.
    #[error("a certificate of trustedCas cannot be an authority")]
    Root(#[source] rustls::Error),
    /// The TLS library refused its settings.
    #[error("cannot set up TLS for calling issuers")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refused its settings.
    #[error("cannot set up HTTP for calling issuers")]
    Http(#[source] reqwest::Error),
}

#[derive(Clone)]
struct Cached {
    keys: Arc<Keys>,
    fetched: Instant,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

// === impl Issuers ===

impl Issuers {
    /// Trusts the public authorities and `trusted`. Calls `https` only, follows no redirect and asks no proxy.
    pub(crate) fn new(trusted: &[Roots]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in trusted.iter().flat_map(Roots::certificates) {
            roots.add(certificate.clone()).map_err(Error::Root)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(Error::Http)?;
        Ok(Self { client, cache: Mutex::default() })
    }

    /// The keys of `issuer`: kept ones if they are fresh and hold `kid`, else fetched.
    pub(crate) async fn keys(&self, issuer: &str, kid: &str) -> Result<Arc<Keys>, NoKeys> {
        if let Some(kept) = self.kept(issuer)
            && kept.fetched.elapsed() < FRESH
            && kept.keys.find(kid).is_some()
        {
            return Ok(kept.keys);
        }
        let keys = Arc::new(self.fetch(issuer).await?);
        let cached = Cached { keys: Arc::clone(&keys), fetched: Instant::now() };
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(issuer.to_owned(), cached);
        Ok(keys)
    }

    fn kept(&self, issuer: &str) -> Option<Cached> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned()
    }

    async fn fetch(&self, issuer: &str) -> Result<Keys, NoKeys> {
        // An issuer may end in a slash (those of AKS do); it is not doubled.
        let discovery = format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
        let document: Discovery = self.get(&discovery).await?;
        if document.issuer != issuer {
            tracing::warn!(%issuer, found = %document.issuer, "A discovery document names another issuer");
            return Err(NoKeys::Unusable);
        }
        let set: KeySet = self.get(&document.jwks_uri).await?;
        Ok(Keys::new(set.keys))
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, NoKeys> {
        let mut response = self.client.get(url).send().await.map_err(|error| failed(url, &error))?;
        if !response.status().is_success() {
            tracing::warn!(%url, status = response.status().as_u16(), "An issuer refused");
            return Err(NoKeys::Unusable);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, &error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                tracing::warn!(%url, limit = MOST_BYTES, "An issuer's answer is too large");
                return Err(NoKeys::Unusable);
            }
        }
        serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(%url, %error, "An issuer's answer cannot be read");
            NoKeys::Unusable
        })
    }
}

fn failed(url: &str, error: &reqwest::Error) -> NoKeys {
    // reqwest's own text stops at "error sending request"; the causes tell a bad certificate from a closed port.
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    tracing::warn!(%url, error = %text, "An issuer cannot be reached");
    // A `jwks_uri` that is no https URL was never called.
    if error.is_builder() { NoKeys::Unusable } else { NoKeys::Unreachable }
}
