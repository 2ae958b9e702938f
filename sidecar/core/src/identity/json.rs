//! The JSON of an identity map, entry by entry and in order: a generic reading would let the last of two equal keys win.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::{InvalidMap, MOST};
use crate::text::{cut, excerpt, one_line};

/// The value of an entry, not judged yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) client_id: Option<String>,
    pub(super) tenant_id: Option<String>,
}

/// Every entry with its key; beyond [`MOST`] one more, and the rest is passed over.
struct Entries(Vec<(String, Written)>);

/// Reads the entries of the JSON object that `text` is.
///
/// # Errors
///
/// It is none, an entry has another shape, or there are more than [`MOST`].
pub(super) fn read(text: &str) -> Result<Vec<(String, Written)>, InvalidMap> {
    // The reason may repeat what was found in place of an object, whatever its length.
    let reason = |error: serde_json::Error| cut(&one_line(&error.to_string()), 256).into_owned();
    let Entries(entries) = serde_json::from_str(text).map_err(|error| InvalidMap::Json { reason: reason(error) })?;
    if entries.len() > MOST { Err(InvalidMap::TooMany) } else { Ok(entries) }
}

// === impl Entries ===

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let at_key = |error| A::Error::custom(format_args!("at the key {:?}: {error}", excerpt(&key)));
            let written = map.next_value().map_err(at_key)?;
            if entries.len() <= MOST {
                entries.push((key, written));
            }
        }
        Ok(Entries(entries))
    }
}

// === impl Written ===

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Identity)
    }
}

struct Identity;

impl<'de> Visitor<'de> for Identity {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a client id, or an object with clientId and tenantId")
    }

    fn visit_str<E>(self, client_id: &str) -> Result<Written, E> {
        Ok(Written { client_id: Some(client_id.to_owned()), tenant_id: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut written = Written::default();
        while let Some(name) = map.next_key::<String>()? {
            let field = match name.as_str() {
                "clientId" => &mut written.client_id,
                "tenantId" => &mut written.tenant_id,
                _ => {
                    let text = format_args!("unknown field {:?}, expected clientId or tenantId", excerpt(&name));
                    return Err(A::Error::custom(text));
                }
            };
            let value = map.next_value().map_err(|error| A::Error::custom(format_args!("{name}: {error}")))?;
            if field.replace(value).is_some() {
                return Err(A::Error::custom(format_args!("{name} is given more than once")));
            }
        }
        Ok(written)
    }
}
