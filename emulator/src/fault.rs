//! Faults on purpose: what an authority that is down, slow or broken answers.

use std::{
    fmt, io,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures_util::stream;
use http::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use thiserror::Error;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// `/{tenant}/oauth2/v2.0/token`.
    Token,
    /// `/common/discovery/instance`.
    InstanceDiscovery,
    /// `/{tenant}/v2.0/.well-known/openid-configuration`.
    OpenidConfiguration,
    /// `/{tenant}/discovery/v2.0/keys` and `/common/discovery/keys`.
    Keys,
    /// Every path of every vault.
    Vault,
}

/// A fault: what happens instead of an answer, or before it, on one endpoint, for a number of requests or for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    on: Endpoint,
    delay: Duration,
    effect: Effect,
    times: Option<NonZeroU32>,
}

/// What happens after the delay.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    /// The usual answer.
    Proceed,
    /// This answer.
    Answer { status: StatusCode, retry_after: Option<u32>, body: Option<String> },
    /// None: the connection closes.
    Drop,
}

/// Why a fault cannot be.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// Nothing would differ from the usual answer.
    #[error("a fault needs one of status, drop and delayMilliseconds")]
    Nothing,
    /// A dropped connection carries no answer.
    #[error("a fault with drop: true takes no status, retryAfterSeconds or body")]
    DropAndAnswer,
    /// An answer needs its status.
    #[error("retryAfterSeconds and body need a status")]
    NoStatus,
    /// Not a final HTTP status.
    #[error("status must be 200 to 599, not {0}")]
    Status(u16),
}

/// A fault as it stands in YAML.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    on: Endpoint,
    status: Option<u16>,
    retry_after_seconds: Option<u32>,
    body: Option<String>,
    #[serde(default)]
    drop: bool,
    #[serde(default)]
    delay_milliseconds: u64,
    times: Option<NonZeroU32>,
}

/// The faults that wait for their requests, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<Fault>>>);

// === impl Fault ===

impl Fault {
    /// Every request gets this answer: an empty body, `text/html` or JSON as [`Fault::body`] looks like, `Too Many
    /// Requests` with 429.
    ///
    /// # Errors
    /// If `status` is not 200 to 599.
    pub fn answer(on: Endpoint, status: u16) -> Result<Self, Invalid> {
        let effect = Effect::Answer { status: final_status(status)?, retry_after: None, body: None };
        Ok(Self { on, delay: Duration::ZERO, effect, times: None })
    }

    /// Every request is closed without an answer.
    #[must_use]
    pub const fn dropped(on: Endpoint) -> Self {
        Self { on, delay: Duration::ZERO, effect: Effect::Drop, times: None }
    }

    /// Every request is answered as usual, but this much later.
    #[must_use]
    pub const fn delayed(on: Endpoint, delay: Duration) -> Self {
        Self { on, delay, effect: Effect::Proceed, times: None }
    }

    /// Waits before whatever the fault does.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds `Retry-After`, in seconds, to an answer.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        if let Effect::Answer { retry_after, .. } = &mut self.effect {
            *retry_after = Some(seconds);
        }
        self
    }

    /// Sets the body of an answer.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Effect::Answer { body, .. } = &mut self.effect {
            *body = Some(text.into());
        }
        self
    }

    /// Strikes this many requests and is gone.
    #[must_use]
    pub const fn times(mut self, times: NonZeroU32) -> Self {
        self.times = Some(times);
        self
    }

    /// Waits, then gives the answer that replaces the usual one, if any.
    async fn strike(self) -> Option<Response> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.effect {
            Effect::Proceed => None,
            Effect::Drop => Some(dropped()),
            Effect::Answer { status, retry_after, body } => Some(answer(status, retry_after, body)),
        }
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Checked)
    }
}

/// Checks inside the deserializer, so that an error carries the path of the fault, not of the list.
struct Checked;

impl<'de> Visitor<'de> for Checked {
    type Value = Fault;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault: on, status, retryAfterSeconds, body, drop, delayMilliseconds, times")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fault, A::Error> {
        Raw::deserialize(MapAccessDeserializer::new(map))?.try_into().map_err(A::Error::custom)
    }
}

impl TryFrom<Raw> for Fault {
    type Error = Invalid;

    fn try_from(raw: Raw) -> Result<Self, Invalid> {
        let Raw { on, status, retry_after_seconds: retry_after, body, drop, delay_milliseconds, times } = raw;
        let delay = Duration::from_millis(delay_milliseconds);
        let effect = match (status, drop) {
            (None, true) if retry_after.is_none() && body.is_none() => Effect::Drop,
            (_, true) => return Err(Invalid::DropAndAnswer),
            (Some(status), false) => Effect::Answer { status: final_status(status)?, retry_after, body },
            (None, false) if retry_after.is_some() || body.is_some() => return Err(Invalid::NoStatus),
            (None, false) if delay.is_zero() => return Err(Invalid::Nothing),
            (None, false) => Effect::Proceed,
        };
        Ok(Self { on, delay, effect, times })
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Lets the oldest fault of this endpoint strike. `None`: the request goes on.
    pub(crate) async fn strike(&self, on: Endpoint) -> Option<Response> {
        self.take(on)?.strike().await
    }

    fn take(&self, on: Endpoint) -> Option<Fault> {
        let mut faults = self.lock();
        let place = faults.iter().position(|fault| fault.on == on)?;
        let fault = faults[place].clone();
        match fault.times.map(|times| NonZeroU32::new(times.get() - 1)) {
            Some(None) => drop(faults.remove(place)),
            Some(left) => faults[place].times = left,
            None => {}
        }
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        // A list of faults is whole at every moment, whoever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === answers ===

/// A body whose first byte fails: hyper then closes the connection before the header is sent (HTTP/1.1) or resets the
/// stream (HTTP/2).
fn dropped() -> Response {
    let failure = std::future::ready(Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionAborted)));
    Response::new(Body::from_stream(stream::once(failure)))
}

fn answer(status: StatusCode, retry_after: Option<u32>, body: Option<String>) -> Response {
    let body = match body {
        Some(body) => body,
        // What a throttled Entra really sends, in plain text.
        None if status == StatusCode::TOO_MANY_REQUESTS => "Too Many Requests".to_owned(),
        None => String::new(),
    };
    let kind = match body.trim_start().as_bytes().first() {
        Some(b'<') => "text/html; charset=utf-8",
        Some(b'{' | b'[') => "application/json; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn final_status(status: u16) -> Result<StatusCode, Invalid> {
    match StatusCode::from_u16(status) {
        Ok(known) if (200..=599).contains(&status) => Ok(known),
        Ok(_) | Err(_) => Err(Invalid::Status(status)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_delay_comes_before_whatever_happens() {
        let faults = Faults::default();
        let hour = Duration::from_secs(3600);
        faults.add(Fault::delayed(Endpoint::Token, hour).times(NonZeroU32::MIN));
        faults.add(Fault::answer(Endpoint::Token, 500).unwrap().after(hour * 2).times(NonZeroU32::MIN));
        let start = Instant::now();
        assert!(faults.strike(Endpoint::Token).await.is_none(), "the usual answer, later");
        assert_eq!(start.elapsed(), hour);
        let response = faults.strike(Endpoint::Token).await.expect("the second fault");
        assert_eq!((response.status(), start.elapsed()), (StatusCode::INTERNAL_SERVER_ERROR, hour * 3));
        assert!(faults.strike(Endpoint::Token).await.is_none(), "both are gone");
        assert_eq!(start.elapsed(), hour * 3);
    }

    #[test]
    fn a_body_says_what_it_is() {
        for (status, body, kind) in [
            (503, Some("<html>"), "text/html; charset=utf-8"),
            (200, Some(" {}"), "application/json; charset=utf-8"),
            (500, None, "text/plain; charset=utf-8"),
            (429, None, "text/plain; charset=utf-8"),
        ] {
            let response = answer(final_status(status).unwrap(), None, body.map(str::to_owned));
            assert_eq!(response.headers()[CONTENT_TYPE], kind);
            assert!(!response.headers().contains_key(RETRY_AFTER));
        }
        for status in [0, 100, 199, 600, 1000] {
            assert_eq!(Fault::answer(Endpoint::Keys, status), Err(Invalid::Status(status)));
        }
    }
}
