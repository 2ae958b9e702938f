//! What the emulator knows: tenants, applications with their federated credentials, vaults with their secrets.
//!
//! ```yaml
//! tenants:
//!   - id: 11111111-1111-4111-8111-111111111111
//!     domains: [contoso.onmicrosoft.com]
//! applications:
//!   - clientId: 22222222-2222-4222-8222-222222222222
//!     tenant: 11111111-1111-4111-8111-111111111111
//!     name: orders
//!     servicePrincipalId: 33333333-3333-4333-8333-333333333333
//!     federatedCredentials:
//!       - name: orders-in-shop
//!         issuer: https://issuer.example/
//!         subject: system:serviceaccount:shop:orders
//!         audience: api://AzureADTokenExchange   # the default
//! vaults:
//!   - name: orders-vault
//!     tenant: 11111111-1111-4111-8111-111111111111
//!     port: 8444                         # optional; default: any free one
//!     readers: [22222222-2222-4222-8222-222222222222]
//!     secrets:
//!       - name: greeting
//!         versions: [{ value: hello }]
//! # All optional:
//! resources: [https://vault.azure.net]   # what tokens can be asked for; default: Azure's best-known services
//! tokenLifetimeSeconds: 3600             # 2 to 86400
//! hosts: [entra.test]                    # names in the certificate beside localhost; the first stands in the URLs
//! trustedCas: []                         # PEM texts: authorities of private cluster issuers
//! faults:
//!   - { on: token, status: 503, retryAfterSeconds: 2, times: 3 }
//! ```

mod value;

use std::num::NonZeroU16;

use serde::Deserialize;
use thiserror::Error;

pub(crate) use self::value::is_host_name;
pub use self::value::{
    Audience, CredentialName, DisplayName, Domain, Guid, Host, Invalid, Issuer, Resource, Roots, SecretName,
    SecretValue, Subject, TokenLifetime, VaultName, VersionId,
};
use crate::{directory::Directory, fault::Fault};

/// The audience of projected tokens for Entra's public cloud.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Everything the emulator knows. Each value is valid by its type; what several values must be together is checked by
/// [`Config::from_yaml`] and [`crate::Emulator::start`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The tenants, at least one.
    pub tenants: Vec<Tenant>,
    /// The applications.
    #[serde(default)]
    pub applications: Vec<Application>,
    /// What tokens can be asked for; one trailing slash makes no difference. Empty: Azure's best-known services.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// The key vaults.
    #[serde(default)]
    pub vaults: Vec<Vault>,
    /// Faults to begin with; more can be injected while running.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Names and addresses in the certificate, beside `localhost`, `127.0.0.1`, `login.microsoftonline.com` and each
    /// vault's `NAME.vault.azure.net`. The first one stands in the URLs; without any it is the bound address.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// Authorities that cluster issuers have their certificates from, beside the public ones.
    #[serde(default)]
    pub trusted_cas: Vec<Roots>,
    /// How long access tokens are valid.
    #[serde(default, rename = "tokenLifetimeSeconds")]
    pub token_lifetime: TokenLifetime,
}

/// A tenant (directory).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// The tenant id.
    pub id: Guid,
    /// Its verified domains; each names the tenant as well as the id does.
    #[serde(default)]
    pub domains: Vec<Domain>,
}

/// An application (or user-assigned managed identity) of one tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Application {
    /// The application (client) id.
    pub client_id: Guid,
    /// The tenant it is registered in.
    pub tenant: Guid,
    /// The display name.
    pub name: DisplayName,
    /// The object id of its service principal, the `oid` of its tokens. Without one the application is refused as Entra
    /// refuses one that nobody installed (AADSTS7000229).
    #[serde(default)]
    pub service_principal_id: Option<Guid>,
    /// Whether it is disabled (AADSTS7000112).
    #[serde(default)]
    pub disabled: bool,
    /// Whose tokens it trusts, at most 20.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A federated identity credential: the tokens of one subject of one issuer, for one audience. All three are compared
/// exactly and case-sensitively
/// (<https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// Its name, unique in the application.
    pub name: CredentialName,
    /// The `iss` of the token.
    pub issuer: Issuer,
    /// The `sub` of the token.
    pub subject: Subject,
    /// The one `aud` of the token.
    #[serde(default)]
    pub audience: Audience,
}

/// A key vault of one tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vault {
    /// Its name, unique, in any letter case.
    pub name: VaultName,
    /// The tenant whose tokens it accepts.
    pub tenant: Guid,
    /// The port it listens on, on the authority's address; without one any free port.
    #[serde(default)]
    pub port: Option<NonZeroU16>,
    /// The client ids of those who may read its secrets.
    #[serde(default)]
    pub readers: Vec<Guid>,
    /// Its secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
}

/// A secret of a vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Its name, unique in the vault, in any letter case.
    pub name: SecretName,
    /// Its versions, oldest first, at least one.
    pub versions: Vec<Version>,
}

/// One version of a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// Its id; without one its place in the list, in 32 digits.
    #[serde(default)]
    pub id: Option<VersionId>,
    /// The value.
    pub value: SecretValue,
    /// Whether it may be read.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

/// Why a configuration is refused, in one line that names the place.
#[derive(Debug, Error)]
pub enum Error {
    /// Not YAML, an unknown key, a missing one, or a value that breaks its rule.
    #[error(transparent)]
    Yaml(#[from] serde_norway::Error),
    /// Values that do not fit together.
    #[error("{path}: {problem}")]
    Together {
        /// The place, such as `applications[1].federatedCredentials`.
        path: String,
        /// What is wrong, with what is allowed.
        problem: String,
    },
}

// === impl Config ===

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// One line that names the place, the value and what is allowed.
    pub fn from_yaml(text: &str) -> Result<Self, Error> {
        let config: Self = serde_norway::from_str(text)?;
        Directory::new(config.clone())?;
        Ok(config)
    }
}

// === impl Version ===

impl From<String> for Version {
    /// An enabled version with this value.
    fn from(value: String) -> Self {
        Self { id: None, value: SecretValue::new(value), enabled: true }
    }
}

fn enabled() -> bool {
    true
}
