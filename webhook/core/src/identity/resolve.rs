//! The identity that a pod gets: pod before service account before namespace before operator.

use super::{Namespace, ServiceAccount};
use crate::{
    contract,
    denial::{Denial, Place},
    pod::Pod,
    settings::Settings,
    value::{Bounded, Id, TooLong, bounded, excerpt, is_word},
};
use podbadge_sidecar_core::{
    authority::AuthorityHost,
    identity::{AllowedClientIds, IdentityMap},
    ids::{ClientId, TenantId},
};
use std::{borrow::Cow, fmt, sync::Arc};

/// The identity that a pod gets.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The default identity; applications may name another.
    pub client_id: Option<Cow<'a, Id>>,
    /// The tenant, never empty.
    pub tenant_id: Tenant<'a>,
    /// The authority's base URL with a trailing slash.
    pub authority_host: Cow<'a, str>,
    /// The audience of the projected token.
    pub audience: &'a str,
    /// The only identities that the pod's sidecar may ask for; `None` leaves it to Entra.
    pub allowed: Option<AllowedClientIds>,
    /// Object ids and resource ids to client ids and tenants.
    pub map: Option<IdentityMap>,
}

/// A tenant from an annotation or from the operator.
#[derive(Clone, Debug)]
pub enum Tenant<'a> {
    /// An annotation's.
    Annotated(&'a Id),
    /// The one that the identity map gives to the pod's own identity.
    Mapped(Arc<TenantId>),
    /// The operator's.
    Default(&'a str),
}

impl<'a> Identity<'a> {
    /// Resolves the identity.
    ///
    /// # Errors
    ///
    /// Nobody names a tenant; the pod asks for an identity that its service account does not allow; the service account
    /// has an annotation that cannot be read, or it or the namespace one that counts and is too long.
    pub fn resolve(
        pod: &Pod<'_>,
        account: &'a ServiceAccount,
        namespace: &'a Namespace,
        settings: &'a Settings,
    ) -> Result<Self, Denial> {
        let special = account.special.as_deref();
        let allowed = special.and_then(|special| special.allowed_client_ids.as_ref());
        let allowed = allowed.map(|text| read::<AllowedClientIds>(contract::ALLOWED_CLIENT_IDS, text)).transpose()?;
        let map = special.and_then(|special| special.identity_map.as_ref());
        let map = map.map(|text| read::<IdentityMap>(contract::IDENTITY_MAP, text)).transpose()?;

        let own = account.client_id.as_ref().and_then(|id| id.as_ref().ok());
        let client_id = match chosen(pod, own, allowed.as_ref())? {
            Some(chosen) => Some(Cow::Owned(chosen)),
            None => nearest(contract::CLIENT_ID, &account.client_id, &namespace.client_id)?.map(Cow::Borrowed),
        };
        let mapped = client_id.as_ref().and_then(|id| map.as_ref()?.tenant(id.client_id()?)).cloned();
        Ok(Self {
            tenant_id: tenant(mapped, account, namespace, settings)?,
            authority_host: match special.and_then(|special| special.authority_host.as_ref()) {
                None => settings.authority_host.as_str().into(),
                Some(text) => read::<AuthorityHost>(contract::AUTHORITY_HOST, text)?.to_string().into(),
            },
            audience: match special.and_then(|special| special.audience.as_ref()) {
                None => &settings.audience,
                Some(audience) => match kept(Place::ServiceAccount, contract::AUDIENCE, audience)? {
                    audience if is_word(audience) => audience,
                    other => return Err(wrong(contract::AUDIENCE, other, &"must be one word, not empty")),
                },
            },
            // The account's own identity is always allowed, also where the pod's default is another.
            allowed: allowed.map(|allowed| match own.and_then(Id::client_id) {
                Some(own) => allowed.with(own),
                None => allowed,
            }),
            map,
            client_id,
        })
    }
}

/// The identity that the pod itself names, which its service account must allow: whoever may create pods would else choose
/// among all identities that trust the account.
fn chosen(pod: &Pod<'_>, own: Option<&Id>, allowed: Option<&AllowedClientIds>) -> Result<Option<Id>, Denial> {
    let Some(value) = pod.metadata.annotations.value(contract::POD_CLIENT_ID) else {
        return Ok(None);
    };
    bounded(contract::POD_CLIENT_ID, value).map_err(|wrong| too_long(Place::Pod, contract::POD_CLIENT_ID, &wrong))?;
    let client_id: ClientId =
        value.trim().parse().map_err(|rule| Denial::PodClientId { value: excerpt(value).into_owned(), rule })?;
    let is_own = own.and_then(Id::client_id) == Some(client_id);
    if is_own || allowed.is_some_and(|allowed| allowed.contains(client_id)) {
        Ok(Id::parse(&client_id.to_string()))
    } else {
        Err(Denial::NotAllowed { client_id })
    }
}

fn tenant<'a>(
    mapped: Option<Arc<TenantId>>,
    account: &'a ServiceAccount,
    namespace: &'a Namespace,
    settings: &'a Settings,
) -> Result<Tenant<'a>, Denial> {
    if let Some(mapped) = mapped {
        return Ok(Tenant::Mapped(mapped));
    }
    let annotated = nearest(contract::TENANT_ID, &account.tenant_id, &namespace.tenant_id)?.map(Tenant::Annotated);
    // A chart with an unset value sets the operator's variable to nothing.
    let default = settings.tenant_id.as_deref().filter(|tenant| !tenant.is_empty()).map(Tenant::Default);
    annotated.or(default).ok_or(Denial::NoTenant)
}

/// The account's id before the namespace's. One that is too long to be read hides none behind it.
fn nearest<'a>(
    key: &'static str,
    account: &'a Option<Bounded<Id>>,
    namespace: &'a Option<Bounded<Id>>,
) -> Result<Option<&'a Id>, Denial> {
    let own = account.as_ref().map(|id| (Place::ServiceAccount, id));
    let found = own.or(namespace.as_ref().map(|id| (Place::Namespace, id)));
    found.map(|(place, id)| id.as_ref().map_err(|wrong| too_long(place, key, wrong))).transpose()
}

fn kept<'a>(place: Place, key: &'static str, text: &'a Bounded<Box<str>>) -> Result<&'a str, Denial> {
    text.as_deref().map_err(|wrong| too_long(place, key, wrong))
}

fn too_long(place: Place, key: &'static str, wrong: &TooLong) -> Denial {
    Denial::Annotation { place, key, value: wrong.excerpt.as_ref().to_owned(), rule: wrong.to_string() }
}

fn read<T: std::str::FromStr<Err: fmt::Display>>(key: &'static str, text: &Bounded<Box<str>>) -> Result<T, Denial> {
    let text = kept(Place::ServiceAccount, key, text)?;
    text.trim().parse().map_err(|rule| wrong(key, text, &rule))
}

fn wrong(key: &'static str, value: &str, rule: &dyn fmt::Display) -> Denial {
    let value = excerpt(value).into_owned();
    Denial::Annotation { place: Place::ServiceAccount, key, value, rule: rule.to_string() }
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client_id {
            Some(client_id) => write!(out, "client {client_id} of tenant {}", self.tenant_id),
            None => write!(out, "no client of tenant {}", self.tenant_id),
        }
    }
}

// === impl Tenant ===

impl Tenant<'_> {
    /// The annotation's id, if it is one: nobody else has judged it yet.
    pub(crate) fn annotated(&self) -> Option<&Id> {
        match self {
            Self::Annotated(id) => Some(id),
            Self::Mapped(_) | Self::Default(_) => None,
        }
    }
}

impl fmt::Display for Tenant<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotated(id) => id.fmt(out),
            Self::Mapped(id) => id.fmt(out),
            Self::Default(id) => out.write_str(id),
        }
    }
}
