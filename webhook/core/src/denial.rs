//! What a pod's author is told when the pod cannot be admitted as it is.

use crate::{contract, resources, selection::Selection, value::Expiration};
use podbadge_sidecar_core::{
    contract as sidecar,
    ids::{self, ClientId},
};
use std::fmt;

/// Where an annotation or a label stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the pod, or in the template it came from.
    Pod,
    /// On the pod's service account.
    ServiceAccount,
    /// On the pod's namespace.
    Namespace,
}

/// The author's mistake, in words for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// A lifetime out of range.
    #[error(
        "{place} annotation {key} is {value:?}; it must be a whole number of seconds from {min} to {max}",
        key = contract::TOKEN_EXPIRATION,
        min = Expiration::RANGE.start(),
        max = Expiration::RANGE.end()
    )]
    Expiration {
        /// Where it stands.
        place: Place,
        /// What stands there.
        value: String,
    },
    /// A sidecar mode that is none.
    #[error("{place} annotation {key} is {value:?}; it must be endpoint, redirect or none", key = contract::SIDECAR)]
    Sidecar {
        /// Where it stands.
        place: Place,
        /// What stands there.
        value: String,
    },
    /// A port out of range.
    #[error("pod annotation {key} is {value:?}; it must be a port from 1 to 65535", key = contract::PROXY_SIDECAR_PORT)]
    Port {
        /// What stands there.
        value: String,
    },
    /// Resources of the sidecar that cannot be read.
    #[error(
        "pod annotation {key} is {value:?}: {why}; it must be JSON of requests and limits, each of cpu, memory and \
         ephemeral-storage, such as {example}",
        key = contract::SIDECAR_RESOURCES,
        example = resources::EXAMPLE
    )]
    Resources {
        /// What stands there.
        value: String,
        /// What is wrong with it.
        why: resources::Invalid,
    },
    /// A rule on the host network would redirect the node itself and all its pods.
    #[error(
        "a pod on the host network cannot have redirection, which would redirect its node; set annotation {key} to \
         endpoint, or remove hostNetwork",
        key = contract::SIDECAR
    )]
    HostNetwork,
    /// A container that may be the user whom the redirection exempts.
    #[error(
        "container {container} {}; the redirection lets user {own} pass to the real metadata service and its identities \
         ({pass_through} is set for all sidecars): set securityContext.runAsUser to another, or annotation {key} to endpoint",
        match user {
            Some(user) => format!("runs as user {user}"),
            None => "has no securityContext.runAsUser, and its image's user is not known here".to_owned(),
        },
        own = sidecar::USER_ID,
        pass_through = sidecar::PASS_THROUGH,
        key = contract::SIDECAR
    )]
    PassThrough {
        /// The container.
        container: String,
        /// The user, if the pod names one.
        user: Option<i64>,
    },
    /// Too many patterns in a list of containers.
    #[error("pod annotation {key} has {patterns} names with * or ?; at most {most} are allowed", most = Selection::MOST_PATTERNS)]
    Patterns {
        /// The annotation.
        key: &'static str,
        /// How many it has.
        patterns: usize,
    },
    /// More containers than any pod has.
    #[error("the pod has {containers} containers; at most {most} can be given an identity", most = Selection::MOST_CONTAINERS)]
    Containers {
        /// How many it has.
        containers: usize,
    },
    /// A pod's own client id that is none.
    #[error("pod annotation {key} is {value:?}; it {rule}", key = contract::POD_CLIENT_ID)]
    PodClientId {
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: ids::Invalid,
    },
    /// A pod's own client id that its service account does not allow.
    #[error(
        "pod annotation {key} asks for {client_id}, which the service account does not allow; add it to the service \
         account's {list}",
        key = contract::POD_CLIENT_ID,
        list = contract::ALLOWED_CLIENT_IDS
    )]
    NotAllowed {
        /// The identity.
        client_id: ClientId,
    },
    /// An annotation that cannot be read.
    #[error("{place} annotation {key} is {value:?}; it {rule}")]
    Annotation {
        /// Where it stands.
        place: Place,
        /// The annotation.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: String,
    },
    /// The custom token endpoint's roots would be missing.
    #[error(
        "pod annotation {key} asks for the custom token endpoint, whose certificates come from ClusterTrustBundles of \
         {signer:?}: this API server has none, and would leave them out without a word; the webhook's operator has to name a \
         ConfigMap instead"
    )]
    NoTrustBundles {
        /// The annotation.
        key: String,
        /// Whose bundles they would be.
        signer: String,
    },
    /// What others are warned about.
    #[error("{mistakes}; this cluster's webhook is strict about mistakes")]
    Strict {
        /// The mistakes, one after the other.
        mistakes: String,
    },
    /// An id with which the sidecar would not start.
    #[error("annotation {key} of the service account or its namespace is {value:?}; it {rule}, or no sidecar starts")]
    Id {
        /// The annotation.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: ids::Invalid,
    },
    /// No tenant anywhere.
    #[error(
        "no tenant id: set annotation {key} on the service account or its namespace, or --tenant-id on the webhook",
        key = contract::TENANT_ID
    )]
    NoTenant,
    /// A labelled pod without a service account.
    #[error("service account {name:?} of namespace {namespace:?} does not exist")]
    NoServiceAccount {
        /// The namespace of pod and account.
        namespace: String,
        /// What the pod says.
        name: String,
    },
    /// The pod has a volume of the promised name with other content.
    #[error(
        "volume {volume:?} exists and is not a projected service-account token with audience {audience:?}; rename it, \
         or project such a token",
        volume = contract::VOLUME
    )]
    Volume {
        /// The audience that is needed.
        audience: String,
    },
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Pod => "pod",
            Self::ServiceAccount => "service account",
            Self::Namespace => "namespace",
        })
    }
}

// === impl Denial ===

impl Denial {
    /// The labels of all kinds.
    pub const LABELS: [&str; 17] = [
        "expiration",
        "sidecar_mode",
        "sidecar_port",
        "sidecar_resources",
        "host_network",
        "pass_through",
        "patterns",
        "containers",
        "pod_client_id",
        "not_allowed",
        "annotation",
        "no_trust_bundles",
        "strict",
        "id",
        "no_tenant",
        "no_service_account",
        "volume",
    ];

    /// The denial's kind as a label of metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expiration { .. } => "expiration",
            Self::Sidecar { .. } => "sidecar_mode",
            Self::Port { .. } => "sidecar_port",
            Self::Resources { .. } => "sidecar_resources",
            Self::HostNetwork => "host_network",
            Self::PassThrough { .. } => "pass_through",
            Self::Patterns { .. } => "patterns",
            Self::Containers { .. } => "containers",
            Self::PodClientId { .. } => "pod_client_id",
            Self::NotAllowed { .. } => "not_allowed",
            Self::Annotation { .. } => "annotation",
            Self::NoTrustBundles { .. } => "no_trust_bundles",
            Self::Strict { .. } => "strict",
            Self::Id { .. } => "id",
            Self::NoTenant => "no_tenant",
            Self::NoServiceAccount { .. } => "no_service_account",
            Self::Volume { .. } => "volume",
        }
    }
}
