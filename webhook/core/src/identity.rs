//! Who a pod is: annotations of its service account and namespace, and the operator's defaults.

use crate::{
    contract,
    denial::Denial,
    settings::Settings,
    value::{Expiration, Id, Mode, excerpt},
};
use std::fmt;

/// What a service account's annotations say, in little memory. A wrong value is kept to be named when it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The identity; its presence is the opt-in of an annotated service account.
    pub client_id: Option<Id>,
    /// The identity's tenant.
    pub tenant_id: Option<Id>,
    /// The lifetime of its pods' tokens, or what stands in its place.
    pub expiration: Option<Result<Expiration, Box<str>>>,
    /// The sidecar mode of its pods, or what stands in its place.
    pub sidecar: Option<Result<Mode, Box<str>>>,
}

/// What a namespace's annotations and labels say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The identity of opted-in pods whose service account names none; never an opt-in by itself.
    pub client_id: Option<Id>,
    /// The tenant of identities that name none.
    pub tenant_id: Option<Id>,
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

/// The identity that a pod gets.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The default identity; applications may name another.
    pub client_id: Option<&'a Id>,
    /// The tenant, never empty.
    pub tenant_id: Tenant<'a>,
}

/// A tenant from an annotation or from the operator.
#[derive(Clone, Copy, Debug)]
pub enum Tenant<'a> {
    /// An annotation's.
    Annotated(&'a Id),
    /// The operator's.
    Default(&'a str),
}

// === impl ServiceAccount ===

impl ServiceAccount {
    /// Reads the annotations of a service account; all that are not ours are passed over.
    pub fn from_annotations<'a>(annotations: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut account = Self::default();
        for (key, value) in annotations {
            match key {
                contract::CLIENT_ID => account.client_id = Id::parse(value),
                contract::TENANT_ID => account.tenant_id = Id::parse(value),
                contract::TOKEN_EXPIRATION if !value.is_empty() => {
                    account.expiration = Some(Expiration::parse(value).ok_or_else(|| wrong(value)));
                }
                contract::SIDECAR => account.sidecar = Some(Mode::parse(value).ok_or_else(|| wrong(value))),
                _ => {}
            }
        }
        account
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
                contract::CLIENT_ID => namespace.client_id = Id::parse(value),
                contract::TENANT_ID => namespace.tenant_id = Id::parse(value),
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

// === impl Identity ===

impl<'a> Identity<'a> {
    /// Resolves the identity: service account before namespace before operator.
    ///
    /// # Errors
    ///
    /// Nobody names a tenant.
    pub fn resolve(
        account: &'a ServiceAccount,
        namespace: &'a Namespace,
        settings: &'a Settings,
    ) -> Result<Self, Denial> {
        let client_id = account.client_id.as_ref().or(namespace.client_id.as_ref());
        let annotated = account.tenant_id.as_ref().or(namespace.tenant_id.as_ref()).map(Tenant::Annotated);
        // A chart with an unset value sets the operator's variable to nothing.
        let default = settings.tenant_id.as_deref().filter(|tenant| !tenant.is_empty());
        let tenant_id = annotated.or(default.map(Tenant::Default)).ok_or(Denial::NoTenant)?;
        Ok(Self { client_id, tenant_id })
    }
}

fn wrong(value: &str) -> Box<str> {
    excerpt(value).into()
}

impl fmt::Display for Tenant<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotated(id) => id.fmt(out),
            Self::Default(id) => out.write_str(id),
        }
    }
}
