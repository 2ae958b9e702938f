//! The command line: each flag is also a variable.

mod heal;
mod lifetimes;
mod policy;

pub use policy::PolicyArgs;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
pub(crate) use heal::{HealArgs, HealMode};
pub(crate) use lifetimes::LifetimeArgs;
use podbadge_runtime::args::{AdminArgs, LogArgs, without_empty_variables};
pub(crate) use policy::{AnnotatedServiceAccounts, Level, NativeSidecar, SidecarMode, TokenEndpointArgs};
use std::{net::SocketAddr, path::PathBuf};

/// Gives pods of annotated service accounts an Azure identity: a mutating admission webhook
#[derive(Clone, Debug, Parser)]
#[command(name = "podbadge-webhook", version)]
pub struct Args {
    #[command(flatten)]
    pub(crate) logs: LogArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,

    /// Address of the webhook; [::] means every address, of IPv4 too
    #[arg(long, env = "PODBADGE_LISTEN_ADDRESS", value_name = "ADDRESS:PORT", default_value = "[::]:9443")]
    pub(crate) listen_address: SocketAddr,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Where the serving certificate comes from
    #[arg(long, env = "PODBADGE_TLS", value_name = "SOURCE", default_value = "self-managed")]
    pub(crate) tls: Tls,

    /// Directory of tls.crt and tls.key, for --tls=files
    #[arg(long, env = "PODBADGE_TLS_DIR", value_name = "PATH", required_if_eq("tls", "files"))]
    pub(crate) tls_dir: Option<PathBuf>,

    /// Oldest TLS version that is spoken
    #[arg(long, env = "PODBADGE_TLS_MIN_VERSION", value_name = "VERSION", default_value = "1.3")]
    pub(crate) tls_min_version: TlsVersion,

    /// Secret that keeps the certificates, for --tls=self-managed
    #[arg(long, env = "PODBADGE_TLS_SECRET", value_name = "NAME", default_value = "podbadge-webhook-tls")]
    pub(crate) tls_secret: String,

    #[command(flatten)]
    pub(crate) lifetimes: LifetimeArgs,

    /// MutatingWebhookConfiguration that names this webhook; its caBundle is kept with --tls=self-managed
    #[arg(long, env = "PODBADGE_WEBHOOK_CONFIGURATION", value_name = "NAME", default_value = "podbadge-webhook")]
    pub(crate) webhook_configuration: String,

    /// ValidatingWebhookConfiguration whose caBundle is kept as well, for --tls=self-managed; none if unset
    #[arg(long, env = "PODBADGE_VALIDATING_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    pub(crate) validating_webhook_configuration: Option<String>,

    /// Service by which the API server reaches this webhook, for --tls=self-managed
    #[arg(long, env = "PODBADGE_SERVICE", value_name = "NAME", default_value = "podbadge-webhook")]
    pub(crate) service: String,

    #[command(flatten)]
    pub(crate) heal: HealArgs,

    /// Name of this pod, by which replicas agree who leads
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub(crate) pod_name: Option<String>,

    /// Namespace of this webhook
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "podbadge-system")]
    pub(crate) namespace: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tls {
    /// Made and kept in a Secret by the webhook itself
    SelfManaged,
    /// Read from files that someone else renews
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

// === impl Args ===

impl Args {
    /// Reads the process's arguments and variables.
    ///
    /// # Errors
    ///
    /// One of them is wrong, or help or the version is asked for.
    pub fn read() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&without_empty_variables(Self::command()).try_get_matches()?)
    }
}
