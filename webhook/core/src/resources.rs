//! Requests and limits of injected containers: what the pod's author or the operator wants, made to fit what the
//! namespace demands and what the pod is.
//!
//! A container without them is refused where a ResourceQuota counts them, and takes a Guaranteed pod its class; one with
//! fixed amounts is refused where a LimitRange demands others. Nothing here makes an amount smaller than the program
//! needs, unless the LimitRange allows no more.

mod fit;
mod limits;
mod quantity;

pub use limits::{Limits, Spec};
pub use quantity::{NoQuantity, Quantity};

use crate::{
    contract,
    denial::Denial,
    pod::Pod,
    value::{cut, excerpt},
};
use serde::Serialize;
use std::{collections::BTreeMap, str::FromStr};

/// A container's requests and limits; no request is above its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// What is set aside for it.
    #[serde(skip_serializing_if = "Amounts::is_empty")]
    pub requests: Amounts,
    /// What it cannot go beyond.
    #[serde(skip_serializing_if = "Amounts::is_empty")]
    pub limits: Amounts,
}

/// Amounts of the resources that injected containers use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Amounts {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// The node's disk in bytes: logs, as injected containers write nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Quantity>,
}

/// Why a text is no [`Resources`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not JSON, not of this shape, or with an amount that is none.
    #[error("{0}")]
    Malformed(String),
    /// A name that means nothing here.
    #[error("{0:?} is neither of requests and limits, nor a resource that the container uses")]
    Unknown(String),
    /// More is requested than allowed.
    #[error("the request of {0} is above its limit")]
    Above(&'static str),
}

/// A value as its author may write it.
pub const EXAMPLE: &str = r#"{"requests":{"cpu":"5m","memory":"8Mi"},"limits":{"memory":"32Mi"}}"#;

/// The longest text about what is wrong with a value; the value itself may be in it.
const LONGEST: usize = 160;

// === impl Resources ===

impl Resources {
    /// What the sidecar has where nobody says otherwise: it idles at 4 MiB, and an exchange takes milliseconds.
    pub const DEFAULT: Self = Self {
        requests: Amounts { cpu: Some(Quantity::milli(5)), memory: Some(Quantity::mebi(8)), ephemeral_storage: None },
        limits: Amounts { cpu: Some(Quantity::milli(500)), memory: Some(Quantity::mebi(32)), ephemeral_storage: None },
    };

    /// Whether it names no amount.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

/// Reads JSON in the shape of a container's `resources`.
impl FromStr for Resources {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Maps, because derived code takes a list of values for an object as well.
        let lists: BTreeMap<String, BTreeMap<String, Quantity>> = serde_json::from_str(text)
            .map_err(|error| Invalid::Malformed(cut(&error.to_string(), LONGEST).into_owned()))?;
        let mut read = Self::default();
        for (name, amounts) in lists {
            *match name.as_str() {
                "requests" => &mut read.requests,
                "limits" => &mut read.limits,
                _ => return Err(Invalid::unknown(&name)),
            } = Amounts::of(amounts)?;
        }
        let Self { requests, limits } = &read;
        for (name, request, limit) in [
            ("cpu", requests.cpu, limits.cpu),
            ("memory", requests.memory, limits.memory),
            ("ephemeral-storage", requests.ephemeral_storage, limits.ephemeral_storage),
        ] {
            if limit.is_some() && request > limit {
                return Err(Invalid::Above(name));
            }
        }
        Ok(read)
    }
}

// === impl Invalid ===

impl Invalid {
    fn unknown(name: &str) -> Self {
        Self::Unknown(excerpt(name).into_owned())
    }
}

// === impl Amounts ===

impl Amounts {
    fn of(named: BTreeMap<String, Quantity>) -> Result<Self, Invalid> {
        let mut amounts = Self::default();
        for (name, amount) in named {
            *match name.as_str() {
                "cpu" => &mut amounts.cpu,
                "memory" => &mut amounts.memory,
                "ephemeral-storage" => &mut amounts.ephemeral_storage,
                _ => return Err(Invalid::unknown(&name)),
            } = Some(amount);
        }
        Ok(amounts)
    }

    /// Whether it names no amount.
    pub fn is_empty(&self) -> bool {
        let Self { cpu, memory, ephemeral_storage } = self;
        cpu.is_none() && memory.is_none() && ephemeral_storage.is_none()
    }
}

/// The resources of a container that is added to the pod; `None` where it names none.
///
/// The pod's annotation counts as it stands: the API server judges it, in words its author knows. What the operator set
/// is made to fit the namespace's LimitRanges, and the pod if that is Guaranteed. A pod that has resources as a whole
/// shares them among its containers and must not be told twice
/// (<https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/>).
///
/// # Errors
///
/// The pod's annotation cannot be read.
pub fn for_container(pod: &Pod<'_>, limits: &Limits, default: &Resources) -> Result<Option<Resources>, Denial> {
    let resources = match pod.metadata.annotations.value(contract::SIDECAR_RESOURCES) {
        Some(value) => value.parse().map_err(|why| Denial::Resources { value: excerpt(value).into_owned(), why })?,
        None if fit::has_pod_resources(pod) => return Ok(None),
        None => fit::fit(default, limits, fit::is_guaranteed(pod)),
    };
    Ok(Some(resources).filter(|resources| !resources.is_empty()))
}
