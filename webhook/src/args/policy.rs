//! What the operator decides for all pods.

use clap::ValueEnum;

/// What decisions depend on; `podbadge inject` takes the same.
#[derive(Clone, Debug, clap::Args)]
pub struct PolicyArgs {
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

    /// Requests and limits of the sidecar in JSON, which a pod may override; fitted to the namespace's LimitRanges.
    /// Default: 5m and 8Mi, up to 500m and 32Mi
    #[arg(long, env = "PODBADGE_SIDECAR_RESOURCES", value_name = "JSON")]
    pub(crate) sidecar_resources: Option<String>,

    /// Variables for all sidecars, a JSON object: HTTPS_PROXY, NO_PROXY, AZURE_REGIONAL_AUTHORITY_NAME,
    /// PODBADGE_CREDENTIAL_SPREADING_SECONDS, PODBADGE_MAX_TOKEN_AGE_SECONDS, PODBADGE_METRICS_ADDRESS,
    /// PODBADGE_READY_RESOURCE, PODBADGE_LOG, PODBADGE_CA_DATA, PODBADGE_PASS_THROUGH
    #[arg(long, env = "PODBADGE_SIDECAR_VARIABLES", value_name = "JSON")]
    pub(crate) sidecar_variables: Option<String>,

    /// Secrets of the pod's namespace that the sidecar's image is pulled with, separated by commas
    #[arg(long, env = "PODBADGE_SIDECAR_PULL_SECRETS", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) sidecar_pull_secrets: Vec<String>,

    /// How pods reach the sidecar that they ask for by Azure Workload Identity's key; auto: by redirection where the
    /// namespace's Pod Security level is privileged, else by variables
    #[arg(long, env = "PODBADGE_SIDECAR_MODE", value_name = "MODE", default_value = "auto")]
    pub(crate) sidecar_mode: SidecarMode,

    /// The Pod Security level, for --sidecar-mode=auto, of namespaces whose label names none
    #[arg(long, env = "PODBADGE_UNLABELLED_POD_SECURITY", value_name = "LEVEL")]
    pub(crate) unlabelled_pod_security: Option<Level>,

    /// Ports of sidecars on the host network, where each pod of a node needs its own
    #[arg(long, env = "PODBADGE_HOST_NETWORK_PORTS", value_name = "FIRST-LAST")]
    pub(crate) host_network_ports: Option<String>,

    /// Whether sidecars are restartable init containers; auto: from API server 1.32 on, when every kubelet knows them
    #[arg(long, env = "PODBADGE_NATIVE_SIDECAR", value_name = "WHEN", default_value = "auto")]
    pub(crate) native_sidecar: NativeSidecar,

    /// What an annotated service account means for pods without the label
    #[arg(long, env = "PODBADGE_ANNOTATED_SERVICE_ACCOUNTS", value_name = "MODE", default_value = "enabled")]
    pub(crate) annotated_service_accounts: AnnotatedServiceAccounts,

    /// Deny the mistakes that are else only warned about
    #[arg(long, env = "PODBADGE_STRICT")]
    pub(crate) strict: bool,

    #[command(flatten)]
    pub(crate) token_endpoint: TokenEndpointArgs,
}

/// The custom token endpoint (identity bindings), by the names of Azure Workload Identity.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TokenEndpointArgs {
    /// Pods annotated azure.workload.identity/use-SUFFIX: "true" get the custom token endpoint; without, there is none
    #[arg(
        long = "custom-token-endpoint-annotation-suffix",
        env = "PODBADGE_TOKEN_ENDPOINT_ANNOTATION_SUFFIX",
        value_name = "SUFFIX"
    )]
    pub(crate) annotation_suffix: Option<String>,

    /// Audience of those pods' tokens, another than Entra's
    #[arg(
        id = "token_endpoint_audience",
        long = "custom-token-endpoint-audience",
        env = "PODBADGE_TOKEN_ENDPOINT_AUDIENCE",
        value_name = "AUDIENCE"
    )]
    pub(crate) audience: Option<String>,

    /// Its URL, https
    #[arg(long = "custom-token-endpoint-url", env = "AZURE_KUBERNETES_TOKEN_PROXY", value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The server name that it is asked by, if not its URL's
    #[arg(long = "custom-token-endpoint-sni-name", env = "AZURE_KUBERNETES_SNI_NAME", value_name = "NAME")]
    pub(crate) sni_name: Option<String>,

    /// Its certificate authorities, PEM
    #[arg(long = "custom-token-endpoint-ca-data", env = "AZURE_KUBERNETES_CA_DATA", value_name = "PEM")]
    pub(crate) ca_data: Option<String>,

    /// The ConfigMap in each pod's namespace that has them, in ca.crt
    #[arg(
        long = "custom-token-endpoint-ca-config-map",
        env = "AZURE_KUBERNETES_CA_CONFIGMAP_NAME",
        value_name = "NAME"
    )]
    pub(crate) ca_config_map: Option<String>,

    /// The signer whose ClusterTrustBundles have them
    #[arg(
        long = "custom-token-endpoint-ca-signer",
        env = "AZURE_KUBERNETES_CA_CTB_SIGNER_NAME",
        value_name = "SIGNER"
    )]
    pub(crate) ca_signer: Option<String>,

    /// Which of the signer's bundles, a label selector in JSON; all if not set
    #[arg(
        long = "custom-token-endpoint-ca-label-selector",
        env = "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR",
        value_name = "JSON"
    )]
    pub(crate) ca_label_selector: Option<String>,
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
pub(crate) enum SidecarMode {
    Auto,
    Endpoint,
    Redirect,
}

/// A Pod Security level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
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
