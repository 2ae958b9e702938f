//! Reads a client assertion without trusting it yet. Pure.

use jsonwebtoken::{Algorithm, AlgorithmFamily, dangerous};
use serde::Deserialize;

use super::refusal::Refusal;

/// What an assertion says, nothing of it verified.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// The audiences; more than one never matches.
    pub(crate) audience: Vec<String>,
    pub(crate) issued_at: Option<i64>,
    /// 0 where absent.
    pub(crate) not_before: i64,
    /// 0 where absent.
    pub(crate) expires: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    iat: Option<NumericDate>,
    nbf: Option<NumericDate>,
    exp: Option<NumericDate>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Seconds since 1970, possibly with a fraction (RFC 7519, section 2).
#[derive(Deserialize)]
struct NumericDate(f64);

// === impl Assertion ===

impl Assertion {
    /// Reads a compact JWT.
    ///
    /// # Errors
    /// If it is none, lacks `iss`, `sub` or `aud`, or is signed by an algorithm that Entra does not take.
    pub(crate) fn read(jwt: &str) -> Result<Self, Refusal> {
        let token = dangerous::insecure_decode::<Claims>(jwt).map_err(|_| Refusal::Malformed)?;
        let (header, claims) = (token.header, token.claims);
        // RSA signatures of any kind are taken, nothing else (microsoft-identity-web issue 3467).
        if header.alg.family() != AlgorithmFamily::Rsa {
            return Err(Refusal::Algorithm(format!("{:?}", header.alg)));
        }
        Ok(Self {
            kid: header.kid.unwrap_or_default(),
            algorithm: header.alg,
            issuer: claims.iss,
            subject: claims.sub,
            audience: match claims.aud {
                OneOrMany::One(audience) => vec![audience],
                OneOrMany::Many(audiences) => audiences,
            },
            issued_at: claims.iat.map(seconds),
            not_before: claims.nbf.map_or(0, seconds),
            expires: claims.exp.map_or(0, seconds),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction is meant to go, and the cast saturates")]
#[expect(clippy::needless_pass_by_value, reason = "taken out of an Option by map")]
fn seconds(date: NumericDate) -> i64 {
    date.0 as i64
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn dates_and_audiences_come_in_several_forms() {
        let claims = r#"{"iss":"i","sub":"s","aud":"a","iat":1700000000.9,"exp":1.7e9}"#;
        let assertion = Assertion::read(&jwt(r#"{"alg":"RS256"}"#, claims)).expect("readable");
        assert_eq!(
            (assertion.issued_at, assertion.not_before, assertion.expires),
            (Some(1_700_000_000), 0, 1_700_000_000)
        );
        assert_eq!((assertion.audience, assertion.kid.as_str()), (vec!["a".to_owned()], ""));
        let claims = r#"{"iss":"i","sub":"s","aud":["a","b"],"exp":1e300,"nbf":-1}"#;
        let assertion = Assertion::read(&jwt(r#"{"alg":"PS512","kid":"k","x":1}"#, claims)).expect("readable");
        assert_eq!((assertion.issued_at, assertion.not_before, assertion.expires), (None, -1, i64::MAX));
        assert_eq!((assertion.audience.len(), assertion.kid.as_str()), (2, "k"));
    }

    #[test]
    fn what_is_no_jwt_is_malformed() {
        let (header, claims) = (r#"{"alg":"RS256"}"#, r#"{"iss":"i","sub":"s","aud":"a"}"#);
        for wrong in [
            String::new(),
            "..".to_owned(),
            jwt("{}", claims),
            jwt(r#"{"alg":"none"}"#, claims),
            jwt(header, "[]"),
            jwt(header, r#"{"sub":"s","aud":"a"}"#),
            jwt(header, r#"{"iss":"i","aud":"a"}"#),
            jwt(header, r#"{"iss":"i","sub":"s"}"#),
            jwt(header, r#"{"iss":1,"sub":"s","aud":"a"}"#),
            jwt(header, r#"{"iss":"i","sub":"s","aud":"a","exp":"soon"}"#),
            format!("{}.x", jwt(header, claims)),
        ] {
            assert_eq!(Assertion::read(&wrong).err(), Some(Refusal::Malformed), "{wrong}");
        }
        for (header, name) in [(r#"{"alg":"HS256"}"#, "HS256"), (r#"{"alg":"EdDSA"}"#, "EdDSA")] {
            assert_eq!(Assertion::read(&jwt(header, claims)).err(), Some(Refusal::Algorithm(name.to_owned())));
        }
    }
}
