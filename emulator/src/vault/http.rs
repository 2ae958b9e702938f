//! The HTTP of one vault.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, StatusCode, Uri,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Serialize;
use url::form_urlencoded;
use uuid::Uuid;

use super::decide::{Asked, RESOURCE, Refusal, read};
use crate::{
    clock::Clock,
    config,
    directory::Directory,
    fault::{Endpoint, Faults},
    server::Names,
    signing::SigningKey,
};

/// What the handlers of one vault share.
pub(crate) struct Vault {
    pub(crate) directory: Arc<Directory>,
    /// The vault's place in the configuration.
    pub(crate) place: usize,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) names: Names,
    /// The authority's URL, without a trailing slash.
    pub(crate) authority: String,
}

/// The routes.
pub(crate) fn router(vault: Arc<Vault>) -> Router {
    Router::new()
        .route("/secrets/{name}", get(latest))
        // The clients of Python and Go ask for the newest version by an empty one.
        .route("/secrets/{name}/", get(latest))
        .route("/secrets/{name}/{version}", get(versioned))
        .method_not_allowed_fallback(method)
        .fallback(path)
        .layer(from_fn_with_state(Arc::clone(&vault), fault))
        .with_state(vault)
}

async fn fault(State(vault): State<Arc<Vault>>, request: Request, next: Next) -> Response {
    match vault.faults.strike(Endpoint::Vault).await {
        Some(response) => response,
        None => next.run(request).await,
    }
}

async fn latest(State(vault): State<Arc<Vault>>, Path(name): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    vault.get(&name, None, &uri, &headers)
}

async fn versioned(
    State(vault): State<Arc<Vault>>,
    Path((name, version)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    vault.get(&name, Some(&version), &uri, &headers)
}

async fn method(State(vault): State<Arc<Vault>>) -> Response {
    vault.refused(&Refusal::Method)
}

async fn path(State(vault): State<Arc<Vault>>) -> Response {
    vault.refused(&Refusal::Path)
}

// === impl Vault ===

impl Vault {
    fn get(&self, name: &str, version: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Response {
        let query = uri.query().unwrap_or_default().as_bytes();
        let api_version = form_urlencoded::parse(query).find(|(key, _)| key == "api-version").map(|(_, value)| value);
        let asked = Asked {
            authorization: headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()),
            api_version: api_version.as_deref(),
            name,
            version,
        };
        let key = (self.key.id(), self.key.public());
        let url = self.names.reached_by(uri, headers);
        match read(self.own(), &url, &asked, key, self.clock.now()) {
            Ok(bundle) => {
                tracing::info!(vault = %self.own().name, secret = name, "A secret was read");
                answer(StatusCode::OK, &bundle)
            }
            Err(refusal) => self.refused(&refusal),
        }
    }

    fn own(&self) -> &config::Vault {
        &self.directory.config().vaults[self.place]
    }

    fn refused(&self, refusal: &Refusal) -> Response {
        let (status, body) = refusal.answer();
        tracing::info!(vault = %self.own().name, status, "A request was refused");
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer(status, &body);
        if status == StatusCode::UNAUTHORIZED {
            let challenge =
                format!("Bearer authorization=\"{}/{}\", resource=\"{RESOURCE}\"", self.authority, self.own().tenant);
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }
}

/// The headers that every answer of Key Vault carries.
fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (HeaderName::from_static("strict-transport-security"), "max-age=31536000;includeSubDomains"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-ms-keyvault-region"), "local"),
        (HeaderName::from_static("x-ms-keyvault-service-version"), "2.0.0.0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.insert(HeaderName::from_static("x-ms-request-id"), id);
    }
    response
}
