//! What the webhook injects, read from its golden pods, with the values of a pod that runs here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use podbadge_sidecar_core::contract;
use serde_json::Value;

/// Variables by name.
pub type Environment = BTreeMap<String, String>;

/// The tenant of everything here.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// The pod's own identity.
pub const OWN: &str = "22222222-2222-4222-8222-222222222222";
/// Another one that trusts the pod.
pub const CHOSEN: &str = "44444444-4444-4444-8444-444444444444";
/// One that the pod may not have.
pub const FOREIGN: &str = "66666666-6666-4666-8666-666666666666";
/// Of the pod; what proves who asks.
const UID: &str = "7f3f9c1e-0000-4000-8000-00000000f00d";

/// How a client finds the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By all variables that are injected; those that every current SDK reads come first.
    Endpoint,
    /// By the variable that names another host for the metadata service.
    Host,
    /// Not at all: what it sends to the metadata service is redirected.
    Redirect,
}

impl Way {
    /// As it stands in the table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Endpoint => "`IDENTITY_ENDPOINT`",
            Self::Host => "`AZURE_POD_IDENTITY_AUTHORITY_HOST`",
            Self::Redirect => "redirection",
        }
    }

    /// As it stands in the name of a test.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Host => "host",
            Self::Redirect => "redirect",
        }
    }

    /// The variables of the application, in a pod whose authority is `authority`.
    ///
    /// # Errors
    /// The webhook's golden pod is not what it was.
    pub fn application(self, authority: &str) -> Result<Environment> {
        let mut variables = injected("containers", "web", authority)?;
        let hidden: &[&str] = match self {
            Self::Endpoint => &[],
            Self::Host => &[contract::IDENTITY_ENDPOINT, contract::IDENTITY_HEADER],
            Self::Redirect => {
                &[contract::IDENTITY_ENDPOINT, contract::IDENTITY_HEADER, contract::POD_IDENTITY_AUTHORITY_HOST]
            }
        };
        for name in hidden {
            variables.remove(*name).with_context(|| format!("{name} is not injected any more"))?;
        }
        Ok(variables)
    }
}

/// The variables of the sidecar.
///
/// # Errors
/// The webhook's golden pod is not what it was.
pub fn sidecar(authority: &str) -> Result<Environment> {
    injected("initContainers", contract::CONTAINER_NAME, authority)
}

/// What a container of the golden pod is given.
fn injected(list: &str, container: &str, authority: &str) -> Result<Environment> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../webhook/core/tests/golden/sidecar-endpoint-native/expected.yaml");
    let text = fs::read_to_string(&golden).with_context(|| golden.display().to_string())?;
    let expected: Value = serde_norway::from_str(&text)?;
    let containers = expected["pod"]["spec"][list].as_array().context("the golden pod's containers")?;
    let found = containers.iter().find(|found| found["name"] == container);
    let variables = found.and_then(|found| found["env"].as_array()).context("the golden pod's variables")?;
    variables
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().context("a variable's name")?;
            let value = match name {
                contract::CLIENT_ID => OWN,
                contract::TENANT_ID => TENANT,
                contract::AUTHORITY_HOST => authority,
                _ if variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.uid" => UID,
                _ => variable["value"].as_str().with_context(|| name.to_owned())?,
            };
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}
