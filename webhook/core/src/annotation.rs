//! Annotation values, read strictly: a value is understood or refused, never guessed.

use crate::{
    contract,
    denial::{Denial, Place},
    identity::{Identity, ServiceAccount, Tenant},
    pod::Pod,
    value::{Expiration, Mode, decimal, excerpt},
    warning::{self, Warning},
};
use podbadge_sidecar_core::{contract::DEFAULT_PORT, ids::Invalid};
use std::{collections::BTreeSet, num::NonZeroU16};

/// The sidecar that a pod asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Where it listens, on loopback.
    pub port: NonZeroU16,
    /// Whether the applications get the token volume as well, as Azure Workload Identity gives it to them.
    pub federation: bool,
}

/// The names of `skip-containers`.
#[derive(Clone, Debug, Default)]
pub struct Skip<'a>(BTreeSet<&'a str>);

// === impl Skip ===

impl<'a> Skip<'a> {
    /// Reads the pod's list. Blanks around names and empty names mean nothing.
    pub fn of(pod: &'a Pod<'_>) -> Self {
        let names = pod.metadata.annotations.value(contract::SKIP_CONTAINERS).unwrap_or_default();
        Self(names.split(';').map(str::trim).filter(|name| !name.is_empty()).collect())
    }

    /// Whether the container is to be left alone.
    pub fn contains(&self, container: &str) -> bool {
        self.0.contains(container)
    }

    /// Warns about names that no container has: a typing error here would pass unseen.
    pub fn warn(&self, pod: &Pod<'_>, warnings: &mut Vec<Warning>) {
        if self.0.is_empty() {
            return;
        }
        let containers: BTreeSet<_> = pod.spec.all_containers().map(|container| container.name.as_str()).collect();
        // No more than are told, for an annotation has room for a hundred thousand names.
        for name in self.0.difference(&containers).take(warning::MOST + 1) {
            warnings.push(Warning::new(format!(
                "{}: no container is called {:?}; names are separated by semicolons",
                contract::SKIP_CONTAINERS,
                excerpt(name)
            )));
        }
    }
}

/// The lifetime of the token: the pod's annotation, else the service account's, else the operator's. An empty one is
/// none, as Azure Workload Identity reads it.
///
/// # Errors
///
/// The value that would count is no whole number of seconds in the allowed range.
pub fn expiration(pod: &Pod<'_>, account: &ServiceAccount, default: Expiration) -> Result<Expiration, Denial> {
    let denial = |place, value: &str| Denial::Expiration { place, value: excerpt(value).into_owned() };
    let own = pod.metadata.annotations.value(contract::TOKEN_EXPIRATION);
    if let Some(value) = own.filter(|value| !value.is_empty()) {
        return Expiration::parse(value).ok_or_else(|| denial(Place::Pod, value));
    }
    match &account.expiration {
        Some(Ok(expiration)) => Ok(*expiration),
        Some(Err(value)) => Err(denial(Place::ServiceAccount, value)),
        None => Ok(default),
    }
}

/// The sidecar that the pod or its service account asks for, if any. Either of the pod's annotations wins over the
/// service account's.
///
/// # Errors
///
/// A mode that is none, one that this build lacks, or a port out of range.
pub fn sidecar(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Sidecar>, Denial> {
    let denial = |place, value: &str| Denial::Sidecar { place, value: excerpt(value).into_owned() };
    let compatible = inject_proxy_sidecar(pod, warnings);
    let (place, mode) = match (pod.metadata.annotations.value(contract::SIDECAR), compatible) {
        (Some(value), _) => (Place::Pod, Mode::parse(value).ok_or_else(|| denial(Place::Pod, value))?),
        (None, Some(true)) => {
            return Ok(Some(Sidecar { port: port(pod)?, federation: true }));
        }
        (None, Some(false)) => return Ok(None),
        (None, None) => match &account.sidecar {
            Some(Ok(mode)) => (Place::ServiceAccount, *mode),
            Some(Err(value)) => return Err(denial(Place::ServiceAccount, value)),
            None => return Ok(None),
        },
    };
    match mode {
        Mode::Endpoint => Ok(Some(Sidecar { port: port(pod)?, federation: false })),
        Mode::Redirect => Err(Denial::Redirect { place }),
        Mode::None => Ok(None),
    }
}

/// A strict boolean: a value that is neither would be a surprise either way, so it is said and counts as absent.
fn inject_proxy_sidecar(pod: &Pod<'_>, warnings: &mut Vec<Warning>) -> Option<bool> {
    match pod.metadata.annotations.value(contract::INJECT_PROXY_SIDECAR)? {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            warnings.push(Warning::new(format!(
                "{key} is {other:?}, which is neither \"true\" nor \"false\": it adds no sidecar",
                key = contract::INJECT_PROXY_SIDECAR,
                other = excerpt(other)
            )));
            None
        }
    }
}

fn port(pod: &Pod<'_>) -> Result<NonZeroU16, Denial> {
    let default = NonZeroU16::new(DEFAULT_PORT).unwrap_or(NonZeroU16::MAX);
    match pod.metadata.annotations.value(contract::PROXY_SIDECAR_PORT) {
        None => Ok(default),
        Some(value) => decimal(value).ok_or_else(|| Denial::Port { value: excerpt(value).into_owned() }),
    }
}

/// Judges the ids by the sidecar's own rules. With an id that Entra cannot know a sidecar does not start, and the pod
/// hangs without a word; an SDK by itself says what is wrong, so there it is a warning.
///
/// # Errors
///
/// Such an id, where the pod has a sidecar.
pub fn ids(identity: &Identity<'_>, sidecar: Option<Sidecar>, warnings: &mut Vec<Warning>) -> Result<(), Denial> {
    let client_id = identity.client_id.filter(|id| !id.is_guid());
    // The operator's tenant was judged when the webhook started.
    let tenant_id = match identity.tenant_id {
        Tenant::Annotated(id) => Some(id).filter(|id| !id.is_tenant()),
        Tenant::Default(_) => None,
    };
    let odd = [
        client_id.map(|id| (contract::CLIENT_ID, id, Invalid::ClientId)),
        tenant_id.map(|id| (contract::TENANT_ID, id, Invalid::TenantId)),
    ];
    for (key, id, rule) in odd.into_iter().flatten() {
        let text = id.to_string();
        let value = excerpt(&text);
        if sidecar.is_some() {
            return Err(Denial::Id { key, value: value.into_owned(), rule });
        }
        warnings.push(Warning::new(format!("{key} is {value:?}; it {rule}, or Entra will not find it")));
    }
    Ok(())
}
