//! What the operator has set for the whole installation.

use crate::{contract, identity::PodSecurity, pod::Name, resources::Resources, value::Expiration};
use podbadge_sidecar_core::contract as sidecar;
use std::ops::RangeInclusive;

/// The operator's settings, as far as decisions need them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tenant of identities that name none.
    pub tenant_id: Option<String>,
    /// The authority's base URL with a trailing slash, `https` only.
    pub authority_host: String,
    /// The audience of the projected token.
    pub audience: String,
    /// The directory at which the token volume is mounted, without a trailing slash.
    pub mount_path: String,
    /// The lifetime of tokens where nobody names one.
    pub expiration: Expiration,
    /// Whether annotated service accounts opt their pods in.
    pub annotated: Annotated,
    /// Whether mistakes are denied that are warned about elsewhere.
    pub strict: bool,
    /// The custom token endpoint that pods may ask for, if there is one.
    pub token_endpoint: Option<TokenEndpoint>,
    /// The sidecar.
    pub sidecar: Sidecar,
}

/// The custom token endpoint (identity bindings): it stands between pods and the authority, and its audience is its own.
#[derive(Clone, Debug)]
pub struct TokenEndpoint {
    /// The pod annotation that asks for it, [`contract::USE_TOKEN_ENDPOINT`] and the operator's suffix.
    pub annotation: String,
    /// The audience of the pod's token.
    pub audience: String,
    /// Its URL, if the SDKs are to have it.
    pub url: Option<String>,
    /// The server name that it is asked by, if not its URL's.
    pub sni_name: Option<String>,
    /// What it is trusted by.
    pub roots: Roots,
}

/// What the custom token endpoint is trusted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// What everybody trusts.
    Public,
    /// These certificates, PEM.
    Data(String),
    /// The key `ca.crt` of the ConfigMap of this name in the pod's namespace.
    ConfigMap(String),
    /// The ClusterTrustBundles of a signer.
    Bundles {
        /// The signer's name.
        signer: String,
        /// Which of them, a Kubernetes label selector. An empty one means all; without any, none would be meant.
        selector: serde_json::Value,
        /// Whether the API server has such bundles; one that has not empties the volume without a word.
        served: bool,
    },
}

/// The sidecar as the operator wants it.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image of the injected container.
    pub image: String,
    /// Whether every kubelet of the cluster knows restartable init containers (Kubernetes 1.29).
    pub native: bool,
    /// What it requests and is limited to, where neither the pod nor the namespace says otherwise.
    pub resources: Resources,
    /// The mode of pods that ask for a sidecar by the key of Azure Workload Identity, which names none.
    pub mode: DefaultMode,
    /// What a namespace without an `enforce` label is taken for; unknown, it is not taken for permissive.
    pub unlabelled: Option<PodSecurity>,
    /// The secrets that the image is pulled with, in the pod's namespace.
    pub pull_secrets: Vec<String>,
    /// The ports of sidecars on the host network, where each pod of a node needs its own.
    pub host_ports: RangeInclusive<u16>,
    /// Variables for all sidecars, of [`Name::OPERATORS`].
    pub variables: Vec<(Name, String)>,
}

/// How applications reach a sidecar whose mode nobody names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultMode {
    /// By redirection where the namespace's Pod Security level lets it through, else by variables.
    Auto,
    /// By variables.
    Endpoint,
    /// By redirection.
    Redirect,
}

/// What an annotated service account means for pods without the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotated {
    /// Its pods get the identity.
    Enabled,
    /// Its pods are counted and warned about, and stay as they are.
    Observe,
    /// Its pods are left alone.
    Disabled,
}

/// Below what Linux gives to outgoing connections, and clear of Kubernetes' own node ports.
const HOST_PORTS: RangeInclusive<u16> = 18_000..=18_999;

impl Sidecar {
    /// The operator's value of a variable of [`Name::OPERATORS`].
    pub(crate) fn variable(&self, name: Name) -> Option<&str> {
        self.variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }
}

impl Settings {
    /// What follows [`contract::USE_TOKEN_ENDPOINT`] in the annotation that asks for the custom token endpoint.
    pub(crate) fn token_endpoint_suffix(&self) -> Option<&str> {
        self.token_endpoint.as_ref()?.annotation.strip_prefix(contract::USE_TOKEN_ENDPOINT)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant_id: None,
            authority_host: sidecar::DEFAULT_AUTHORITY_HOST.to_owned(),
            audience: sidecar::DEFAULT_AUDIENCE.to_owned(),
            mount_path: contract::MOUNT_PATH.to_owned(),
            expiration: Expiration::DEFAULT,
            annotated: Annotated::Enabled,
            strict: false,
            token_endpoint: None,
            sidecar: Sidecar {
                image: concat!("podbadge/sidecar:v", env!("CARGO_PKG_VERSION")).to_owned(),
                native: false,
                resources: Resources::DEFAULT,
                mode: DefaultMode::Auto,
                unlabelled: None,
                pull_secrets: Vec::new(),
                host_ports: HOST_PORTS,
                variables: Vec::new(),
            },
        }
    }
}
