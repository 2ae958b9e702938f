//! What is read of a pod that runs, beside the view that admission has of it.

use crate::pod::{Text, nullable};
use serde::{Deserialize, de::IgnoredAny};

/// A pod as the API server stores it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Live<'a> {
    #[serde(deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(deserialize_with = "nullable")]
    pub(super) spec: Spec<'a>,
    #[serde(deserialize_with = "nullable")]
    status: Status<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Metadata<'a> {
    #[serde(deserialize_with = "nullable")]
    name: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    namespace: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    uid: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    creation_timestamp: Text<'a>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(deserialize_with = "nullable")]
    labels: Labels<'a>,
    #[serde(deserialize_with = "nullable")]
    annotations: Annotations,
    #[serde(deserialize_with = "nullable")]
    owner_references: Vec<OwnerReference<'a>>,
}

/// By which template of its controller a pod was made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", bound(deserialize = "'de: 'a"))]
struct Labels<'a> {
    pod_template_hash: Option<Text<'a>>,
    controller_revision_hash: Option<Text<'a>>,
    pod_template_generation: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "kubernetes.io/config.mirror")]
    mirror: Option<IgnoredAny>,
}

/// A reference to an owner.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct OwnerReference<'a> {
    /// Group and version of its kind.
    #[serde(deserialize_with = "nullable")]
    pub api_version: Text<'a>,
    /// Its kind.
    #[serde(deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// Its name, in the pod's namespace.
    #[serde(deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Its uid.
    #[serde(deserialize_with = "nullable")]
    pub uid: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Spec<'a> {
    #[serde(deserialize_with = "nullable")]
    pub(super) init_containers: Vec<Container<'a>>,
    #[serde(deserialize_with = "nullable")]
    pub(super) containers: Vec<Container<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Container<'a> {
    #[serde(deserialize_with = "nullable")]
    pub(super) name: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    pub(super) env: Vec<Variable<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Variable<'a> {
    #[serde(deserialize_with = "nullable")]
    pub(super) name: Text<'a>,
    pub(super) value: Option<Text<'a>>,
    pub(super) value_from: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    #[serde(deserialize_with = "nullable")]
    phase: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Condition<'a> {
    #[serde(rename = "type", deserialize_with = "nullable")]
    name: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    status: Text<'a>,
}

// === impl Live ===

impl<'a> Live<'a> {
    /// Reads a pod.
    ///
    /// # Errors
    ///
    /// The text is no JSON, or a field that is read has another type than Kubernetes gives it.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_str()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_str()
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_str()
    }

    /// Whether all its containers are ready.
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| condition.name.as_str() == "Ready" && condition.status.as_str() == "True")
    }

    /// The controller that it belongs to, of whatever kind.
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }

    /// Which of its controller's templates it was made by; empty where that says nothing.
    pub fn revision(&self) -> &str {
        let Labels { pod_template_hash, controller_revision_hash, .. } = &self.metadata.labels;
        pod_template_hash.as_ref().or(controller_revision_hash.as_ref()).map_or("", Text::as_str)
    }

    /// The same for DaemonSets, by number.
    pub(super) fn template_generation(&self) -> Option<&str> {
        self.metadata.labels.pod_template_generation.as_ref().map(Text::as_str)
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    pub(super) fn is_being_deleted(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.metadata.annotations.mirror.is_some()
    }

    /// Times are written in UTC with whole seconds, so their texts compare as they do.
    pub(super) fn is_older_than(&self, time: Option<&str>) -> bool {
        time.is_some_and(|time| self.metadata.creation_timestamp.as_str() < time)
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.spec.containers()
    }
}

// === impl Spec ===

impl<'a> Spec<'a> {
    pub(super) fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.init_containers.iter().chain(&self.containers)
    }
}

// === impl Container ===

impl<'a> Container<'a> {
    pub(super) fn variable(&self, name: &str) -> Option<&Variable<'a>> {
        self.env.iter().find(|variable| variable.name.as_str() == name)
    }
}
