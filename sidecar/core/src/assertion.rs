//! The pod's projected service-account token, as the client assertion of RFC 7523 section 2.2.
//!
//! Nothing here verifies it: only Entra can. Its claims are read so that a mistake can be named before and after the
//! exchange.

use std::fmt;

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::freshness::UnixTime;
use crate::secret::Secret;

/// A token that can be sent: a JWT that has not expired.
#[derive(Clone, Debug)]
pub struct Assertion {
    jwt: Secret,
    claims: Claims,
}

/// The claims that decide which federated credential matches, unverified. Absent ones are empty.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Claims {
    /// The cluster's issuer URL; a trailing slash counts.
    #[serde(default)]
    pub iss: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(default)]
    pub sub: String,
    /// Kubernetes writes an array, RFC 7519 allows a single string too.
    #[serde(default)]
    pub aud: Audience,
    /// Seconds since 1970; a token without one never expires here and is Entra's to refuse.
    #[serde(default)]
    pub exp: Option<UnixTime>,
}

/// The `aud` claim (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Audience {
    /// One audience as a bare string.
    One(String),
    /// Any number as an array.
    Many(Vec<String>),
}

/// Why a token file's text is no assertion. None of these carries the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Invalid {
    /// Nothing but white space: the kubelet has not written it yet.
    #[error("is empty")]
    Empty,
    /// Not three base64url parts with JSON claims.
    #[error("does not hold a JWT (header.payload.signature)")]
    NotJwt,
    /// Past its `exp`: the kubelet has stopped rotating it, or a clock is wrong.
    #[error("holds a token that expired at {exp} (now {now}, seconds since 1970)")]
    Expired {
        /// The token's `exp`.
        exp: UnixTime,
        /// The time of reading.
        now: UnixTime,
    },
}

// === impl Assertion ===

impl Assertion {
    /// Takes the text of a token file. White space around the token is dropped: some writers end the file with a
    /// newline, which Entra would refuse.
    pub fn parse(text: &str, now: UnixTime) -> Result<Self, Invalid> {
        let jwt = text.trim();
        if jwt.is_empty() {
            return Err(Invalid::Empty);
        }
        if jwt.split('.').count() != 3 || jwt.split('.').any(str::is_empty) {
            return Err(Invalid::NotJwt);
        }
        // By way of a map, because serde would read an array as a struct, too.
        let claims: Map<String, Value> = insecure_decode_claims(jwt).map_err(|_| Invalid::NotJwt)?;
        let claims: Claims = serde_json::from_value(Value::Object(claims)).map_err(|_| Invalid::NotJwt)?;
        match claims.exp {
            Some(exp) if exp <= now => Err(Invalid::Expired { exp, now }),
            _ => Ok(Self { jwt: Secret::new(jwt.to_owned()), claims }),
        }
    }

    /// The token to send.
    pub fn jwt(&self) -> &Secret {
        &self.jwt
    }

    /// What it says of itself, unverified.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

// === impl Audience ===

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(audience) => f.write_str(audience),
            Self::Many(audiences) => f.write_str(&audiences.join("', '")),
        }
    }
}

// === impl Invalid ===

impl Invalid {
    /// Whether waiting may help: the kubelet writes and rotates the file by itself.
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::NotJwt)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// An unsigned JWT with these claims.
    pub(crate) fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("signature"))
    }

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    #[test]
    fn reads_what_kubernetes_writes() {
        let token =
            jwt(r#"{"iss":"https://k/","sub":"system:serviceaccount:a:b","aud":["api://x"],"exp":1001,"nbf":1}"#);
        let assertion = Assertion::parse(&format!("\n{token} \r\n"), NOW).expect("valid");
        assert_eq!(assertion.jwt().expose(), token);
        let Claims { iss, sub, aud, exp } = assertion.claims().clone();
        assert_eq!((iss.as_str(), sub.as_str()), ("https://k/", "system:serviceaccount:a:b"));
        assert_eq!((aud.to_string().as_str(), exp), ("api://x", Some(UnixTime::from_secs(1001))));
        assert!(!format!("{assertion:?}").contains(&token));
    }

    #[test]
    fn audiences_and_absent_claims() {
        for (claims, audience) in
            [(r#"{"aud":"one"}"#, "one"), (r#"{"aud":["one","two"]}"#, "one', 'two"), (r#"{"aud":[]}"#, ""), ("{}", "")]
        {
            let assertion = Assertion::parse(&jwt(claims), NOW).expect("valid");
            assert_eq!(assertion.claims().aud.to_string(), audience, "{claims}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_sent() {
        let expired = jwt(r#"{"exp":1000}"#);
        for (text, invalid) in [
            ("", Invalid::Empty),
            (" \n\t", Invalid::Empty),
            ("secret", Invalid::NotJwt),
            ("a.b", Invalid::NotJwt),
            ("a.b.c", Invalid::NotJwt),
            ("e30.e30.", Invalid::NotJwt),
            ("e30.e30.x.y", Invalid::NotJwt),
            (&jwt("[]"), Invalid::NotJwt),
            (&jwt(r#"{"exp":"soon"}"#), Invalid::NotJwt),
            (&expired, Invalid::Expired { exp: NOW, now: NOW }),
        ] {
            assert_eq!(Assertion::parse(text, NOW).expect_err(text), invalid, "{text}");
        }
    }
}
