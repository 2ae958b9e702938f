//! What a namespace's LimitRanges demand of each container
//! (<https://kubernetes.io/docs/concepts/policy/limit-range/>).

use super::Quantity;
use serde::{Deserialize, Deserializer};

/// The bounds of the resources that injected containers name. Of several LimitRanges the narrowest bound counts, for the
/// API server asks every one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    pub(super) cpu: Bounds,
    pub(super) memory: Bounds,
    pub(super) ephemeral_storage: Bounds,
}

/// What is demanded of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    /// The least that may be requested.
    pub(super) min: Option<Quantity>,
    /// The most that the limit may be.
    pub(super) max: Option<Quantity>,
    /// The most that the limit may be of the request.
    pub(super) ratio: Option<Quantity>,
    /// The limit of a container that names none.
    pub(super) limit: Option<Quantity>,
    /// The request of a container that names none.
    pub(super) request: Option<Quantity>,
}

/// A LimitRange's `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Spec {
    limits: Vec<Item>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Item {
    r#type: String,
    min: Option<Amounts>,
    max: Option<Amounts>,
    default: Option<Amounts>,
    default_request: Option<Amounts>,
    max_limit_request_ratio: Option<Amounts>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Amounts {
    #[serde(deserialize_with = "readable")]
    cpu: Option<Quantity>,
    #[serde(deserialize_with = "readable")]
    memory: Option<Quantity>,
    #[serde(deserialize_with = "readable")]
    ephemeral_storage: Option<Quantity>,
}

/// One bound that cannot be read, such as a negative one, must not hide the others.
fn readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Quantity>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(Quantity::deserialize(value).ok())
}

// === impl Limits ===

impl Limits {
    /// No demands, as in most namespaces.
    pub const NONE: Self = Self { cpu: Bounds::NONE, memory: Bounds::NONE, ephemeral_storage: Bounds::NONE };

    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Both demands at once.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.and(other.cpu),
            memory: self.memory.and(other.memory),
            ephemeral_storage: self.ephemeral_storage.and(other.ephemeral_storage),
        }
    }

    fn of(item: &Item) -> Self {
        let bounds = |of: fn(&Amounts) -> Option<Quantity>| {
            let amount = |amounts: &Option<Amounts>| amounts.as_ref().and_then(of);
            Bounds {
                min: amount(&item.min),
                max: amount(&item.max),
                ratio: amount(&item.max_limit_request_ratio),
                limit: amount(&item.default),
                request: amount(&item.default_request),
            }
        };
        Self {
            cpu: bounds(|amounts| amounts.cpu),
            memory: bounds(|amounts| amounts.memory),
            ephemeral_storage: bounds(|amounts| amounts.ephemeral_storage),
        }
    }
}

/// What a LimitRange demands of containers; of pods as a whole and of claims it may demand more.
impl From<&Spec> for Limits {
    fn from(spec: &Spec) -> Self {
        let items = spec.limits.iter().filter(|item| item.r#type == "Container");
        items.map(Self::of).fold(Self::default(), |limits, item| limits.and(&item))
    }
}

// === impl Bounds ===

impl Bounds {
    pub(super) const NONE: Self = Self { min: None, max: None, ratio: None, limit: None, request: None };

    fn and(self, other: Self) -> Self {
        let least = |one: Option<Quantity>, other: Option<Quantity>| one.into_iter().chain(other).min();
        Self {
            min: self.min.max(other.min),
            max: least(self.max, other.max),
            ratio: least(self.ratio, other.ratio),
            limit: least(self.limit, other.limit),
            request: least(self.request, other.request),
        }
    }
}
