//! Claims that a resource wants in a token.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

/// A claims challenge, as a resource sends it with its 401 (`insufficient_claims`,
/// <https://learn.microsoft.com/entra/identity-platform/claims-challenge>) and Entra takes it in the parameter `claims`
/// (OpenID Connect section 5.5): a JSON object of at most [`Challenge::MAX_LEN`] bytes, unchanged. A clone shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Challenge(Arc<str>);

/// Why a text is no claims challenge.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must be a JSON object of at most {} bytes", Challenge::MAX_LEN)]
pub struct Invalid;

// === impl Challenge ===

impl Challenge {
    /// Real ones have some hundreds.
    pub const MAX_LEN: usize = 2_048;

    /// The JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Challenge {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let short = text.len() <= Self::MAX_LEN;
        if short && serde_json::from_str::<Map<String, Value>>(text).is_ok() {
            Ok(Self(text.into()))
        } else {
            Err(Invalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_alone() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(2_041));
        for (text, expected) in [
            (r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#, true),
            ("{}", true),
            (" { } ", true),
            (&long[..long.len() - 1], false),
            ("", false),
            ("[]", false),
            ("null", false),
            ("eyJhY2Nlc3NfdG9rZW4iOnt9fQ==", false),
            ("{}{}", false),
        ] {
            assert_eq!(text.parse::<Challenge>().is_ok(), expected, "{text}");
        }
        assert_eq!(long.len(), 2_049);
        assert!(long.parse::<Challenge>().is_err() && long.replacen('x', "", 1).parse::<Challenge>().is_ok());
    }
}
