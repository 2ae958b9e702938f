//! What a pod's author is told when the pod cannot be admitted as it is.

use crate::{contract, value::Expiration};
use podbadge_sidecar_core::ids;
use std::fmt;

/// Where an annotation or a label stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the pod, or in the template it came from.
    Pod,
    /// On the pod's service account.
    ServiceAccount,
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
    #[error("{place} annotation {key} is {value:?}; it must be endpoint or none", key = contract::SIDECAR)]
    Sidecar {
        /// Where it stands.
        place: Place,
        /// What stands there.
        value: String,
    },
    /// A mode that is not built yet.
    #[error("{place} annotation {key} is \"redirect\", which this version cannot do; use endpoint", key = contract::SIDECAR)]
    Redirect {
        /// Where it stands.
        place: Place,
    },
    /// A port out of range.
    #[error("pod annotation {key} is {value:?}; it must be a port from 1 to 65535", key = contract::PROXY_SIDECAR_PORT)]
    Port {
        /// What stands there.
        value: String,
    },
    /// Two pods of one node would share the sidecar's port and see each other's secrets.
    #[error(
        "a pod on the host network cannot have the sidecar; remove hostNetwork, or the annotation that asks for it"
    )]
    HostNetwork,
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
        })
    }
}

// === impl Denial ===

impl Denial {
    /// The labels of all kinds.
    pub const LABELS: [&str; 9] = [
        "expiration",
        "sidecar_mode",
        "sidecar_redirect",
        "sidecar_port",
        "host_network",
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
            Self::Redirect { .. } => "sidecar_redirect",
            Self::Port { .. } => "sidecar_port",
            Self::HostNetwork => "host_network",
            Self::Id { .. } => "id",
            Self::NoTenant => "no_tenant",
            Self::NoServiceAccount { .. } => "no_service_account",
            Self::Volume { .. } => "volume",
        }
    }
}
