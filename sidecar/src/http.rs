//! The endpoint's HTTP: one event and one sample per request, at this edge.

use std::collections::HashMap;
use std::mem::{self, Discriminant};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use podbadge_runtime::{admin, metrics::Metrics as Rendered, ready::Readiness};
use podbadge_sidecar_core::error::Answer;
use podbadge_sidecar_core::freshness::UnixTime;
use podbadge_sidecar_core::ids::TenantId;
use podbadge_sidecar_core::request::{self, Policy, Reason, Rejection, TokenRequest};
use podbadge_sidecar_core::response;
use tracing::{debug, warn};

use crate::broker::{Broker, Exchange};
use crate::cache::Key;
use crate::clock::Clock;
use crate::guard;
use crate::metrics::Metrics;
use crate::pass_through::PassThrough;

/// What a token request needs.
pub(crate) struct Endpoint<E> {
    pub(crate) policy: Policy,
    /// Where the pod may read of the real metadata service.
    pub(crate) pass_through: Option<PassThrough>,
    /// The pod's own.
    pub(crate) tenant: Arc<TenantId>,
    pub(crate) broker: Broker<E>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// When a rejection for each reason was last told aloud.
    pub(crate) told: Mutex<HashMap<Discriminant<Reason>, UnixTime>>,
}

/// A client that is wrong is often wrong, so what somebody has to mend is told once in this time, in seconds, and else only to
/// those who look closer.
const TELL_EVERY: u64 = 60;

/// The health of the process under its three paths, and for every other path the token endpoint, which judges the path by
/// its own rules.
pub(crate) fn router<E: Exchange>(endpoint: Endpoint<E>, readiness: Readiness, rendered: Rendered) -> Router {
    let tokens = Router::new().fallback(token::<E>).with_state(Arc::new(endpoint));
    tokens.merge(admin::router(readiness, rendered))
}

async fn token<E: Exchange>(State(endpoint): State<Arc<Endpoint<E>>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match request::read(&guard::head(&parts), &endpoint.policy) {
        Ok(request) => endpoint.answer(&request).await,
        Err(rejection) => match endpoint.pass(&parts, &rejection).await {
            Ok(Some(response)) => response,
            Ok(None) => endpoint.reject(&rejection),
            Err(rejection) => endpoint.reject(&rejection),
        },
    }
}

impl<E: Exchange> Endpoint<E> {
    /// What is none of ours may be the real metadata service's.
    async fn pass(&self, parts: &Parts, rejection: &Rejection) -> Result<Option<Response>, Rejection> {
        match &self.pass_through {
            Some(pass_through) if rejection.reason() == &Reason::PathUnknown => pass_through.answer(parts).await,
            _ => Ok(None),
        }
    }

    fn reject(&self, rejection: &Rejection) -> Response {
        let form = rejection.form().map_or("none", request::Form::as_str);
        self.metrics.answered(form, "rejected");
        if rejection.is_telling() && self.is_due(rejection.reason()) {
            warn!(form, reason = %rejection, "Rejected a request");
        } else {
            debug!(form, reason = %rejection, "Rejected a request");
        }
        failure(rejection.answer())
    }

    /// Whether this reason was not told aloud for a while; true for one of many who ask at once.
    fn is_due(&self, reason: &Reason) -> bool {
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back is no reason to be silent.
        let due = told
            .get(&mem::discriminant(reason))
            .is_none_or(|told| now.as_secs().abs_diff(told.as_secs()) >= TELL_EVERY);
        if due {
            told.insert(mem::discriminant(reason), now);
        }
        due
    }

    async fn answer(&self, request: &TokenRequest) -> Response {
        let TokenRequest { form, client_id, tenant, resource, challenge, renewal } = request;
        let tenant = Arc::clone(tenant.as_ref().unwrap_or(&self.tenant));
        let key = Key { client_id: *client_id, tenant, scope: resource.scope().into(), challenge: challenge.clone() };
        match self.broker.token(&key, renewal).await {
            Ok(token) => {
                self.metrics.answered(form.as_str(), "token");
                debug!(form = form.as_str(), %client_id, %resource, "Handed out a token");
                json(StatusCode::OK, response::body(&token, *client_id, resource, self.clock.now()))
            }
            Err(failed) => {
                let outcome = failed.failure.as_str();
                self.metrics.answered(form.as_str(), outcome);
                debug!(form = form.as_str(), %client_id, %resource, outcome, "Handed out no token");
                failure(failed.failure.answer(*form, failed.wait))
            }
        }
    }
}

fn failure(Answer { status, retry_after, allow, body }: Answer) -> Response {
    // The core's statuses are all valid ones.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if let Some(methods) = allow {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    // RFC 6749 section 5.1 for whatever holds a token.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
