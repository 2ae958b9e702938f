//! Access tokens as Entra issues them to applications, version 1.0: that is what Key Vault, Resource Manager, Storage and
//! Microsoft Graph get (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>). Pure.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::decide::Grant;
use crate::config::Guid;

/// Entra dates tokens back by five minutes, for clocks that are behind.
const BACKDATED: i64 = 300;

/// From this lifetime on, clients are told to refresh at half of it.
const LONG: Duration = Duration::from_secs(2 * 60 * 60);

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) appid: String,
    pub(crate) appidacr: String,
    pub(crate) idp: String,
    pub(crate) idtyp: String,
    pub(crate) oid: String,
    pub(crate) rh: String,
    pub(crate) sub: String,
    pub(crate) tid: String,
    pub(crate) uti: String,
    pub(crate) ver: String,
}

/// The answer that carries a token (RFC 6749, section 5.1); every client reads these numbers.
#[derive(Serialize)]
pub(crate) struct Body {
    token_type: &'static str,
    expires_in: u64,
    ext_expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_in: Option<u64>,
    access_token: String,
}

// === impl Claims ===

impl Claims {
    /// The claims of a token issued `now`; `unique` stands in `uti` and `rh`.
    pub(crate) fn new(grant: &Grant, now: OffsetDateTime, lifetime: Duration, unique: Uuid) -> Self {
        let now = now.unix_timestamp();
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let issuer = issuer(grant.tenant);
        let principal = grant.principal.to_string();
        let unique = URL_SAFE_NO_PAD.encode(unique.as_bytes());
        Self {
            aud: grant.resource.clone(),
            iss: issuer.clone(),
            iat: now - BACKDATED,
            nbf: now - BACKDATED,
            exp: now.saturating_add(seconds),
            appid: grant.client.to_string(),
            // 2: the client proved itself by an assertion.
            appidacr: "2".to_owned(),
            idp: issuer,
            idtyp: "app".to_owned(),
            oid: principal.clone(),
            rh: format!("1.{unique}."),
            sub: principal,
            tid: grant.tenant.to_string(),
            uti: unique,
            ver: "1.0".to_owned(),
        }
    }
}

/// The issuer of a tenant's version 1.0 tokens.
pub(crate) fn issuer(tenant: Guid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

// === impl Body ===

impl Body {
    pub(crate) fn new(access_token: String, lifetime: Duration) -> Self {
        let left = lifetime.as_secs().saturating_sub(1);
        Self {
            token_type: "Bearer",
            expires_in: left,
            ext_expires_in: left,
            refresh_in: (lifetime >= LONG).then_some(left / 2),
            access_token,
        }
    }
}
