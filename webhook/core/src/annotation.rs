//! Annotation values, read strictly: a value is understood or refused, never guessed.

use crate::{
    contract,
    denial::{Denial, Place},
    identity::{Identity, Namespace, PodSecurity, ServiceAccount},
    pod::Pod,
    settings::{DefaultMode, Roots, Settings, TokenEndpoint},
    value::{Expiration, Mode, decimal, excerpt},
    warning::Warning,
};
use podbadge_sidecar_core::ids::Invalid;
use std::num::NonZeroU16;

/// The sidecar that a pod asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// Where it listens on loopback, if the pod says so.
    pub port: Option<NonZeroU16>,
    /// Whether the applications get the token volume as well, as Azure Workload Identity gives it to them.
    pub federation: bool,
    /// How they reach it.
    pub reach: Reach,
}

/// How applications reach the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By variables.
    Endpoint,
    /// By variables, since the namespace's Pod Security level, or the want of one, speaks against more.
    Fallback(Option<PodSecurity>),
    /// By redirection of the metadata address as well, which that level may refuse.
    Redirect(Option<PodSecurity>),
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
/// A mode that is none, or a port out of range.
pub fn sidecar(
    pod: &Pod<'_>,
    account: &ServiceAccount,
    namespace: &Namespace,
    settings: &Settings,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Sidecar>, Denial> {
    let denial = |place, value: &str| Denial::Sidecar { place, value: excerpt(value).into_owned() };
    let compatible = inject_proxy_sidecar(pod, warnings);
    let mode = match (pod.metadata.annotations.value(contract::SIDECAR), compatible) {
        (Some(value), _) => Mode::parse(value).ok_or_else(|| denial(Place::Pod, value))?,
        (None, Some(true)) => {
            let reach = match settings.sidecar.mode {
                DefaultMode::Auto => fitting(pod, namespace, settings),
                DefaultMode::Endpoint => Reach::Endpoint,
                DefaultMode::Redirect => Reach::Redirect(namespace.pod_security),
            };
            return Ok(Some(Sidecar { port: port(pod)?, federation: true, reach }));
        }
        (None, Some(false)) => return Ok(None),
        (None, None) => match &account.sidecar {
            Some(Ok(mode)) => *mode,
            Some(Err(value)) => return Err(denial(Place::ServiceAccount, value)),
            None => return Ok(None),
        },
    };
    let reach = match mode {
        Mode::Endpoint => Reach::Endpoint,
        Mode::Redirect => Reach::Redirect(namespace.pod_security),
        Mode::None => return Ok(None),
    };
    Ok(Some(Sidecar { port: port(pod)?, federation: false, reach }))
}

/// Redirection needs a capability that only the level `privileged` admits, and a network of the pod's own.
fn fitting(pod: &Pod<'_>, namespace: &Namespace, settings: &Settings) -> Reach {
    match namespace.pod_security.or(settings.sidecar.unlabelled) {
        _ if pod.spec.host_network => Reach::Endpoint,
        Some(PodSecurity::Privileged) => Reach::Redirect(namespace.pod_security),
        _ => Reach::Fallback(namespace.pod_security),
    }
}

/// A strict boolean: a value that is neither would be a surprise either way, so it is said and counts as absent.
fn inject_proxy_sidecar(pod: &Pod<'_>, warnings: &mut Vec<Warning>) -> Option<bool> {
    match pod.metadata.annotations.value(contract::INJECT_PROXY_SIDECAR)? {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            warnings.push(Warning::mistake(format!(
                "{key} is {other:?}, which is neither \"true\" nor \"false\": it adds no sidecar",
                key = contract::INJECT_PROXY_SIDECAR,
                other = excerpt(other)
            )));
            None
        }
    }
}

/// The port that the pod names, if it names one.
///
/// # Errors
///
/// It is none.
pub fn port(pod: &Pod<'_>) -> Result<Option<NonZeroU16>, Denial> {
    let value = pod.metadata.annotations.value(contract::PROXY_SIDECAR_PORT);
    value.map(|value| decimal(value).ok_or_else(|| Denial::Port { value: excerpt(value).into_owned() })).transpose()
}

/// The custom token endpoint, if the operator has one and the pod asks for it. Azure Workload Identity takes `true` in any
/// letter case here.
///
/// # Errors
///
/// The endpoint's roots would not be in the pod's volume.
pub fn token_endpoint<'a>(
    pod: &Pod<'_>,
    settings: &'a Settings,
    warnings: &mut Vec<Warning>,
) -> Result<Option<&'a TokenEndpoint>, Denial> {
    let Some(endpoint) = &settings.token_endpoint else {
        return Ok(None);
    };
    match pod.metadata.annotations.value(&endpoint.annotation) {
        Some(value) if value.eq_ignore_ascii_case("true") => {}
        None => return Ok(None),
        Some(value) => {
            if !value.eq_ignore_ascii_case("false") {
                warnings.push(Warning::mistake(format!(
                    "{} is {:?}, which is neither \"true\" nor \"false\": the pod keeps the usual authority",
                    endpoint.annotation,
                    excerpt(value)
                )));
            }
            return Ok(None);
        }
    }
    match &endpoint.roots {
        Roots::Bundles { signer, served: false, .. } => {
            Err(Denial::NoTrustBundles { key: endpoint.annotation.clone(), signer: signer.clone() })
        }
        _ => Ok(Some(endpoint)),
    }
}

/// Judges the ids by the sidecar's own rules. With an id that Entra cannot know a sidecar does not start, and the pod
/// hangs without a word; an SDK by itself says what is wrong, so there it is a warning.
///
/// # Errors
///
/// Such an id, where the pod has a sidecar.
pub fn ids(identity: &Identity<'_>, sidecar: Option<Sidecar>, warnings: &mut Vec<Warning>) -> Result<(), Denial> {
    let client_id = identity.client_id.as_deref().filter(|id| !id.is_guid());
    // The operator's tenant was judged when the webhook started.
    let tenant_id = identity.tenant_id.annotated().filter(|id| !id.is_tenant());
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
        warnings.push(Warning::mistake(format!("{key} is {value:?}; it {rule}, or Entra will not find it")));
    }
    Ok(())
}
