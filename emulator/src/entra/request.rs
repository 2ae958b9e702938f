//! Reads the form of a token request. Pure.

use url::form_urlencoded;

use super::refusal::Refusal;

/// The only assertion type for a JWT (RFC 7523, section 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The parameters that Entra reads here; others (`client_info`, telemetry, `claims`) are ignored.
const READ: &[&str] =
    &["grant_type", "client_id", "client_secret", "client_assertion", "client_assertion_type", "scope", "resource"];

/// A decoded form.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

/// The parts of a client-credentials request with an assertion (RFC 6749, section 4.4; RFC 7523).
#[derive(Debug)]
pub(crate) struct TokenRequest {
    pub(crate) client_id: String,
    pub(crate) assertion: String,
    pub(crate) scope: String,
}

// === impl Form ===

impl Form {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of a parameter; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::MissingParameter(name))
    }

    fn twice(&self) -> Option<&'static str> {
        READ.iter().copied().find(|name| self.0.iter().filter(|(key, _)| key == name).count() > 1)
    }
}

// === impl TokenRequest ===

impl TokenRequest {
    /// Reads what the token endpoint needs.
    ///
    /// # Errors
    /// The refusal of the first parameter that is missing, repeated or not supported.
    pub(crate) fn read(form: &Form) -> Result<Self, Refusal> {
        if let Some(name) = form.twice() {
            return Err(Refusal::RepeatedParameter(name));
        }
        let grant = form.required("grant_type")?;
        if grant != "client_credentials" {
            return Err(Refusal::GrantType(grant.to_owned()));
        }
        let client_id = form.required("client_id")?;
        if form.get("resource").is_some() {
            return Err(Refusal::ResourceParameter);
        }
        let scope = form.required("scope")?;
        let assertion = match (form.get("client_assertion"), form.get("client_secret")) {
            (Some(assertion), _) => assertion,
            // No application here has a secret.
            (None, Some(_)) => {
                return Err(Refusal::WrongSecret { client: client_id.to_owned() });
            }
            (None, None) => return Err(Refusal::NoCredential),
        };
        let kind = form.required("client_assertion_type")?;
        if kind != JWT_BEARER {
            return Err(Refusal::AssertionType);
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            // Several SDKs send the token file as it is, newline included.
            assertion: assertion.trim().to_owned(),
            scope: scope.to_owned(),
        })
    }
}
