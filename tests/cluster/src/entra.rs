//! Entra ID and a key vault, by the emulator, for the identities of one cluster.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use podbadge_emulator::config::{Config, DEFAULT_AUDIENCE};
use podbadge_emulator::{Emulator, Running};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::sandbox::HOST;

/// The tenant of everything here.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// The application that trusts the service account [`ACCOUNT`] of the tests' namespaces.
pub const CLIENT: &str = "22222222-2222-4222-8222-222222222222";
/// That service account's name.
pub const ACCOUNT: &str = "orders";
/// Namespace and name of the service account of `helm test` for a release `second`; the application trusts it, too.
pub const HELM_TEST: (&str, &str) = ("podbadge-second", "second-podbadge-webhook-test");
/// The vault that the application may read.
pub const VAULT: &str = "orders-vault";
/// A secret of the vault.
pub const SECRET: &str = "greeting";
/// Its value.
pub const VALUE: &str = "hello from the vault";

/// Names of the emulator, to be resolved to [`HOST`].
pub(crate) const NAMES: [&str; 2] = ["entra.test", "orders-vault.vault.azure.net"];
const PORT: u16 = 8443;

/// The vault's URL as Azure has it, so that clients need not be told that the vault is no real one.
#[must_use]
pub fn vault_url() -> String {
    format!("https://{VAULT}.vault.azure.net")
}

/// A custom token endpoint, which stands between pods and Entra ID.
pub mod token_endpoint {
    /// The audience of the tokens that it takes.
    pub const AUDIENCE: &str = "api://AKSIdentityBinding";
    /// The name in its certificate.
    pub const NAME: &str = "bindings.test";
    /// Its URL; no pod can resolve the name.
    pub const URL: &str = "https://10.77.0.1:8444";
    pub(super) const PORT: u16 = 8444;
}

/// Starts the emulator. It fetches the cluster's keys from the API server, as Entra does from a public issuer.
///
/// # Errors
/// The emulator's own.
pub(crate) async fn start(control_plane: &ControlPlane, namespaces: &[String]) -> Result<Running> {
    let mut config = config(control_plane, DEFAULT_AUDIENCE, namespaces);
    config["hosts"] = json!([NAMES[0]]);
    config["vaults"] = json!([{
        "name": VAULT, "tenant": TENANT, "port": 443, "readers": [CLIENT],
        "secrets": [{"name": SECRET, "versions": [{"value": VALUE}]}],
    }]);
    run(&config, PORT).await
}

/// Starts the custom token endpoint for one namespace: another emulator, for such an endpoint hands requests on to Entra
/// ID and answers with what comes back.
///
/// # Errors
/// The emulator's own.
pub async fn start_token_endpoint(control_plane: &ControlPlane, namespace: &str) -> Result<Running> {
    let mut config = config(control_plane, token_endpoint::AUDIENCE, &[namespace.to_owned()]);
    config["hosts"] = json!([token_endpoint::NAME]);
    run(&config, token_endpoint::PORT).await
}

fn config(control_plane: &ControlPlane, audience: &str, namespaces: &[String]) -> Value {
    let of = |namespace: &str, account: &str| {
        json!({
            "name": format!("{namespace}-{account}"),
            "issuer": control_plane.url,
            "subject": format!("system:serviceaccount:{namespace}:{account}"),
            "audience": audience,
        })
    };
    let accounts = namespaces.iter().map(|namespace| (namespace.as_str(), ACCOUNT)).chain([HELM_TEST]);
    let credentials: Vec<_> = accounts.map(|(namespace, account)| of(namespace, account)).collect();
    json!({
        "tenants": [{"id": TENANT}],
        "applications": [{
            "clientId": CLIENT, "tenant": TENANT, "name": "orders",
            "servicePrincipalId": "33333333-3333-4333-8333-333333333333",
            "federatedCredentials": credentials,
        }],
        "trustedCas": [control_plane.authority],
    })
}

async fn run(config: &Value, port: u16) -> Result<Running> {
    let config = Config::from_yaml(&config.to_string())?;
    Emulator::start(config, SocketAddr::from((HOST, port))).await.context("the emulator")
}
