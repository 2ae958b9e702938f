//! The cluster's and the operator's settings, as arguments.

use crate::failure::Wrong;
use clap::Parser as _;
use podbadge_webhook::{args::Args, config::Config};
use podbadge_webhook_core::{
    contract,
    settings::Settings,
    value::{Expiration, Mode},
};
use std::iter;

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
    /// Their sidecar: endpoint or none
    #[arg(long, value_name = "MODE", value_parser = mode)]
    sidecar: Option<String>,
}

/// The webhook's settings, by its own names and with its own defaults: it reads the values itself.
#[derive(clap::Args)]
#[command(next_help_heading = "Settings of the webhook")]
pub(super) struct OperatorArgs {
    /// Tenant of identities that name none, else AZURE_TENANT_ID
    #[arg(long, value_name = "TENANT")]
    tenant_id: Option<String>,
    /// Azure cloud, which sets the authority and the audience, else AZURE_ENVIRONMENT, else AzurePublicCloud
    #[arg(long, value_name = "CLOUD")]
    cloud: Option<String>,
    /// Authority in place of the cloud's: an https URL
    #[arg(long, value_name = "URL")]
    authority_host: Option<String>,
    /// Audience of projected tokens in place of the cloud's
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Directory at which the token volume is mounted in containers
    #[arg(long, value_name = "PATH")]
    token_path: Option<String>,
    /// Image of the sidecar
    #[arg(long, value_name = "IMAGE")]
    sidecar_image: Option<String>,
    /// Whether sidecars are restartable init containers: always, never, or auto, here as from API server 1.32 on
    #[arg(long, value_name = "WHEN")]
    native_sidecar: Option<String>,
    /// What an annotated service account means for pods without the label: enabled, observe or disabled
    #[arg(long, value_name = "MODE")]
    annotated_service_accounts: Option<String>,
}

fn expiration(value: &str) -> Result<String, String> {
    match Expiration::parse(value) {
        Some(_) => Ok(value.to_owned()),
        None => Err("must be a whole number of seconds from 3600 to 86400".to_owned()),
    }
}

fn mode(value: &str) -> Result<String, String> {
    match Mode::parse(value) {
        Some(Mode::Redirect) => Err("this version has endpoint and none, not yet redirect".to_owned()),
        Some(_) => Ok(value.to_owned()),
        None => Err("must be endpoint or none".to_owned()),
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

// === impl OperatorArgs ===

impl OperatorArgs {
    /// The settings that the webhook would have.
    ///
    /// # Errors
    ///
    /// The webhook would not start with them.
    pub(super) fn settings(&self) -> Result<Settings, Wrong> {
        let Self {
            tenant_id,
            cloud,
            authority_host,
            audience,
            token_path,
            sidecar_image,
            native_sidecar,
            annotated_service_accounts,
        } = self;
        let flags = [
            ("tenant-id", tenant_id),
            ("cloud", cloud),
            ("authority-host", authority_host),
            ("audience", audience),
            ("token-path", token_path),
            ("sidecar-image", sidecar_image),
            ("native-sidecar", native_sidecar),
            ("annotated-service-accounts", annotated_service_accounts),
        ];
        let given = flags.into_iter().filter_map(|(flag, value)| Some(format!("--{flag}={}", value.as_ref()?)));
        let program = iter::once("podbadge-webhook".to_owned());
        let args = Args::try_parse_from(program.chain(given)).map_err(|error| Wrong(first_paragraph(&error)))?;
        let config = Config::try_from(args).map_err(|error| Wrong(error.to_string()))?;
        let mut settings = config.settings;
        settings.sidecar.native = config.native_sidecar.unwrap_or(true);
        Ok(settings)
    }
}

/// What is wrong, without the usage of another program.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n").next().unwrap_or_default().to_owned()
}
