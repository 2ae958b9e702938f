//! What Entra's token endpoint grants, as a type of the `oauth2` crate, whose own takes `expires_in` as a number only.

use std::time::Duration;

use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use podbadge_sidecar_core::grant::Grant;
use serde::{Deserialize, Serialize};

/// A granted token. The crate would have it printed and written again; nobody does, and nothing is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(from = "Grant")]
pub(super) struct Granted {
    #[serde(skip_serializing)]
    pub(super) grant: Grant,
    nothing: AccessToken,
    token_type: BasicTokenType,
}

// === impl Granted ===

impl From<Grant> for Granted {
    fn from(grant: Grant) -> Self {
        Self { grant, nothing: AccessToken::new(String::new()), token_type: BasicTokenType::Bearer }
    }
}

impl TokenResponse for Granted {
    type TokenType = BasicTokenType;

    /// Empty: the token is in the grant, and wiped on drop.
    fn access_token(&self) -> &AccessToken {
        &self.nothing
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        Some(self.grant.lasts)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}
