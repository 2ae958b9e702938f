//! Which objects hold pods, and where.

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_norway::Value;
use std::fmt;

/// An object of a manifest.
pub(super) struct Object<'a> {
    /// Where it stands in its document: the root, or an item of a list.
    pub(super) place: PointerBuf,
    /// `Deployment`
    pub(super) kind: &'a str,
    /// The part of `apiVersion` before the slash; empty for the core group.
    group: &'a str,
    /// All of it.
    pub(super) value: &'a Value,
}

/// An object's name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    kind: String,
    namespace: String,
    name: String,
}

/// The objects of a document: itself, or the items of a list.
pub(super) fn objects(document: &Value) -> Vec<Object<'_>> {
    let mut found = Vec::new();
    collect(document, PointerBuf::new(), None, &mut found);
    found
}

/// Makes sure that a document, and each item of a list, is an object.
///
/// # Errors
///
/// One is something else, or does not say what it is.
pub(super) fn check(document: &Value) -> anyhow::Result<()> {
    check_at(document, "", false)
}

fn check_at(value: &Value, place: &str, inherited: bool) -> anyhow::Result<()> {
    anyhow::ensure!(value.is_mapping(), "{place}no Kubernetes object");
    let kind = text(value, "kind").unwrap_or_default();
    for name in ["apiVersion", "kind"] {
        let said = text(value, name).is_some_and(|said| !said.is_empty());
        anyhow::ensure!(said || inherited, "{place}no Kubernetes object: its {name} is missing or no text");
    }
    if let Some(item) = kind.strip_suffix("List") {
        for (index, value) in value.get("items").and_then(Value::as_sequence).into_iter().flatten().enumerate() {
            check_at(value, &format!("items[{index}]: "), !item.is_empty())?;
        }
    }
    Ok(())
}

/// Items of a typed list (`PodList`) do not repeat what the list says of them.
fn collect<'a>(
    value: &'a Value,
    place: PointerBuf,
    inherited: Option<(&'a str, &'a str)>,
    found: &mut Vec<Object<'a>>,
) {
    let stated = text(value, "kind").zip(text(value, "apiVersion"));
    let Some((kind, version)) = stated.or(inherited) else {
        return;
    };
    let list = kind.strip_suffix("List").zip(value.get("items").and_then(Value::as_sequence));
    if let Some((item, items)) = list {
        let inherited = (!item.is_empty()).then_some((item, version));
        for (index, value) in items.iter().enumerate() {
            let place = place.with_trailing_token("items").with_trailing_token(index);
            collect(value, place, inherited, found);
        }
        return;
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    found.push(Object { place, kind, group, value });
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

// === impl Object ===

impl Object<'_> {
    /// Where the pod or its template stands in the object; `None` where it holds none. The group counts: other projects
    /// have kinds of the same names with another shape.
    pub(super) fn template(&self) -> Option<&'static Pointer> {
        Some(Pointer::from_static(match (self.group, self.kind) {
            ("", "Pod") => "",
            ("", "PodTemplate") => "/template",
            ("", "ReplicationController")
            | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job") => "/spec/template",
            ("batch", "CronJob") => "/spec/jobTemplate/spec/template",
            _ => return None,
        }))
    }

    /// Whether it is the core group's object of that kind.
    pub(super) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    /// The value at a pointer of member names.
    pub(super) fn at(&self, pointer: &Pointer) -> Option<&Value> {
        pointer.tokens().try_fold(self.value, |value, token| value.get(token.decoded().as_ref()))
    }

    /// Its name, in its namespace or in `namespace`.
    pub(super) fn name(&self, namespace: &str) -> Name {
        let metadata = self.value.get("metadata").unwrap_or(&Value::Null);
        Name {
            kind: self.kind.to_owned(),
            namespace: text(metadata, "namespace").unwrap_or(namespace).to_owned(),
            name: text(metadata, "name").or_else(|| text(metadata, "generateName")).unwrap_or("(unnamed)").to_owned(),
        }
    }

    /// Its annotations, as far as they are strings.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.marks("annotations")
    }

    /// Its labels, as far as they are strings.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.marks("labels")
    }

    fn marks(&self, field: &str) -> impl Iterator<Item = (&str, &str)> {
        let marks = self.value.get("metadata").and_then(|metadata| metadata.get(field));
        marks
            .and_then(Value::as_mapping)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| key.as_str().zip(value.as_str()))
    }
}

// === impl Name ===

impl Name {
    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name within the namespace.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
