//! What a pod belongs to: whether it will be made again, and the template that it came from.

use super::view::{Live, OwnerReference, Spec};
use crate::pod::{Text, nullable};
use serde::Deserialize;

/// The controllers that make a pod again as it was. A Job is none: it counts an evicted pod as a failure, and its work
/// begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Controller {
    /// `apps/v1`, mostly a Deployment's.
    ReplicaSet,
    /// `apps/v1`
    StatefulSet,
    /// `apps/v1`
    DaemonSet,
    /// `v1`
    ReplicationController,
}

/// A controller object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Owner<'a> {
    #[serde(deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(deserialize_with = "nullable")]
    spec: OwnerSpec<'a>,
    #[serde(deserialize_with = "nullable")]
    status: Status<'a>,
}

/// How a controller's pods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// How many it wants.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Metadata<'a> {
    #[serde(deserialize_with = "nullable")]
    uid: Text<'a>,
    #[serde(deserialize_with = "nullable")]
    annotations: Annotations<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Annotations<'a> {
    #[serde(rename = "deprecated.daemonset.template.generation")]
    template_generation: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct OwnerSpec<'a> {
    replicas: Option<u32>,
    #[serde(deserialize_with = "nullable")]
    template: Template<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Template<'a> {
    #[serde(deserialize_with = "nullable")]
    spec: Spec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    ready_replicas: Option<u32>,
    desired_number_scheduled: Option<u32>,
    number_ready: Option<u32>,
    update_revision: Option<Text<'a>>,
}

// === impl Controller ===

impl Controller {
    /// The kind that a reference names, if it is one of these.
    pub fn of(owner: &OwnerReference<'_>) -> Option<Self> {
        Some(match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("apps/v1", "ReplicaSet") => Self::ReplicaSet,
            ("apps/v1", "StatefulSet") => Self::StatefulSet,
            ("apps/v1", "DaemonSet") => Self::DaemonSet,
            ("v1", "ReplicationController") => Self::ReplicationController,
            _ => return None,
        })
    }
}

// === impl Owner ===

impl<'a> Owner<'a> {
    /// Reads a controller object.
    ///
    /// # Errors
    ///
    /// The text is no JSON, or a field that is read has another type than Kubernetes gives it.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Its uid: a name may be taken by another one.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_str()
    }

    /// How its pods are.
    pub fn health(&self) -> Health {
        let Status { ready_replicas, desired_number_scheduled, number_ready, .. } = &self.status;
        Health {
            // One is the default of `replicas`; DaemonSets have none.
            wanted: desired_number_scheduled.or(self.spec.replicas).unwrap_or(1),
            ready: number_ready.or(*ready_replicas).unwrap_or(0),
        }
    }

    /// The template, if the pod was made by it and not by an older one.
    pub(super) fn template_of(&self, live: &Live<'_>) -> Option<&Spec<'a>> {
        let current = match (&self.status.update_revision, &self.metadata.annotations.template_generation) {
            (Some(revision), _) => revision.as_str() == live.revision(),
            (None, Some(generation)) => live.template_generation() == Some(generation.as_str()),
            // A ReplicaSet's template never changes.
            (None, None) => true,
        };
        current.then_some(&self.spec.template.spec)
    }
}
