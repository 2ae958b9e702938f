//! What the application sees when there is no token.
//!
//! The statuses are chosen by how clients retry: 401 is retried by nobody and its text is shown everywhere, a 400 hides
//! the text from some, any 5xx costs up to 100 seconds. So what Entra refused is 401, what may pass (by [`crate::retry`], which
//! has tried) is 429 or 503 with a `Retry-After` of one to five seconds, and every body is JSON in the shape of its form.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::assertion::Claims;
use crate::federation::Mismatch;
use crate::ids::ClientId;
use crate::request::{Form, Rejection};
use crate::retry::Prospect;
use crate::text::{name, one_line};

/// An HTTP answer without a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Seconds, 1 to 5, where asking again may help.
    pub retry_after: Option<u64>,
    /// For the `Allow` header (RFC 9110 section 10.2.1), where the method was wrong.
    pub allow: Option<&'static str>,
    /// JSON.
    pub body: Vec<u8>,
}

/// The body of a refusal by Entra's token endpoint
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>). Whatever has an `error` is one: of the
/// rest, what cannot be read is as good as absent.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Map<String, Value>")]
pub struct EntraError {
    /// The OAuth code, such as `invalid_client` (RFC 6749 section 5.2), as a [`name`].
    pub error: String,
    /// The text, which begins with the AADSTS code; may be empty.
    pub error_description: String,
    /// The AADSTS codes as numbers, 16 at most.
    pub error_codes: Vec<u32>,
    /// Names the request in Entra's logs; a [`name`].
    pub trace_id: Option<String>,
    /// Names the request in the logs of both sides; a [`name`].
    pub correlation_id: Option<String>,
}

/// JSON of something else than OAuth 2.0.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there is no error code")]
pub struct NotOAuth;

/// Why an exchange gave no token. Its texts hold no token and no assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Entra understood and said no.
    Refused {
        /// The HTTP status of its answer.
        status: u16,
        /// Its answer.
        error: EntraError,
        /// For whom a token was asked.
        client_id: ClientId,
        /// What the pod's own assertion says.
        presented: Claims,
    },
    /// Entra asked for patience (429).
    Throttled {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// No usable answer: down, slow, 5xx, or not Entra at all.
    Unavailable {
        /// What was seen, for a person.
        description: String,
        /// How long to wait, if the authority said so.
        retry_after: Option<Duration>,
        /// Whether it may answer soon; something else in its place stays there.
        may_pass: bool,
    },
    /// The pod's token file holds nothing that can be sent.
    Assertion {
        /// Names the file and the fault.
        description: String,
        /// Whether the kubelet may still mend it.
        may_pass: bool,
    },
}

// === impl EntraError ===

impl TryFrom<Map<String, Value>> for EntraError {
    type Error = NotOAuth;

    fn try_from(body: Map<String, Value>) -> Result<Self, NotOAuth> {
        let text = |key| body.get(key).and_then(Value::as_str);
        let id = |key| text(key).map(name).filter(|id| !id.is_empty());
        let error = text("error").map(name).ok_or(NotOAuth)?;
        let codes = body.get("error_codes").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            error: if error.is_empty() { "unknown_error".to_owned() } else { error },
            error_description: text("error_description").unwrap_or_default().to_owned(),
            error_codes: codes.filter_map(code).take(16).collect(),
            trace_id: id("trace_id"),
            correlation_id: id("correlation_id"),
        })
    }
}

/// Some gateways make strings of numbers.
fn code(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64()?.try_into().ok(),
    }
}

// === impl Failure ===

impl Failure {
    /// A stable name for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Assertion { .. } => "assertion",
        }
    }

    /// The first AADSTS code that is known here, for a metric, which must not grow with what an authority makes up: `other`
    /// stands for the rest, and nothing where there is no code at all.
    pub fn code(&self) -> &'static str {
        let Self::Refused { error, .. } = self else {
            return "";
        };
        let known = error.error_codes.iter().map(|code| label(*code)).find(|label| *label != OTHER);
        known.unwrap_or(if error.error_codes.is_empty() { "" } else { OTHER })
    }

    /// What may come of asking the same again. A token file is read anew by every request, so waiting for it is the
    /// caller's.
    pub fn prospect(&self) -> Prospect {
        match self {
            Self::Refused { error, .. } => Prospect::of(error),
            Self::Throttled { .. } | Self::Unavailable { may_pass: true, .. } => Prospect::Passing,
            Self::Unavailable { may_pass: false, .. } | Self::Assertion { .. } => Prospect::Final,
        }
    }

    /// How long the authority asked not to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Assertion { .. } => None,
        }
    }

    /// The answer in the shape of `form`, where the authority is left alone for another `wait`.
    pub fn answer(&self, form: Form, wait: Duration) -> Answer {
        // Go does not retry at all above 25 seconds and Java waits five times as long as it is told.
        let retry_after = Some(wait.as_secs().clamp(1, 5));
        let (status, error, codes, correlation, retry_after) = match self {
            Self::Refused { error, .. } => {
                let passes = self.prospect() == Prospect::Passing;
                let (status, retry_after) = if passes { (503, retry_after) } else { (401, None) };
                (status, error.error.as_str(), &*error.error_codes, error.correlation_id.as_deref(), retry_after)
            }
            Self::Throttled { .. } => (429, "temporarily_unavailable", &[][..], None, retry_after),
            Self::Unavailable { .. } | Self::Assertion { may_pass: true, .. } => {
                (503, "temporarily_unavailable", &[][..], None, retry_after)
            }
            Self::Assertion { may_pass: false, .. } => (400, "invalid_request", &[][..], None, None),
        };
        let body = shape(form, status, error, &self.to_string(), codes, correlation);
        Answer { status, retry_after, allow: None, body }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, error, client_id, presented } => {
                match one_line(&error.error_description).as_str() {
                    "" => {
                        write!(f, "Entra ID answered {status} with the error '{}' and no description.", error.error)?;
                    }
                    description => f.write_str(description)?,
                }
                match Mismatch::of(&error.error_codes) {
                    Some(mismatch) => write!(f, " {}", mismatch.explain(client_id, presented)),
                    None => Ok(()),
                }
            }
            Self::Throttled { .. } => {
                f.write_str("Entra ID answered 429 Too Many Requests: it is throttling this client")
            }
            Self::Unavailable { description, .. } | Self::Assertion { description, .. } => f.write_str(description),
        }
    }
}

// === impl Rejection ===

impl Rejection {
    /// The answer in the shape of the form that was asked.
    pub fn answer(&self) -> Answer {
        let status = self.status();
        let body = match self.form() {
            Some(form) => shape(form, status, "invalid_request", &self.to_string(), &[], None),
            // As the metadata service says it, for anything that is no token path.
            None => br#"{"error":"Not Found"}"#.to_vec(),
        };
        Answer { status, retry_after: None, allow: (status == 405).then_some("GET"), body }
    }
}

// === codes ===

const OTHER: &str = "other";

macro_rules! labels {
    ($code:expr => $($known:literal)*) => {
        match $code {
            $($known => stringify!($known),)*
            _ => OTHER,
        }
    };
}

/// Those of the client-credentials flow with a federated assertion.
fn label(code: u32) -> &'static str {
    labels!(code =>
        50027 50034 50049 50166 50196 53003 70003 70011 70021 70023 70025 90002 90012 90024 90033 90055 90061 500011
        501661 700016 700022 700024 700027 700211 700212 700213 700222 700223 700226 700227 700236 700238 900023 900144
        1002012 7000112 7000216 7000229 7000272 7002121 7002137 7002138)
}

// === shapes ===

/// What the instance metadata service sends, with two of Entra's own keys.
#[derive(Serialize)]
struct Imds<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    error_codes: &'a [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

/// What App Service sends; an `error` beside these makes old Java clients lose the text.
#[derive(Serialize)]
struct AppService<'a> {
    #[serde(rename = "statusCode")]
    status_code: u16,
    message: &'a str,
    #[serde(rename = "correlationId", skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

fn shape(form: Form, status: u16, error: &str, text: &str, codes: &[u32], correlation: Option<&str>) -> Vec<u8> {
    let json = match form {
        Form::Imds => serde_json::to_vec(&Imds {
            error,
            error_description: text,
            error_codes: codes,
            correlation_id: correlation,
        }),
        Form::AppService => {
            serde_json::to_vec(&AppService { status_code: status, message: text, correlation_id: correlation })
        }
    };
    // Strings and numbers into memory: there is nothing that could fail.
    json.unwrap_or_default()
}

#[cfg(test)]
mod tests;
