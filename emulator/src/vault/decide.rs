//! What a vault answers (<https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret>). Pure: the time and Entra's
//! key are arguments.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    config::Vault,
    entra::grant::{self, Claims},
};

/// What tokens for Key Vault are issued for, in the public cloud.
pub(crate) const RESOURCE: &str = "https://vault.azure.net";
/// The same by Key Vault's application id.
const APPLICATION: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";

/// The versions of the protocol that are served; the newest is also the one that texts advise.
const API_VERSIONS: &[&str] =
    &["2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];
const NEWEST: &str = "2026-04-01";

/// A request for a secret.
pub(crate) struct Asked<'r> {
    /// The value of `Authorization`.
    pub(crate) authorization: Option<&'r str>,
    pub(crate) api_version: Option<&'r str>,
    pub(crate) name: &'r str,
    /// The version, the newest without.
    pub(crate) version: Option<&'r str>,
}

/// A secret as the protocol writes it.
#[derive(Serialize)]
pub(crate) struct Bundle<'v> {
    value: &'v str,
    id: String,
    attributes: Value,
    tags: Value,
}

/// Why a vault refuses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoToken,
    Malformed,
    UnknownKey,
    Signature,
    Issuer { expected: String, found: String },
    Audience(String),
    Expired,
    NoApiVersion,
    ApiVersion(String),
    Forbidden { caller: String, vault: String },
    NotFound(String),
    Disabled,
    Method,
    Path,
}

/// Reads the secret asked for, at `host` (the vault's URL).
///
/// # Errors
/// The first check that fails: token, audience and time, protocol version, right to read, the secret itself.
pub(crate) fn read<'v>(
    vault: &'v Vault,
    host: &str,
    asked: &Asked<'_>,
    (kid, key): (&str, &DecodingKey),
    now: OffsetDateTime,
) -> Result<Bundle<'v>, Refusal> {
    let claims = claims(asked.authorization, (kid, key))?;
    trusted(vault, &claims, now)?;
    match asked.api_version {
        None => return Err(Refusal::NoApiVersion),
        Some(version) if !API_VERSIONS.contains(&version) => return Err(Refusal::ApiVersion(version.to_owned())),
        Some(_) => {}
    }
    if !vault.readers.iter().any(|reader| reader.to_string() == claims.appid) {
        let caller = format!("appid={};oid={};iss={}", claims.appid, claims.oid, claims.iss);
        return Err(Refusal::Forbidden { caller, vault: vault.name.to_string() });
    }
    let missing = || {
        let name = asked.version.map_or_else(|| asked.name.to_owned(), |version| format!("{}/{version}", asked.name));
        Refusal::NotFound(name)
    };
    let secret = vault.secret(asked.name).ok_or_else(missing)?;
    let (id, version) = secret.version(asked.version).ok_or_else(missing)?;
    if !version.enabled {
        return Err(Refusal::Disabled);
    }
    Ok(Bundle {
        value: version.value.expose(),
        id: format!("{host}/secrets/{}/{id}", secret.name),
        attributes: json!({ "enabled": true, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90 }),
        tags: json!({}),
    })
}

fn claims(authorization: Option<&str>, (kid, key): (&str, &DecodingKey)) -> Result<Claims, Refusal> {
    let token = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(Refusal::NoToken)?;
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
    if header.kid.as_deref() != Some(kid) {
        return Err(Refusal::UnknownKey);
    }
    let mut validation = Validation::new(Algorithm::RS256);
    // Audience and times are judged apart, by the time given.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode::<Claims>(token, key, &validation) {
        Ok(token) => Ok(token.claims),
        Err(_) => Err(Refusal::Signature),
    }
}

fn trusted(vault: &Vault, claims: &Claims, now: OffsetDateTime) -> Result<(), Refusal> {
    let expected = grant::issuer(vault.tenant);
    if claims.iss != expected {
        return Err(Refusal::Issuer { expected, found: claims.iss.clone() });
    }
    let audience = claims.aud.strip_suffix('/').unwrap_or(&claims.aud);
    if audience != RESOURCE && audience != APPLICATION {
        return Err(Refusal::Audience(claims.aud.clone()));
    }
    if (claims.nbf..claims.exp).contains(&now.unix_timestamp()) { Ok(()) } else { Err(Refusal::Expired) }
}

// === impl Refusal ===

impl Refusal {
    /// The HTTP status and the body, in the service's own words.
    pub(crate) fn answer(&self) -> (u16, Value) {
        let (status, code, message, inner) = match self {
            Self::NoToken => {
                (401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.".to_owned(), None)
            }
            Self::Malformed => (401, "Unauthorized", "AKV10083: Authentication token is malformed.".to_owned(), None),
            Self::UnknownKey => {
                let message = "AKV10046: Unable to resolve the key used for signature validation.".to_owned();
                (401, "Unauthorized", message, None)
            }
            Self::Signature => (401, "Unauthorized", "Error validating token: IDX10511".to_owned(), None),
            Self::Issuer { expected, found } => {
                let message = format!("AKV10032: Invalid issuer. Expected one of {expected}, found {found}.");
                (401, "Unauthorized", message, None)
            }
            Self::Audience(found) => {
                let message = format!("AKV10022: Invalid audience. Expected {RESOURCE}, found: {found}.");
                (401, "Unauthorized", message, None)
            }
            Self::Expired => (401, "Unauthorized", "Error validating token: IDX10223".to_owned(), None),
            Self::NoApiVersion => (400, "BadParameter", "api-version must be specified".to_owned(), None),
            Self::ApiVersion(version) => {
                let message = format!(
                    "The specified version ({version}) is not recognized. Consider using the latest supported version \
                     ({NEWEST})."
                );
                (400, "BadParameter", message, None)
            }
            Self::Forbidden { caller, vault } => {
                let message = format!(
                    "The user, group or application '{caller}' does not have secrets get permission on key vault \
                     '{vault};location=local'. For help resolving this issue, please see \
                     https://go.microsoft.com/fwlink/?linkid=2125287"
                );
                (403, "Forbidden", message, Some("AccessDenied"))
            }
            Self::NotFound(name) => {
                let message = format!(
                    "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this \
                     secret you may be able to recover it using the correct recovery command. For help resolving this \
                     issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
                );
                (404, "SecretNotFound", message, None)
            }
            Self::Disabled => {
                let message = "Operation get is not allowed on a disabled secret.".to_owned();
                (403, "Forbidden", message, Some("SecretDisabled"))
            }
            Self::Method => (405, "MethodNotAllowed", "Only GET of a secret is served by this vault.".to_owned(), None),
            Self::Path => {
                (404, "NotFound", "Only /secrets/{name} and /secrets/{name}/{version} are served.".to_owned(), None)
            }
        };
        let mut error = json!({ "code": code, "message": message });
        if let Some(inner) = inner {
            error["innererror"] = json!({ "code": inner });
        }
        (status, json!({ "error": error }))
    }
}
