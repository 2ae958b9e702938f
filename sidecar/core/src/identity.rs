//! Which identities a pod may ask for, and by which names: what its service account's annotations `allowed-client-ids`
//! and `identity-map` say. The webhook refuses by these rules what the sidecar could not obey.
//!
//! ```text
//! object id or resource id -> map -> client id -> list (and the pod's default) -> client id and tenant
//!                                    client id -'
//! ```

mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::ids::{ClientId, Invalid, ObjectId, ResourceId, TenantId};
use crate::text::excerpt;
use json::Written;

/// The most entries of a list or a map: more than a pod has use for, and little memory.
pub const MOST: usize = 256;

/// The only client ids that a pod may ask for besides its own default: at least one, each once, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedClientIds(Box<[ClientId]>);

/// Other names of identities, and the tenants that are not the pod's own. A client id has one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityMap {
    object_ids: BTreeMap<ObjectId, ClientId>,
    resource_ids: BTreeMap<ResourceId, ClientId>,
    tenants: BTreeMap<ClientId, Arc<TenantId>>,
}

/// Why a text is no [`AllowedClientIds`]. The texts go on after "it ..." and repeat no more than an excerpt.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidList {
    /// Nothing but separators.
    #[error("must be client ids separated by semicolons or commas, at least one")]
    Empty,
    /// An entry that is no client id.
    #[error("must be client ids separated by semicolons or commas; the entry {entry:?} {rule}")]
    Entry {
        /// What stands there.
        entry: String,
        /// What may stand there.
        rule: Invalid,
    },
    /// More than [`MOST`].
    #[error("must be no more than {MOST} client ids")]
    TooMany,
}

/// Why a text is no [`IdentityMap`]. The texts go on after "it ..." and repeat no more than excerpts.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidMap {
    /// Not JSON, or JSON of another shape; the place is in the reason.
    #[error("must be a JSON object such as {{\"OBJECT-ID\": \"CLIENT-ID\"}}: {reason}")]
    Json {
        /// What was expected, where.
        reason: String,
    },
    /// More than [`MOST`].
    #[error("must have no more than {MOST} entries")]
    TooMany,
    /// A key that names nothing.
    #[error(
        "must have object ids or client ids (GUIDs) or resource ids (with a slash in front) as keys; {key:?} is none"
    )]
    Key {
        /// The key.
        key: String,
    },
    /// Two keys that mean the same, perhaps in different letter case.
    #[error("must have the key {key:?} only once")]
    Duplicate {
        /// The key that came second.
        key: String,
    },
    /// A client id that is none.
    #[error("is wrong at the key {key:?}: the client id {value:?} {rule}")]
    ClientId {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: Invalid,
    },
    /// A tenant that is none.
    #[error("is wrong at the key {key:?}: the tenant id {value:?} {rule}")]
    TenantId {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        rule: Invalid,
    },
    /// An entry that says nothing, or not for whom.
    #[error("must have a clientId at the key {key:?}, or, if that is a client id itself, a tenantId")]
    Nothing {
        /// The key.
        key: String,
    },
    /// One identity in two tenants.
    #[error("must not give the client id {client_id} two tenants, as it does at the key {key:?}")]
    TwoTenants {
        /// The key that came second.
        key: String,
        /// The identity.
        client_id: ClientId,
    },
}

/// What an entry of the map is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Guid(ObjectId),
    Resource(ResourceId),
}

// === impl AllowedClientIds ===

impl AllowedClientIds {
    /// Whether the list names `client_id`.
    pub fn contains(&self, client_id: ClientId) -> bool {
        self.0.binary_search(&client_id).is_ok()
    }

    /// The list with one more, unless it names that already.
    #[must_use]
    pub fn with(self, client_id: ClientId) -> Self {
        let mut ids: BTreeSet<ClientId> = self.0.into_iter().collect();
        ids.insert(client_id);
        Self(ids.into_iter().collect())
    }
}

impl FromStr for AllowedClientIds {
    type Err = InvalidList;

    /// Reads `a;b` or `a,b`. Blanks around ids and empty entries mean nothing, as in `skip-containers`.
    fn from_str(text: &str) -> Result<Self, InvalidList> {
        let mut ids = BTreeSet::new();
        for entry in text.split([';', ',']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let wrong = |rule| InvalidList::Entry { entry: excerpt(entry).into_owned(), rule };
            ids.insert(entry.parse().map_err(wrong)?);
            if ids.len() > MOST {
                return Err(InvalidList::TooMany);
            }
        }
        if ids.is_empty() { Err(InvalidList::Empty) } else { Ok(Self(ids.into_iter().collect())) }
    }
}

impl fmt::Display for AllowedClientIds {
    /// The ids in order, `a;b`; read again, it is the same list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(";")?;
            }
            id.fmt(f)?;
        }
        Ok(())
    }
}

// === impl IdentityMap ===

impl IdentityMap {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The identity with this object id.
    pub fn by_object_id(&self, id: ObjectId) -> Option<ClientId> {
        self.object_ids.get(&id).copied()
    }

    /// The identity with this resource id.
    pub fn by_resource_id(&self, id: &ResourceId) -> Option<ClientId> {
        self.resource_ids.get(id).copied()
    }

    /// The tenant of this identity; none means the pod's own.
    pub fn tenant(&self, client_id: ClientId) -> Option<&Arc<TenantId>> {
        self.tenants.get(&client_id)
    }

    fn insert(&mut self, key: &str, subject: Key, written: &Written) -> Result<(), InvalidMap> {
        let (client_id, tenant_id) = written.ids(key)?;
        let client_id = match (subject, client_id) {
            (Key::Guid(id), None) if tenant_id.is_some() => id.into(),
            (_, None) => return Err(InvalidMap::Nothing { key: excerpt(key).into_owned() }),
            (Key::Guid(id), Some(client_id)) => {
                // The same twice is a client id with itself, no object id.
                if ClientId::from(id) != client_id {
                    self.object_ids.insert(id, client_id);
                }
                client_id
            }
            (Key::Resource(id), Some(client_id)) => {
                self.resource_ids.insert(id, client_id);
                client_id
            }
        };
        let Some(tenant_id) = tenant_id else {
            return Ok(());
        };
        let known = self.tenants.entry(client_id).or_insert_with(|| Arc::new(tenant_id.clone()));
        if known.as_str().eq_ignore_ascii_case(tenant_id.as_str()) {
            Ok(())
        } else {
            Err(InvalidMap::TwoTenants { key: excerpt(key).into_owned(), client_id })
        }
    }
}

impl FromStr for IdentityMap {
    type Err = InvalidMap;

    /// Reads a JSON object. A key is an object id, a client id or a resource id; its value a client id, or an object with
    /// `clientId` and `tenantId`, of which the first may be absent if the key itself is a client id.
    fn from_str(text: &str) -> Result<Self, InvalidMap> {
        let mut map = Self::default();
        let mut keys = BTreeSet::new();
        for (key, written) in json::read(text)? {
            let subject = Key::parse(&key)?;
            if !keys.insert(subject.clone()) {
                return Err(InvalidMap::Duplicate { key: excerpt(&key).into_owned() });
            }
            map.insert(&key, subject, &written)?;
        }
        Ok(map)
    }
}

impl fmt::Display for IdentityMap {
    /// JSON on one line with the keys in order; read again, it is the same map.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object_ids, resource_ids, tenants } = self;
        let mut alone: BTreeMap<_, _> = tenants.iter().collect();
        let mut entries = Map::new();
        let named = object_ids.iter().map(|(id, client_id)| (id.to_string(), client_id));
        let named = named.chain(resource_ids.iter().map(|(id, client_id)| (id.to_string(), client_id)));
        for (key, client_id) in named {
            let mut entry = Map::from_iter([("clientId".to_owned(), client_id.to_string().into())]);
            if let Some(tenant_id) = tenants.get(client_id) {
                entry.insert("tenantId".to_owned(), tenant_id.as_str().into());
                alone.remove(client_id);
            }
            entries.insert(key, entry.into());
        }
        for (client_id, tenant_id) in alone {
            let entry = Map::from_iter([("tenantId".to_owned(), tenant_id.as_str().into())]);
            entries.insert(client_id.to_string(), entry.into());
        }
        Value::Object(entries).fmt(f)
    }
}

// === impl Written ===

impl Written {
    fn ids(&self, key: &str) -> Result<(Option<ClientId>, Option<TenantId>), InvalidMap> {
        let Self { client_id, tenant_id } = self;
        let shown = |text: &str| excerpt(text).into_owned();
        let client_id = client_id.as_deref().map(|value| {
            value.parse().map_err(|rule| InvalidMap::ClientId { key: shown(key), value: shown(value), rule })
        });
        let tenant_id = tenant_id.as_deref().map(|value| {
            value.parse().map_err(|rule| InvalidMap::TenantId { key: shown(key), value: shown(value), rule })
        });
        Ok((client_id.transpose()?, tenant_id.transpose()?))
    }
}

// === impl Key ===

impl Key {
    fn parse(text: &str) -> Result<Self, InvalidMap> {
        let key = if text.starts_with('/') { text.parse().map(Self::Resource) } else { text.parse().map(Self::Guid) };
        key.map_err(|_| InvalidMap::Key { key: excerpt(text).into_owned() })
    }
}

#[cfg(test)]
mod tests;
