//! The door of the API server: two paths, three outcomes, and what each is in HTTP.

use crate::{
    admit::{Admission, Answer, Error},
    lookup::Lookup,
    metrics::{Admissions, Outcome},
};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _},
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The path that Azure Workload Identity serves, too.
pub const PATH: &str = "/mutate-v1-pod";

/// The path that gives advice on service accounts and workloads.
pub const ADVICE_PATH: &str = "/validate-v1";

/// The largest body. etcd takes objects of 1.5 MiB, a review holds two and their JSON is longer; near 3 MB were seen.
const LARGEST: usize = 8 << 20;

/// The most that is set aside for a body on its sender's word; most reviews are smaller.
const FIRST_ROOM: usize = 64 << 10;

/// How much of a body that is too large is read, and forgotten, before it is refused.
const DRAINED: usize = 64 << 20;

/// The API server's time-out where the request does not repeat it, its own default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The range that a webhook configuration allows
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>).
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest look-up. Beyond, another try has better chances than more patience.
const LONGEST_LOOKUP: Duration = Duration::from_secs(1);

/// When the API server comes back after a failure of ours.
const RETRY_AFTER: Duration = Duration::from_secs(1);

struct Door<L> {
    admission: Admission<L>,
    metrics: Admissions,
}

/// The webhook's routes.
pub fn router<L: Lookup>(admission: Admission<L>, metrics: Admissions) -> Router {
    let door = Arc::new(Door { admission, metrics });
    Router::new().route(PATH, post(mutate::<L>)).route(ADVICE_PATH, post(advise::<L>)).with_state(door)
}

async fn mutate<L: Lookup>(State(door): State<Arc<Door<L>>>, RawQuery(query): RawQuery, body: Body) -> Response {
    let started = Instant::now();
    let timeout = timeout(query.as_deref().unwrap_or_default());
    let body = match received(body, timeout).await {
        Ok(body) => body,
        Err(refusal) => {
            door.metrics.count(Outcome::Refuse, "bad_body", started.elapsed());
            return refusal;
        }
    };
    // On the heap: else room for it would be taken for as long as a body is on its way.
    let answer = Box::pin(door.admission.answer(&body, patience(timeout))).await;
    let (outcome, reason, response) = match answer {
        Ok(answer) => (answer.outcome, answer.reason, answered(answer)),
        Err(Error::NoReview(error)) => {
            tracing::warn!(%error, "Refused");
            (Outcome::Refuse, "no_review", refusal(StatusCode::BAD_REQUEST, error.to_string()))
        }
        Err(error @ (Error::Unavailable(_) | Error::Random)) => {
            tracing::warn!(%error, "Failed");
            let reason = if matches!(error, Error::Random) { "random" } else { "lookup" };
            (Outcome::Fail, reason, failure(error.to_string(), timeout))
        }
    };
    door.metrics.count(outcome, reason, started.elapsed());
    response
}

async fn advise<L: Lookup>(State(door): State<Arc<Door<L>>>, RawQuery(query): RawQuery, body: Body) -> Response {
    let timeout = timeout(query.as_deref().unwrap_or_default());
    let body = match received(body, timeout).await {
        Ok(body) => body,
        Err(refusal) => {
            door.metrics.count_advice(Outcome::Refuse, "bad_body");
            return refusal;
        }
    };
    let (outcome, reason, response) = match door.admission.advise(&body, patience(timeout)).await {
        Ok(answer) => (answer.outcome, answer.reason, answered(answer)),
        Err(error) => {
            tracing::warn!(%error, "Refused");
            (Outcome::Refuse, "no_review", refusal(StatusCode::BAD_REQUEST, error.to_string()))
        }
    };
    door.metrics.count_advice(outcome, reason);
    response
}

/// The whole body, or the refusal of one that is too large or does not end.
async fn received(body: Body, timeout: Duration) -> Result<Vec<u8>, Response> {
    let late = |_| Err((StatusCode::REQUEST_TIMEOUT, format!("the body did not end within {} s", timeout.as_secs())));
    tokio::time::timeout(timeout, whole(body)).await.unwrap_or_else(late).map_err(|(status, text)| {
        tracing::warn!(%status, error = text, "Refused");
        refusal(status, text)
    })
}

/// How long a look-up may take.
fn patience(timeout: Duration) -> Duration {
    LONGEST_LOOKUP.min(timeout / 4)
}

fn answered(answer: Answer) -> Response {
    match answer.denial {
        Some(denial) => tracing::info!(reason = answer.reason, denial, "Denied"),
        None => tracing::debug!(reason = answer.reason, "Allowed"),
    }
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer.body).into_response()
}

/// Reads the body, unless it is too large. It is for the caller to end the wait for a sender that stalls: HTTP has no
/// time-out of its own here, and connections are few.
async fn whole(mut body: Body) -> Result<Vec<u8>, (StatusCode, String)> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced <= LARGEST {
        let broken =
            || (StatusCode::BAD_REQUEST, format!("the body ended early, or is larger than {} MiB", LARGEST >> 20));
        let mut read = Vec::with_capacity(announced.min(FIRST_ROOM));
        // Each piece is let go once it is copied, so that the connection reads the next into the same buffer.
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| broken())?;
            let piece = frame.data_ref().map_or(&[][..], |piece| piece);
            if read.len() + piece.len() > LARGEST {
                return Err(broken());
            }
            read.extend_from_slice(piece);
        }
        return Ok(read);
    }
    // Who is still writing does not read an answer, so what was announced is let in first, within reason.
    let mut left = DRAINED;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len).max(1));
    }
    Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} MiB", LARGEST >> 20)))
}

/// What the API server says it will wait, in whole seconds as it writes them: `?timeout=5s`. Others may say anything.
fn timeout(query: &str) -> Duration {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let seconds = value.and_then(|value| value.strip_suffix('s')?.parse().ok());
    seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs).clamp(SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
}

fn refusal(status: StatusCode, text: String) -> Response {
    (status, text + "\n").into_response()
}

/// A failure of ours. With `Retry-After` the API server asks again by itself, and on a new connection perhaps another
/// replica, so that no user notices; without room for that, the entry's failure policy should act at once.
fn failure(text: String, timeout: Duration) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, text);
    if timeout > RETRY_AFTER {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
