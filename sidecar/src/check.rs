//! `podbadge-sidecar check`: what this container has of an identity, and with a resource also whether the authority gives a
//! token for it. For the pod of `helm test`, and for whoever asks why a pod of theirs gets none: the image has no shell.

use std::ffi::OsString;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use podbadge_runtime::metrics;
use podbadge_sidecar_core::assertion::Claims;
use podbadge_sidecar_core::contract;
use podbadge_sidecar_core::federation::FederatedCredential;
use podbadge_sidecar_core::freshness::UnixTime;
use podbadge_sidecar_core::ids::{ClientId, Resource};
use thiserror::Error;

use crate::broker::Exchange as _;
use crate::cache::Key;
use crate::clock::Clock;
use crate::config::{self, Config, Wrong};
use crate::exchange::Entra;
use crate::metrics::Metrics;
use crate::token_file::TokenFile;

/// What every injected container has.
const INJECTED: [&str; 4] =
    [contract::CLIENT_ID, contract::TENANT_ID, contract::AUTHORITY_HOST, contract::FEDERATED_TOKEN_FILE];

/// All that is to be looked at.
pub(crate) struct Check {
    client_id: Option<ClientId>,
    config: Config,
    resource: Option<Resource>,
}

/// There is nothing to look at.
pub(crate) enum Unready {
    /// Nobody gave the container its identity.
    NotInjected(NotInjected),
    /// Somebody gave it something that is none.
    Wrong(Wrong),
}

/// Why there is nothing to look at here.
#[derive(Debug, Error)]
pub(crate) enum NotInjected {
    /// Which variables are missing, and where to look.
    #[error(
        "this container has no identity: {} not set. No webhook was asked about its pod, or none answered. Look whether \
         podbadge-webhook is ready, whether the pod has the label azure.workload.identity/use=\"true\", whether its service account \
         is annotated with azure.workload.identity/client-id, and whether a selector of the MutatingWebhookConfiguration leaves \
         its namespace out",
        .0.join(", ")
    )]
    Nothing(Vec<&'static str>),
    /// The sidecar keeps the pod's token to itself.
    #[error(
        "this container has its identity from the sidecar, and no token of its own to look at: ask there, by kubectl exec POD \
         -c {} -- {} {}",
        contract::CONTAINER_NAME,
        contract::PROGRAM,
        contract::CHECK
    )]
    BySidecar,
}

/// Reads the variables.
///
/// # Errors
/// They are not those of a container with an identity.
pub(crate) fn read(vars: &impl Fn(&str) -> Option<OsString>) -> Result<Check, Unready> {
    let is_set = |variable: &&str| vars(variable).is_some_and(|value| !value.is_empty());
    let missing: Vec<_> = INJECTED.into_iter().filter(|variable| !is_set(variable)).collect();
    if missing == [contract::FEDERATED_TOKEN_FILE] && is_set(&contract::IDENTITY_ENDPOINT) {
        return Err(Unready::NotInjected(NotInjected::BySidecar));
    }
    if !missing.is_empty() {
        return Err(Unready::NotInjected(NotInjected::Nothing(missing)));
    }
    let config = Config::from_vars(vars).map_err(Unready::Wrong)?;
    let resource = config::check_resource(vars).map_err(Unready::Wrong)?;
    Ok(Check { client_id: config.policy.client_id, config, resource })
}

// === impl Check ===

impl Check {
    /// Tells line by line what is there, and gets a token where one is asked for.
    ///
    /// # Errors
    /// What is missing, or the authority's own words.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { client_id, config, resource } = self;
        let clock = Clock::system();
        let entra = config.entra;
        if let Some(client_id) = client_id {
            say("client id", &client_id);
        }
        say("tenant", &entra.tenant);
        say("authority", &entra.authority);
        let assertion = TokenFile::new(entra.token_file.clone()).read(clock.now())?;
        told(assertion.claims(), clock.now());
        let (Some(resource), Some(client_id)) = (resource, client_id) else {
            say("access token", &format_args!("not asked for: {} is not set", contract::CHECK_RESOURCE));
            return Ok(());
        };
        let tenant = config.policy.identity_map.tenant(client_id).cloned();
        let tenant = tenant.unwrap_or_else(|| Arc::new(entra.tenant.clone()));
        let key = Key { client_id, tenant, scope: resource.scope().into(), challenge: None };
        let mut registry = metrics::registry("podbadge_sidecar", env!("CARGO_PKG_VERSION"));
        let entra = Entra::new(entra, clock.clone(), Metrics::new(&mut registry));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
        match runtime.block_on(async { entra.exchange(&key).await }) {
            Ok(token) => {
                let left = token.lifetime.expiry().since(clock.now()).as_secs();
                say("access token", &format_args!("for {resource}, good for {left} s"));
                Ok(())
            }
            Err(failure) => anyhow::bail!("no access token for {resource}: {failure}"),
        }
    }
}

fn told(claims: &Claims, now: UnixTime) {
    say("issuer", &claims.iss);
    say("subject", &claims.sub);
    say("audience", &claims.aud);
    if let Some(exp) = claims.exp {
        say("pod's token", &format_args!("good for {} s", exp.since(now).as_secs()));
    }
    say("matches", &FederatedCredential::matching(claims));
}

fn say(what: &str, value: &dyn std::fmt::Display) {
    // Nobody is left to tell if standard output is closed.
    let _ = writeln!(std::io::stdout(), "{what:<13} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(set: &[(&str, &str)]) -> Result<Check, Unready> {
        read(&|name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    const WHOLE: [(&str, &str); 4] = [
        (contract::CLIENT_ID, "e94b0c53-7f82-4a1d-8c6e-3d5a1b92f470"),
        (contract::TENANT_ID, "5b3e1c64-9d27-4e0a-8f51-c2a90d7b3e18"),
        (contract::AUTHORITY_HOST, "https://login.microsoftonline.com/"),
        (contract::FEDERATED_TOKEN_FILE, "/nowhere/token"),
    ];

    #[test]
    fn what_nobody_injected_is_named() {
        let Err(Unready::NotInjected(missing)) = read_from(&WHOLE[1..3]) else { panic!("not told") };
        let text = missing.to_string();
        assert!(text.contains("AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE not set"), "{text}");
    }

    #[test]
    fn who_has_a_sidecar_is_sent_there() {
        let injected = [&WHOLE[..3], &[(contract::IDENTITY_ENDPOINT, "http://127.0.0.1:8000/msi/token")]].concat();
        let Err(Unready::NotInjected(sent)) = read_from(&injected) else { panic!("not told") };
        assert!(sent.to_string().ends_with("-c podbadge-sidecar -- /podbadge-sidecar check"), "{sent}");
    }

    #[test]
    fn what_is_wrong_is_another_matter() {
        let wrong = [&WHOLE[..], &[(contract::CHECK_RESOURCE, "no resource at all \u{7f}")]].concat();
        assert!(matches!(read_from(&wrong), Err(Unready::Wrong(_))));
    }

    #[test]
    fn a_token_file_that_is_not_there_is_named() {
        let check = read_from(&WHOLE).unwrap_or_else(|_| panic!("not read"));
        let error = check.run().expect_err("no file").to_string();
        assert!(error.contains("/nowhere/token"), "{error}");
    }
}
