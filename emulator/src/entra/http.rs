//! The HTTP of the local Entra ID.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, RawQuery, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA},
};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    decide, discovery,
    grant::{Body as TokenBody, Claims},
    issuers::Issuers,
    refusal::{Refusal, timestamp},
    request::Form,
};
use crate::{
    clock::Clock,
    counts::{Counts, Outcome},
    directory::Directory,
    fault::{Endpoint, Faults},
    server::Names,
    signing::SigningKey,
};

/// The most that a token request may take; the largest assertions are a few KiB.
const MOST_BYTES: usize = 256 * 1024;

/// What the handlers share.
pub(crate) struct Entra {
    pub(crate) directory: Arc<Directory>,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) issuers: Issuers,
    pub(crate) clock: Clock,
    pub(crate) counts: Counts,
    pub(crate) faults: Faults,
    pub(crate) names: Names,
}

/// The ids of one request, in its answer and its error.
struct Trace {
    id: Uuid,
    correlation: Uuid,
    /// Whether the client wants its id back.
    echo: bool,
}

/// A refusal as Entra writes it.
#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
    timestamp: String,
    trace_id: String,
    correlation_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_uri: Option<String>,
}

/// The routes.
pub(crate) fn router(entra: Arc<Entra>) -> Router {
    let faults = |endpoint| from_fn_with_state((Arc::clone(&entra), endpoint), fault);
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", any(token).layer(faults(Endpoint::Token)))
        .route("/common/discovery/instance", get(instance).layer(faults(Endpoint::InstanceDiscovery)))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            get(openid_configuration).layer(faults(Endpoint::OpenidConfiguration)),
        )
        .route("/{tenant}/discovery/v2.0/keys", get(keys).layer(faults(Endpoint::Keys)))
        .route("/common/discovery/keys", get(common_keys).layer(faults(Endpoint::Keys)))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(entra)
}

async fn fault(State((entra, on)): State<(Arc<Entra>, Endpoint)>, request: Request, next: Next) -> Response {
    let Some(response) = entra.faults.strike(on).await else {
        return next.run(request).await;
    };
    tracing::info!(endpoint = ?on, status = response.status().as_u16(), "A fault was injected");
    if on == Endpoint::Token {
        entra.counts.add(Outcome::Faulted);
    }
    response
}

async fn token(
    State(entra): State<Arc<Entra>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = if is_form(&headers) { Form::parse(&body) } else { Form::default() };
    let trace = Trace::new(&headers, query.as_deref(), &form);
    let now = entra.clock.now();
    let outcome = if method == Method::POST {
        entra.exchange(&tenant, &form, now).await
    } else {
        Err(Refusal::Method(method.to_string()))
    };
    match outcome {
        Ok(body) => {
            entra.counts.add(Outcome::Issued);
            tracing::info!(%tenant, client = form.get("client_id"), "A token was issued");
            answer(StatusCode::OK, &trace, &body)
        }
        Err(refusal) => {
            let code = refusal.answer().code;
            entra.counts.add(Outcome::Refused(code));
            tracing::info!(%tenant, client = form.get("client_id"), code, "A token was refused");
            refused(&refusal, &trace, now)
        }
    }
}

async fn instance(State(entra): State<Arc<Entra>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let document = query
        .get("authorization_endpoint")
        .ok_or(Refusal::MissingParameter("authorization_endpoint"))
        .and_then(|endpoint| {
            discovery::instance(endpoint, query.get("api-version"), &entra.names.url, |host| entra.names.contain(host))
        });
    entra.document(document, &headers)
}

async fn openid_configuration(
    State(entra): State<Arc<Entra>>,
    Path(segment): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let base = entra.names.reached_by(&uri, &headers);
    let tenant = match segment.as_str() {
        "common" | "organizations" => Ok(None),
        _ => decide::tenant(&entra.directory, &segment).map(Some),
    };
    let document = tenant.map(|tenant| discovery::openid_configuration(&base, &segment, tenant));
    entra.document(document, &headers)
}

async fn keys(State(entra): State<Arc<Entra>>, Path(tenant): Path<String>, headers: HeaderMap) -> Response {
    let known = if tenant == "common" { Ok(()) } else { decide::tenant(&entra.directory, &tenant).map(drop) };
    entra.document(known.map(|()| discovery::keys(&entra.key)), &headers)
}

async fn common_keys(State(entra): State<Arc<Entra>>, headers: HeaderMap) -> Response {
    entra.document(Ok(discovery::keys(&entra.key)), &headers)
}

// === impl Entra ===

impl Entra {
    async fn exchange(&self, tenant: &str, form: &Form, now: OffsetDateTime) -> Result<TokenBody, Refusal> {
        let candidate = decide::candidate(&self.directory, tenant, form)?;
        let keys = self.issuers.keys(&candidate.assertion.issuer, &candidate.assertion.kid).await;
        let keys = keys.as_deref().map_err(|reason| *reason);
        let grant = decide::grant(&self.directory, &candidate, keys, now)?;
        let lifetime = self.directory.config().token_lifetime.get();
        let claims = Claims::new(&grant, now, lifetime, Uuid::new_v4());
        let token = self.key.sign(&claims).map_err(|error| {
            tracing::error!(%error, "A token cannot be signed");
            Refusal::Internal
        })?;
        Ok(TokenBody::new(token, lifetime))
    }

    fn document(&self, document: Result<serde_json::Value, Refusal>, headers: &HeaderMap) -> Response {
        let trace = Trace::new(headers, None, &Form::default());
        match document {
            Ok(document) => answer(StatusCode::OK, &trace, &document),
            Err(refusal) => refused(&refusal, &trace, self.clock.now()),
        }
    }
}

// === impl Trace ===

impl Trace {
    /// The client's id comes as a header, in the query (MSAL for JavaScript) or in the form.
    fn new(headers: &HeaderMap, query: Option<&str>, form: &Form) -> Self {
        const NAME: &str = "client-request-id";
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let query = Form::parse(query.unwrap_or_default().as_bytes());
        let given = header(NAME).or_else(|| query.get(NAME)).or_else(|| form.get(NAME));
        Self {
            id: Uuid::new_v4(),
            correlation: given.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(Uuid::new_v4),
            echo: header("return-client-request-id").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        }
    }
}

// === answers ===

/// The JSON error of every path (section "Error response" of Microsoft's OAuth 2.0 client-credentials document).
fn refused(refusal: &Refusal, trace: &Trace, now: OffsetDateTime) -> Response {
    let row = refusal.answer();
    let (code, at) = (row.code, timestamp(now));
    let (id, correlation) = (trace.id, trace.correlation);
    let description =
        format!("AADSTS{code}: {} Trace ID: {id} Correlation ID: {correlation} Timestamp: {at}", row.text);
    let body = ErrorBody {
        error: row.error,
        error_description: description,
        error_codes: [code],
        timestamp: at,
        trace_id: id.to_string(),
        correlation_id: correlation.to_string(),
        error_uri: row.has_uri.then(|| format!("https://login.microsoftonline.com/error?code={code}")),
    };
    let status = StatusCode::from_u16(row.status).unwrap_or(StatusCode::BAD_REQUEST);
    answer(status, trace, &body)
}

/// The headers that every answer of Entra carries.
fn answer(status: StatusCode, trace: &Trace, body: &impl Serialize) -> Response {
    let Ok(body) = serde_json::to_vec(body) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store, no-cache"),
        (PRAGMA, "no-cache"),
        (CONTENT_TYPE, "application/json; charset=utf-8"),
        (EXPIRES, "-1"),
        (HeaderName::from_static("strict-transport-security"), "max-age=31536000; includeSubDomains"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("p3p"), "CP=\"DSP CUR OTPi IND OTRi ONL FIN\""),
        (HeaderName::from_static("x-ms-ests-server"), "2.1.0 - PODBADGE"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let mut insert = |name, id: Uuid| {
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    insert("x-ms-request-id", trace.id);
    if trace.echo {
        insert("client-request-id", trace.correlation);
    }
    response
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
