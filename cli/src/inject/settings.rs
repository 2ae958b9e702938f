//! The cluster's and the operator's settings, as arguments.

use crate::failure::Wrong;
use podbadge_webhook::{
    args::PolicyArgs,
    config::{Invalid, Policy},
};
use podbadge_webhook_core::{
    contract,
    settings::Settings,
    value::{Expiration, Mode},
};

/// What service accounts say that are not in the manifest.
#[derive(clap::Args)]
#[command(next_help_heading = "Service accounts that are not in the manifest")]
pub(super) struct AccountArgs {
    /// Their client id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The lifetime of their tokens, 3600..=86400
    #[arg(long, value_name = "SECONDS", value_parser = expiration)]
    token_expiration: Option<String>,
    /// Their sidecar: endpoint, redirect or none
    #[arg(long, value_name = "MODE", value_parser = mode)]
    sidecar: Option<String>,
}

fn expiration(value: &str) -> Result<String, String> {
    match Expiration::parse(value) {
        Some(_) => Ok(value.to_owned()),
        None => Err("must be a whole number of seconds from 3600 to 86400".to_owned()),
    }
}

fn mode(value: &str) -> Result<String, String> {
    match Mode::parse(value) {
        Some(_) => Ok(value.to_owned()),
        None => Err("must be endpoint, redirect or none".to_owned()),
    }
}

// === impl AccountArgs ===

impl AccountArgs {
    /// The annotations that stand for the arguments.
    pub(super) fn annotations(&self) -> Vec<(&str, &str)> {
        let Self { client_id, token_expiration, sidecar } = self;
        [(contract::CLIENT_ID, client_id), (contract::TOKEN_EXPIRATION, token_expiration), (contract::SIDECAR, sidecar)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.as_deref()?)))
            .collect()
    }
}

/// The settings that a webhook with these arguments would have on a cluster of today.
///
/// # Errors
///
/// The webhook would not start with them.
pub(super) fn settings(args: PolicyArgs) -> Result<Settings, Wrong> {
    let Policy { mut settings, native_sidecar } = args.try_into().map_err(|error: Invalid| Wrong(error.to_string()))?;
    settings.sidecar.native = native_sidecar.unwrap_or(true);
    Ok(settings)
}
