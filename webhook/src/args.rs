//! The command line: each flag is also a variable.

use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use podbadge_runtime::args::{AdminArgs, LogArgs, without_empty_variables};
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

    /// Tenant of identities that name none: a GUID or a domain
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "TENANT")]
    pub(crate) tenant_id: Option<String>,

    /// Azure cloud, which sets the authority and the audience
    #[arg(
        long,
        env = "AZURE_ENVIRONMENT",
        value_name = "CLOUD",
        default_value = "AzurePublicCloud",
        ignore_case = true
    )]
    pub(crate) cloud: Cloud,

    /// Authority in place of the cloud's: an https URL
    #[arg(long, env = "PODBADGE_AUTHORITY_HOST", value_name = "URL")]
    pub(crate) authority_host: Option<String>,

    /// Audience of projected tokens in place of the cloud's
    #[arg(long, env = "PODBADGE_AUDIENCE", value_name = "AUDIENCE")]
    pub(crate) audience: Option<String>,

    /// Directory at which the token volume is mounted in containers
    #[arg(long, env = "PODBADGE_TOKEN_PATH", value_name = "PATH", default_value = podbadge_webhook_core::contract::MOUNT_PATH)]
    pub(crate) token_path: String,

    /// Image of the sidecar
    #[arg(long, env = "PODBADGE_SIDECAR_IMAGE", value_name = "IMAGE")]
    pub(crate) sidecar_image: Option<String>,

    /// Whether sidecars are restartable init containers; auto: from API server 1.32 on, when every kubelet knows them
    #[arg(long, env = "PODBADGE_NATIVE_SIDECAR", value_name = "WHEN", default_value = "auto")]
    pub(crate) native_sidecar: NativeSidecar,

    /// What an annotated service account means for pods without the label
    #[arg(long, env = "PODBADGE_ANNOTATED_SERVICE_ACCOUNTS", value_name = "MODE", default_value = "enabled")]
    pub(crate) annotated_service_accounts: AnnotatedServiceAccounts,

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

    /// MutatingWebhookConfiguration whose caBundle is kept, for --tls=self-managed
    #[arg(long, env = "PODBADGE_WEBHOOK_CONFIGURATION", value_name = "NAME", default_value = "podbadge-webhook")]
    pub(crate) webhook_configuration: String,

    /// Service by which the API server reaches this webhook, for --tls=self-managed
    #[arg(long, env = "PODBADGE_SERVICE", value_name = "NAME", default_value = "podbadge-webhook")]
    pub(crate) service: String,

    /// Namespace of this webhook
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "podbadge-system")]
    pub(crate) namespace: String,
}

/// An Azure cloud, by the names that Azure's tools use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cloud {
    #[value(name = "AzurePublicCloud", alias = "AzureCloud")]
    Public,
    #[value(name = "AzureUSGovernmentCloud", alias = "AzureUSGovernment")]
    UsGovernment,
    #[value(name = "AzureChinaCloud")]
    China,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NativeSidecar {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnnotatedServiceAccounts {
    /// Their pods get the identity
    Enabled,
    /// Their pods are counted and warned about only
    Observe,
    /// Only labelled pods get an identity
    Disabled,
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

// === impl Cloud ===

impl Cloud {
    /// The authority's base URL (<https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>).
    pub(crate) fn authority_host(self) -> &'static str {
        match self {
            Self::Public => podbadge_sidecar_core::contract::DEFAULT_AUTHORITY_HOST,
            Self::UsGovernment => "https://login.microsoftonline.us/",
            Self::China => "https://login.chinacloudapi.cn/",
        }
    }

    /// The audience of federated credentials
    /// (<https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations>).
    pub(crate) fn audience(self) -> &'static str {
        match self {
            Self::Public => podbadge_sidecar_core::contract::DEFAULT_AUDIENCE,
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }
}
