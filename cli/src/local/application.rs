//! The application's part, in the words that every Azure SDK sends: ask the endpoint for a token, and use it.

use super::kubelet::Environment;
use http::{StatusCode, header};
use podbadge_sidecar_core::{contract, secret::Secret};
use serde_json::{Map, Value};
use std::{fmt, time::Duration};

/// How long an application waits for a token.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A token in the application's hand.
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// What it says of itself, unverified.
    pub claims: Map<String, Value>,
    /// The seconds it is still valid.
    pub expires_in: String,
}

/// What the application was told instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its environment does not lead to an endpoint.
    #[error("the application has no {0}")]
    Variable(&'static str),
    /// Nobody answered.
    #[error("no answer from {url}")]
    Unreachable {
        /// Who was asked.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// It was refused.
    #[error("{status}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What the user sees.
        message: String,
    },
    /// A 200 without what it should hold.
    #[error("the answer has no usable {0}")]
    Answer(&'static str),
}

/// Asks for a token as SDKs do where they find `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`
/// (<https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>).
///
/// # Errors
///
/// There is no endpoint, it does not answer, or it refuses.
pub async fn token(client: &reqwest::Client, environment: &Environment, resource: &str) -> Result<Token, Error> {
    let variable = |name: &'static str| environment.get(name).ok_or(Error::Variable(name));
    let endpoint = variable(contract::IDENTITY_ENDPOINT)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("api-version", "2019-08-01").append_pair("resource", resource);
    if let Some(client_id) = environment.get(contract::CLIENT_ID) {
        query.append_pair("client_id", client_id);
    }
    let request = client
        .get(format!("{endpoint}?{}", query.finish()))
        .header("X-IDENTITY-HEADER", variable(contract::IDENTITY_HEADER)?);
    let body = send(request, endpoint).await?;
    let text = |name: &'static str| body[name].as_str().ok_or(Error::Answer(name));
    let secret = text("access_token")?;
    Ok(Token {
        claims: claims(secret).ok_or(Error::Answer("access_token"))?,
        secret: Secret::new(secret.to_owned()),
        expires_in: text("expires_in")?.to_owned(),
    })
}

/// Reads the current version of a secret from a key vault
/// (<https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret>).
///
/// # Errors
///
/// The vault does not answer, or refuses.
pub async fn secret(client: &reqwest::Client, vault: &str, name: &str, token: &Token) -> Result<String, Error> {
    let url = format!("{vault}/secrets/{name}?api-version=7.4");
    let mut bearer = header::HeaderValue::try_from(format!("Bearer {}", token.secret.expose()))
        .map_err(|_| Error::Answer("access_token"))?;
    bearer.set_sensitive(true);
    let body = send(client.get(&url).header(header::AUTHORIZATION, bearer), &url).await?;
    body["value"].as_str().map(str::to_owned).ok_or(Error::Answer("value"))
}

/// What a JWT says of itself. Nothing is verified: that is for those who accept it.
#[must_use]
pub fn claims(token: &str) -> Option<Map<String, Value>> {
    jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
}

/// Entra's code in a message that the user sees, such as `AADSTS700213`.
#[must_use]
pub fn code(message: &str) -> Option<&str> {
    let code = message.get(message.find("AADSTS")?..)?;
    code.split(|character: char| !character.is_ascii_alphanumeric()).next()
}

async fn send(request: reqwest::RequestBuilder, url: &str) -> Result<Value, Error> {
    let unreachable = |source: reqwest::Error| Error::Unreachable {
        url: url.to_owned(),
        // A URL may hold what was asked for; ours is in the message already.
        source: source.without_url(),
    };
    let response = request.timeout(TIMEOUT).send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let message =
        ["/message", "/error_description", "/error/message"].into_iter().find_map(|at| body.pointer(at)?.as_str());
    Err(Error::Refused { status, message: message.unwrap_or("without a message").to_owned() })
}

// === impl Token ===

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Token").field("claims", &self.claims).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_in_the_message() {
        for (message, found) in [
            ("AADSTS700213: No matching record", Some("AADSTS700213")),
            ("invalid_client: AADSTS70025", Some("AADSTS70025")),
            ("nothing of the kind", None),
        ] {
            assert_eq!(code(message), found, "{message}");
        }
    }
}
