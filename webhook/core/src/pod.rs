//! A narrow, borrowed view of a pod: the fields that decide, and nothing else.
//!
//! It reads JSON as the API server writes it: a list or an object may be absent or `null`. Pod templates have the same
//! shape, so they are read by the same types.

mod env;
mod object;

pub use env::{Env, EnvFrom, Name, NoProxy};

use crate::contract;
use env::Variable;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// A string of the document, borrowed unless it holds escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

/// A pod or a pod template.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct Pod<'a> {
    /// Name, label and annotations.
    #[serde(deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    /// The containers and what they share.
    #[serde(deserialize_with = "nullable")]
    pub spec: Spec<'a>,
}

/// The part of `metadata` that is read.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Metadata<'a> {
    /// Absent in the pods that controllers create: they have [`Self::generate_name`].
    pub name: Option<Text<'a>>,
    /// The prefix of a name that is not chosen yet.
    pub generate_name: Option<Text<'a>>,
    /// The labels below [`contract::PREFIXES`].
    #[serde(deserialize_with = "nullable")]
    pub labels: Keys<'a>,
    /// The annotations below [`contract::PREFIXES`], and [`contract::DEFAULT_CONTAINER`].
    #[serde(deserialize_with = "nullable")]
    pub annotations: Keys<'a>,
}

/// The entries of a map of strings whose keys mean something here.
#[derive(Clone, Debug, Default)]
pub struct Keys<'a> {
    entries: Vec<(Text<'a>, Text<'a>)>,
    present: bool,
}

/// The part of `spec` that is read.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Spec<'a> {
    /// The service account; the API server writes `default` where the user wrote none.
    pub service_account_name: Option<Text<'a>>,
    /// The old name of [`Self::service_account_name`].
    pub service_account: Option<Text<'a>>,
    /// Absent and `null` are the same.
    pub init_containers: Option<Vec<Container<'a>>>,
    /// Those of `kubectl debug`; the API server takes them by a subresource alone.
    pub ephemeral_containers: Option<Vec<Container<'a>>>,
    /// At least one in a valid pod.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<Container<'a>>,
    /// Absent and `null` are the same.
    pub volumes: Option<Vec<Volume<'a>>>,
    /// The secrets that images are pulled with; absent and `null` are the same.
    pub image_pull_secrets: Option<Vec<Reference<'a>>>,
    /// Whether the pod shares the node's network.
    #[serde(deserialize_with = "nullable")]
    pub host_network: bool,
    /// Whether containers see each other's processes, and files through `/proc`.
    #[serde(deserialize_with = "nullable")]
    pub share_process_namespace: bool,
    /// `Always`, `OnFailure` or `Never`; absent means `Always`.
    pub restart_policy: Option<Text<'a>>,
    /// The declared operating system.
    #[serde(deserialize_with = "nullable")]
    pub os: Os<'a>,
    /// The node selector, as far as it names the operating system.
    #[serde(deserialize_with = "nullable")]
    pub node_selector: NodeSelector<'a>,
    /// Resources of the pod as a whole (Kubernetes 1.32), if any, as they are written.
    pub resources: Option<&'a RawValue>,
    /// For the containers that say nothing else.
    #[serde(deserialize_with = "nullable")]
    pub security_context: SecurityContext,
}

/// `securityContext` of a pod or a container.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// The numeric user; absent, the image says it.
    pub run_as_user: Option<i64>,
}

/// The name of another object.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct Reference<'a> {
    /// In the pod's namespace.
    #[serde(deserialize_with = "nullable")]
    pub name: Text<'a>,
}

/// `spec.os`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct Os<'a> {
    /// `linux` or `windows`.
    pub name: Option<Text<'a>>,
}

/// `spec.nodeSelector`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct NodeSelector<'a> {
    /// `linux` or `windows`.
    #[serde(rename = "kubernetes.io/os")]
    pub os: Option<Text<'a>>,
}

/// A container or an init container.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Container<'a> {
    /// Unique among all containers of the pod.
    pub name: Text<'a>,
    /// The variables that decide; `None` where the container has no list at all.
    pub env: Option<Env<'a>>,
    /// Whether variables come from elsewhere, unseen.
    #[serde(deserialize_with = "nullable")]
    pub env_from: EnvFrom,
    /// `None` where the container has no list at all.
    pub volume_mounts: Option<Vec<Mount<'a>>>,
    /// The ports it says it listens on.
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<Port>,
    /// Requests and limits, as they are written: only a container that is added beside it needs to know them.
    pub resources: Option<&'a RawValue>,
    /// Wins over the pod's.
    #[serde(deserialize_with = "nullable")]
    pub security_context: SecurityContext,
}

/// A volume mount.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Mount<'a> {
    /// The volume.
    pub name: Text<'a>,
    /// Where it appears in the container.
    pub mount_path: Text<'a>,
    /// The one file or folder of the volume that is mounted instead of all.
    #[serde(deserialize_with = "nullable")]
    pub sub_path: Text<'a>,
    /// The same with variables of the container in it.
    #[serde(deserialize_with = "nullable")]
    pub sub_path_expr: Text<'a>,
}

/// A declared port.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase")]
pub struct Port {
    /// 1..=65535 in a valid pod.
    #[serde(deserialize_with = "nullable")]
    pub container_port: i64,
}

/// A volume.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct Volume<'a> {
    /// Unique in the pod.
    pub name: Text<'a>,
    /// What it projects, if it is a projected volume.
    pub projected: Option<Projected<'a>>,
}

/// A projected volume.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, bound(deserialize = "'de: 'a"))]
pub struct Projected<'a> {
    /// Its parts.
    #[serde(deserialize_with = "nullable")]
    pub sources: Vec<Source<'a>>,
}

/// One part of a projected volume.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Source<'a> {
    /// A token, if this part is one.
    pub service_account_token: Option<TokenSource<'a>>,
}

/// A projected service-account token.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(remote = "Self", default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct TokenSource<'a> {
    /// Absent means the API server itself.
    pub audience: Option<Text<'a>>,
    /// The file below the mount.
    pub path: Text<'a>,
}

/// A Kubernetes list or object may be `null` where Go had nothing to write.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

// === impl Text ===

impl Text<'_> {
    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

// By hand, because serde borrows a `Cow` only as a field of its own, never inside an `Option` or a list.
impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }

        from.deserialize_str(Borrowing)
    }
}

// === impl Keys ===

impl<'a> Keys<'a> {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All entries, in the document's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether the object has such a map at all, be it empty.
    pub fn present(&self) -> bool {
        self.present
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Keys<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { entries, present: true }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Keys<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Ours;

        impl<'de> Visitor<'de> for Ours {
            type Value = Keys<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of strings")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if contract::is_read(key.as_str()) {
                        entries.push((key, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Keys { entries, present: true })
            }
        }

        from.deserialize_map(Ours)
    }
}

// === impl Mount ===

impl Mount<'_> {
    /// Whether the volume is mounted as a whole.
    pub fn is_whole(&self) -> bool {
        self.sub_path.as_str().is_empty() && self.sub_path_expr.as_str().is_empty()
    }
}

// === impl Spec ===

impl<'a> Spec<'a> {
    /// The service account whose identity the pod runs under.
    pub fn service_account(&self) -> &str {
        [&self.service_account_name, &self.service_account]
            .into_iter()
            .filter_map(|name| name.as_ref().map(Text::as_str))
            .find(|name| !name.is_empty())
            .unwrap_or("default")
    }

    /// Whether the pod is meant for Windows nodes.
    pub fn is_windows(&self) -> bool {
        [&self.os.name, &self.node_selector.os].into_iter().flatten().any(|name| name.as_str() == "windows")
    }

    /// Whether the pod ends when its work is done.
    pub fn is_finite(&self) -> bool {
        self.restart_policy.as_ref().is_some_and(|policy| policy.as_str() != "Always")
    }

    /// The numeric user that the container runs as, if the pod says so.
    pub fn user(&self, container: &Container<'_>) -> Option<i64> {
        container.security_context.run_as_user.or(self.security_context.run_as_user)
    }

    /// Init containers, then containers; not those of `kubectl debug`.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.init_containers.iter().flatten().chain(&self.containers)
    }
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Reads a pod or a pod template.
    ///
    /// # Errors
    ///
    /// Where the text is not JSON, or a field that is read has another type than Kubernetes gives it.
    pub fn from_json(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        let pod: Option<Self> = serde_json::from_slice(text)?;
        pod.ok_or_else(|| serde_json::Error::custom("null is no pod"))
    }
}
