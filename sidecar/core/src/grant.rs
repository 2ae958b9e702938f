//! The answer of Entra's token endpoint that holds a token.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use crate::secret::Secret;

/// A granted token that can be handed out. The number of its seconds may be a text; some of Entra's endpoints send such.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Grant {
    /// For a header of the application's requests (RFC 6750 section 2.1): visible ASCII and nothing else, which would end
    /// the header or begin another one.
    pub secret: Secret,
    /// More than none.
    pub lasts: Duration,
    /// When to renew it, if Entra says so.
    pub refresh_in: Option<Duration>,
}

/// There is nothing to hand out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there is no bearer token with a life of its own")]
pub struct NoToken;

#[derive(Deserialize)]
struct Raw {
    #[serde(deserialize_with = "secret")]
    access_token: Secret,
    token_type: String,
    #[serde(deserialize_with = "seconds")]
    expires_in: Duration,
    #[serde(default, deserialize_with = "maybe_seconds")]
    refresh_in: Option<Duration>,
}

// === impl Grant ===

impl TryFrom<Raw> for Grant {
    type Error = NoToken;

    fn try_from(raw: Raw) -> Result<Self, NoToken> {
        let Raw { access_token: secret, token_type, expires_in: lasts, refresh_in } = raw;
        let token = secret.expose();
        let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let usable = visible && !lasts.is_zero() && token_type.eq_ignore_ascii_case("bearer");
        if usable { Ok(Self { secret, lasts, refresh_in }) } else { Err(NoToken) }
    }
}

/// Wiped on drop even if it is of no use.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

// === seconds ===

/// Entra's longest lives are of 28 hours (continuous access evaluation). Whatever is beyond a year is a mistake that
/// would keep a token forever and that not every client's arithmetic bears.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Float(f64),
    Text(String),
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    // The value is not repeated in the error: nothing of a body that holds a token is.
    let wrong = || serde::de::Error::custom("not a number of seconds");
    let secs = match Seconds::deserialize(deserializer).map_err(|_| wrong())? {
        Seconds::Number(secs) => secs,
        // Written without its fraction exactly if that is zero.
        Seconds::Float(secs) => secs.to_string().parse().map_err(|_| wrong())?,
        Seconds::Text(text) => text.trim().parse().map_err(|_| wrong())?,
    };
    Ok(Duration::from_secs(secs).min(LONGEST))
}

/// A hint only: what cannot be read is as good as absent.
fn maybe_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(seconds(value).ok().filter(|hint| !hint.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(json: &str) -> Option<(String, u64, Option<u64>)> {
        let Grant { secret, lasts, refresh_in } = serde_json::from_str(json).ok()?;
        Some((secret.expose().to_owned(), lasts.as_secs(), refresh_in.map(|refresh| refresh.as_secs())))
    }

    #[test]
    fn seconds_in_either_spelling() {
        for (json, expected) in [
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":3599}"#, Some((3599, None))),
            (r#"{"access_token":"t","token_type":"bearer","expires_in":"3599"}"#, Some((3599, None))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":9,"refresh_in":"4"}"#, Some((9, Some(4)))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":9,"refresh_in":null}"#, Some((9, None))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":9,"refresh_in":0}"#, Some((9, None))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":3599.0}"#, Some((3599, None))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":3.6e3}"#, Some((3600, None))),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":3599.5}"#, None),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":1e300}"#, None),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":-1.0}"#, None),
            (
                r#"{"access_token":"t","token_type":"Bearer","expires_in":18446744073709551615}"#,
                Some((31_536_000, None)),
            ),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":0}"#, None),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":"soon"}"#, None),
            (r#"{"access_token":"t","token_type":"Bearer","expires_in":-1}"#, None),
            (r#"{"access_token":"t","token_type":"Bearer"}"#, None),
            (r#"{"access_token":"t","token_type":"pop","expires_in":9}"#, None),
            (r#"{"access_token":"","token_type":"Bearer","expires_in":9}"#, None),
            (r#"{"access_token":"t\r\nX: y","token_type":"Bearer","expires_in":9}"#, None),
            (r#"{"access_token":"t t","token_type":"Bearer","expires_in":9}"#, None),
            (r#"{"access_token":"tü","token_type":"Bearer","expires_in":9}"#, None),
            (r#"{"access_token":"t\u0000","token_type":"Bearer","expires_in":9}"#, None),
            (r#"{"token_type":"Bearer","expires_in":9}"#, None),
        ] {
            let expected = expected.map(|(lasts, refresh)| ("t".to_owned(), lasts, refresh));
            assert_eq!(parts(json), expected, "{json}");
        }
    }

    /// Errors of what holds a token repeat nothing of it.
    #[test]
    fn errors_are_blank() {
        for json in [
            r#"{"access_token":"hunter","token_type":"Bearer","expires_in":"hunter"}"#,
            r#"{"access_token":"hunter","token_type":"hunter","expires_in":9}"#,
            r#"{"access_token":"hunter two","token_type":"Bearer","expires_in":9}"#,
            r#"{"access_token":["hunter"],"token_type":"Bearer","expires_in":9}"#,
        ] {
            let error = serde_json::from_str::<Grant>(json).expect_err(json).to_string();
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
