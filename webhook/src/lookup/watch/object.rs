//! Watched objects, as far as anything here depends on them. What is left out, above all `managedFields`, is most of an
//! object and is never held.

use podbadge_webhook_core::{contract, identity, pod::Text};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::fmt;

/// An object with the part of `metadata` that is read, and its `spec` where that is.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::lookup) struct Object<S = IgnoredAny> {
    pub(in crate::lookup) metadata: Metadata,
    #[serde(default)]
    pub(in crate::lookup) spec: S,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::lookup) struct Metadata {
    pub(in crate::lookup) name: Box<str>,
    pub(in crate::lookup) namespace: Box<str>,
    pub(in crate::lookup) resource_version: Box<str>,
    labels: Kept,
    annotations: Kept,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) metadata: PageMetadata,
    pub(super) items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMetadata {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: String,
}

/// The entries of a map of strings that mean something here.
#[derive(Clone, Debug, Default)]
struct Kept(Vec<(Box<str>, Box<str>)>);

// === impl Object ===

impl<S> Object<S> {
    /// What a service account says.
    pub(in crate::lookup) fn account(&self) -> identity::ServiceAccount {
        identity::ServiceAccount::from_annotations(self.metadata.annotations.iter())
    }

    /// What a namespace says.
    pub(in crate::lookup) fn namespace(&self) -> identity::Namespace {
        identity::Namespace::read(self.metadata.labels.iter(), self.metadata.annotations.iter())
    }
}

// === impl Kept ===

impl Kept {
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

fn is_kept(key: &str) -> bool {
    contract::PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || key == contract::POD_SECURITY_ENFORCE
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Ours;

        impl<'de> Visitor<'de> for Ours {
            type Value = Kept;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Kept, E> {
                Ok(Kept::default())
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Kept, M::Error> {
                let mut kept = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if is_kept(key.as_str()) {
                        kept.push((key.as_str().into(), map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Kept(kept))
            }
        }

        from.deserialize_any(Ours)
    }
}
