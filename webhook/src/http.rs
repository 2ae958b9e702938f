//! The door of the API server: two paths, three outcomes, and what each is in HTTP.

mod body;

use crate::{
    admit::{Admission, Answer, Error},
    lookup::Lookup,
    metrics::{Admissions, Outcome},
};
use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::post,
};
use body::{Refused, Room};
use http::{HeaderValue, StatusCode, header};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The path that Azure Workload Identity serves, too.
pub const PATH: &str = "/mutate-v1-pod";

/// The path that gives advice on service accounts and workloads.
pub const ADVICE_PATH: &str = "/validate-v1";

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
    room: Room,
}

/// The webhook's routes.
pub fn router<L: Lookup>(admission: Admission<L>, metrics: Admissions) -> Router {
    let door = Arc::new(Door { admission, metrics, room: Room::default() });
    Router::new().route(PATH, post(mutate::<L>)).route(ADVICE_PATH, post(advise::<L>)).with_state(door)
}

async fn mutate<L: Lookup>(State(door): State<Arc<Door<L>>>, RawQuery(query): RawQuery, body: Body) -> Response {
    let started = Instant::now();
    let timeout = timeout(query.as_deref().unwrap_or_default());
    let body = match door.room.receive(body, timeout).await {
        Ok(body) => body,
        Err(refused) => {
            let (outcome, reason, response) = unread(refused, timeout);
            door.metrics.count(outcome, reason, started.elapsed());
            return response;
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
    let body = match door.room.receive(body, timeout).await {
        Ok(body) => body,
        Err(refused) => {
            let (outcome, reason, response) = unread(refused, timeout);
            door.metrics.count_advice(outcome, reason);
            return response;
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

/// The answer to a body that was not read.
fn unread(refused: Refused, timeout: Duration) -> (Outcome, &'static str, Response) {
    let status = refused.status();
    tracing::warn!(%status, error = %refused, "Refused");
    match refused {
        Refused::NoRoom => (Outcome::Fail, "no_room", failure(refused.to_string(), timeout)),
        Refused::Late(_) | Refused::Broken | Refused::TooLarge => {
            (Outcome::Refuse, "bad_body", refusal(status, refused.to_string()))
        }
    }
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
