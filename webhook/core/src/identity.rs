//! Who a pod is: annotations of its service account and namespace, and the operator's defaults.

mod resolve;

pub use resolve::{Identity, Tenant};

use crate::{
    contract,
    value::{Bounded, Expiration, Id, Mode, bounded, excerpt},
};

/// What a service account's annotations say, in little memory. A wrong value is kept to be named when it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The identity; its presence is the opt-in of an annotated service account.
    pub client_id: Option<Bounded<Id>>,
    /// The identity's tenant.
    pub tenant_id: Option<Bounded<Id>>,
    /// The lifetime of its pods' tokens, or what stands in its place.
    pub expiration: Option<Result<Expiration, Box<str>>>,
    /// The sidecar mode of its pods, or what stands in its place.
    pub sidecar: Option<Result<Mode, Box<str>>>,
    /// What few say; a cluster may have a hundred thousand service accounts.
    pub special: Option<Box<Special>>,
}

/// What few service accounts say, as it is written: it is read when a pod needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Special {
    /// The only identities that its pods may ask for.
    pub allowed_client_ids: Option<Bounded<Box<str>>>,
    /// Object ids and resource ids to client ids.
    pub identity_map: Option<Bounded<Box<str>>>,
    /// The audience of its pods' tokens.
    pub audience: Option<Bounded<Box<str>>>,
    /// The authority of its pods.
    pub authority_host: Option<Bounded<Box<str>>>,
}

/// What a namespace's annotations and labels say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The identity of opted-in pods whose service account names none; never an opt-in by itself.
    pub client_id: Option<Bounded<Id>>,
    /// The tenant of identities that name none.
    pub tenant_id: Option<Bounded<Id>>,
    /// The Pod Security level that the API server enforces, if the namespace names one.
    pub pod_security: Option<PodSecurity>,
}

/// A Pod Security level (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSecurity {
    /// Everything is allowed.
    Privileged,
    /// Known escalations are refused, and with them the capability to redirect.
    Baseline,
    /// As little as possible is allowed.
    Restricted,
}

// === impl ServiceAccount ===

impl ServiceAccount {
    /// Reads the annotations of a service account; all that are not ours are passed over.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut account = Self::default();
        for (key, value) in annotations {
            match key {
                contract::CLIENT_ID => account.client_id = id(key, value),
                contract::TENANT_ID => account.tenant_id = id(key, value),
                contract::TOKEN_EXPIRATION if !value.is_empty() => {
                    account.expiration = Some(Expiration::parse(value).ok_or_else(|| wrong(value)));
                }
                contract::SIDECAR => account.sidecar = Some(Mode::parse(value).ok_or_else(|| wrong(value))),
                contract::ALLOWED_CLIENT_IDS => account.special().allowed_client_ids = text(key, value),
                contract::IDENTITY_MAP => account.special().identity_map = text(key, value),
                contract::AUDIENCE => account.special().audience = text(key, value),
                contract::AUTHORITY_HOST => account.special().authority_host = text(key, value),
                _ => {}
            }
        }
        account
    }

    fn special(&mut self) -> &mut Special {
        self.special.get_or_insert_default()
    }

    /// How many bytes of text are kept of it: none where it names GUIDs and nothing more.
    pub fn weight(&self) -> usize {
        let id = |id: &Option<Bounded<Id>>| {
            id.as_ref().map_or(0, |id| id.as_ref().map_or_else(|wrong| wrong.weight(), Id::weight))
        };
        let text = |text: &Option<Bounded<Box<str>>>| {
            text.as_ref().map_or(0, |text| text.as_ref().map_or_else(|wrong| wrong.weight(), |text| text.len()))
        };
        let special = self.special.as_deref().map_or(0, |special| {
            let Special { allowed_client_ids, identity_map, audience, authority_host } = special;
            [allowed_client_ids, identity_map, audience, authority_host].into_iter().map(text).sum()
        });
        id(&self.client_id) + id(&self.tenant_id) + special
    }

    /// Whether it says anything at all; most service accounts of a cluster do not.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Namespace ===

impl Namespace {
    /// Reads the labels and annotations of a namespace; all that mean nothing here are passed over.
    pub fn read<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut namespace = Self::default();
        for (key, value) in annotations {
            match key {
                contract::CLIENT_ID => namespace.client_id = id(key, value),
                contract::TENANT_ID => namespace.tenant_id = id(key, value),
                _ => {}
            }
        }
        let level = labels.into_iter().find(|(key, _)| *key == contract::POD_SECURITY_ENFORCE);
        namespace.pod_security = level.map(|(_, level)| PodSecurity::parse(level));
        namespace
    }

    /// Whether it says anything at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl PodSecurity ===

impl PodSecurity {
    /// Reads the label's value. One that is no level is enforced as the strictest
    /// (<https://kubernetes.io/docs/concepts/security/pod-security-admission/>: invalid values fail closed).
    fn parse(level: &str) -> Self {
        match level {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            _ => Self::Restricted,
        }
    }
}

impl std::fmt::Display for PodSecurity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

fn id(key: &str, value: &str) -> Option<Bounded<Id>> {
    bounded(key, value).map(Id::parse).transpose()
}

fn text(key: &str, value: &str) -> Option<Bounded<Box<str>>> {
    Some(bounded(key, value).map(Into::into))
}

fn wrong(value: &str) -> Box<str> {
    excerpt(value).into()
}
