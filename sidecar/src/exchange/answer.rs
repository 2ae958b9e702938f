//! What Entra's token endpoint grants, as a type of the `oauth2` crate.

use std::time::Duration;

use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use podbadge_sidecar_core::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize};

/// A granted token. The crate's own type takes `expires_in` as a number only; some of Entra's endpoints send strings.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Granted {
    access_token: AccessToken,
    #[serde(deserialize_with = "oauth2::helpers::deserialize_untagged_enum_case_insensitive")]
    token_type: BasicTokenType,
    #[serde(deserialize_with = "seconds")]
    expires_in: Duration,
    #[serde(default, deserialize_with = "maybe_seconds")]
    refresh_in: Option<Duration>,
}

// === impl Granted ===

impl Granted {
    /// The token, its life and the time to renew it; none if there is nothing to hand out.
    pub(super) fn into_parts(self) -> Option<(Secret, Duration, Option<Duration>)> {
        let Self { access_token, token_type, expires_in, refresh_in } = self;
        let secret = access_token.into_secret();
        // It goes into a header of the application's requests (RFC 6750 section 2.1), where anything else ends the header
        // or begins another one.
        let visible = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
        let usable = visible && !expires_in.is_zero() && token_type == BasicTokenType::Bearer;
        // Wiped on drop even if it is of no use.
        let secret = Secret::new(secret);
        usable.then_some((secret, expires_in, refresh_in))
    }
}

impl TokenResponse for Granted {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        Some(self.expires_in)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
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
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(seconds(value).ok().filter(|hint| !hint.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(json: &str) -> Option<(String, u64, Option<u64>)> {
        let (secret, lasts, refresh) = serde_json::from_str::<Granted>(json).ok()?.into_parts()?;
        Some((secret.expose().to_owned(), lasts.as_secs(), refresh.map(|refresh| refresh.as_secs())))
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
}
