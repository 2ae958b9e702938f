//! The token volume, and where containers see it.

use crate::{
    contract,
    denial::Denial,
    pod::{Container, Mount, Pod},
    request::Request,
    settings::{Roots, TokenEndpoint},
    value::Expiration,
};

/// The projected volume to add.
#[derive(Debug)]
pub struct TokenVolume<'a> {
    /// The token's audience.
    pub audience: &'a str,
    /// The token's lifetime.
    pub expiration: Expiration,
    /// Where the custom token endpoint's certificates come from, if they are projected beside the token.
    pub roots: Option<&'a Roots>,
    /// Whether the pod has no list of volumes yet.
    pub first: bool,
}

impl<'a> TokenVolume<'a> {
    pub(super) fn of(pod: &Pod<'_>, request: &Request<'a>) -> Self {
        Self {
            audience: request.audience(),
            expiration: request.expiration,
            roots: request.endpoint.and_then(projected_roots),
            first: pod.spec.volumes.is_none(),
        }
    }
}

/// The endpoint's roots, if they reach the pod in its token volume.
pub(super) fn projected_roots(endpoint: &TokenEndpoint) -> Option<&Roots> {
    match &endpoint.roots {
        Roots::Public | Roots::Data(_) => None,
        roots @ (Roots::ConfigMap(_) | Roots::Bundles { .. }) => Some(roots),
    }
}

/// Whether the pod has a volume of the promised name.
pub(super) fn is_present(pod: &Pod<'_>) -> bool {
    pod.spec.volumes.iter().flatten().any(|volume| volume.name.as_str() == contract::VOLUME)
}

/// The token's file in the volume of the promised name, if the pod has one: the user's own, or ours from an earlier
/// admission.
pub(super) fn token_file<'a>(pod: &'a Pod<'_>, audience: &str) -> Result<Option<&'a str>, Denial> {
    let Some(volume) = pod.spec.volumes.iter().flatten().find(|volume| volume.name.as_str() == contract::VOLUME) else {
        return Ok(None);
    };
    let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
    sources
        .filter_map(|source| source.service_account_token.as_ref())
        .find(|token| token.audience.as_ref().is_some_and(|own| own.as_str() == audience))
        .map(|token| Some(token.path.as_str()))
        .ok_or_else(|| Denial::Volume { audience: audience.to_owned() })
}

/// Whether the container mounts the volume by its promised name; only its author's own mount can be there first.
pub(super) fn is_mounted(container: &Container<'_>) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| mount.name.as_str() == contract::VOLUME)
}

/// The container's mount of the whole token volume. One of a single file does not count: the kubelet never renews it
/// (<https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath>).
pub(super) fn own_mount<'c, 'a>(container: &'c Container<'a>) -> Option<&'c Mount<'a>> {
    container.volume_mounts.iter().flatten().find(|mount| mount.name.as_str() == contract::VOLUME && mount.is_whole())
}
