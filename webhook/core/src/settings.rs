//! What the operator has set for the whole installation.

use crate::{contract, value::Expiration};
use podbadge_sidecar_core::contract as sidecar;

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
    /// The sidecar.
    pub sidecar: Sidecar,
}

/// The sidecar as the operator wants it.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// The image of the injected container.
    pub image: String,
    /// Whether every kubelet of the cluster knows restartable init containers (Kubernetes 1.29).
    pub native: bool,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant_id: None,
            authority_host: sidecar::DEFAULT_AUTHORITY_HOST.to_owned(),
            audience: sidecar::DEFAULT_AUDIENCE.to_owned(),
            mount_path: contract::MOUNT_PATH.to_owned(),
            expiration: Expiration::DEFAULT,
            annotated: Annotated::Enabled,
            sidecar: Sidecar {
                image: concat!("podbadge/sidecar:v", env!("CARGO_PKG_VERSION")).to_owned(),
                native: false,
            },
        }
    }
}
