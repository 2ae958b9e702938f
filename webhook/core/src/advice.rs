//! Advice to whoever types `kubectl apply`, about service accounts and about workloads whose pods come later: a warning
//! on such a pod reaches its controller alone, and nobody reads that.
//!
//! ```text
//! review JSON -> Object (a narrow view) -> question (whom to look up) -> review (keys, values, what decide would say)
//! ```

pub mod keys;
pub mod service_account;
pub mod workload;

use crate::{
    decision::{Known, OptIn},
    pod::{Metadata, Pod, nullable},
    settings::Settings,
    warning::{self, Warning},
};
use serde::Deserialize;
use std::collections::HashSet;

/// The kinds that are advised on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `serviceaccounts`
    ServiceAccount,
    /// What makes pods of a template, by the name of its kind.
    Workload(&'static str),
}

/// A service account or a workload, as far as it says something to us. A field that a kind does not have is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Object<'a> {
    /// The object's own labels and annotations.
    #[serde(deserialize_with = "nullable")]
    pub metadata: Metadata<'a>,
    #[serde(deserialize_with = "nullable")]
    spec: Spec<'a>,
    /// Of a PodTemplate.
    template: Option<Pod<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Spec<'a> {
    template: Option<Pod<'a>>,
    /// Of a CronJob.
    job_template: Option<JobTemplate<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct JobTemplate<'a> {
    #[serde(deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(deserialize_with = "nullable")]
    spec: JobSpec<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct JobSpec<'a> {
    template: Option<Pod<'a>>,
}

/// The service account that a template names, and how its pods would opt in.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The service account's name.
    pub service_account: &'a str,
    /// Who opts the pods in.
    pub opt_in: OptIn,
}

/// What is reviewed, where, and by which settings.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The object's kind.
    pub kind: Kind,
    /// The object's namespace.
    pub namespace: &'a str,
    /// What the lookup of [`Question`] found; `None` where nothing was asked or nobody answered.
    pub known: Option<Known<'a>>,
    /// The operator's settings.
    pub settings: &'a Settings,
}

/// Reviews an object: what cannot have been meant comes first.
pub fn review(object: &Object<'_>, context: Context<'_>) -> Vec<Warning> {
    let mut warnings = match context.kind {
        Kind::ServiceAccount => service_account::review(&object.metadata, context.settings),
        Kind::Workload(kind) => workload::review(object, kind, context),
    };
    let mut told = HashSet::new();
    warnings.retain(|warning| told.insert(warning.as_str().to_owned()));
    warnings.sort_by_key(|warning| !warning.is_mistake());
    warning::limit(&mut warnings);
    warnings
}

// === impl Kind ===

impl Kind {
    /// The kind by its group and the plural by which the API server calls it; `None` where it is none of these.
    pub fn of(group: &str, resource: &str) -> Option<Self> {
        Some(match (group, resource) {
            ("", "serviceaccounts") => Self::ServiceAccount,
            ("", "replicationcontrollers") => Self::Workload("ReplicationController"),
            ("", "podtemplates") => Self::Workload("PodTemplate"),
            ("apps", "deployments") => Self::Workload("Deployment"),
            ("apps", "statefulsets") => Self::Workload("StatefulSet"),
            ("apps", "daemonsets") => Self::Workload("DaemonSet"),
            ("apps", "replicasets") => Self::Workload("ReplicaSet"),
            ("batch", "jobs") => Self::Workload("Job"),
            ("batch", "cronjobs") => Self::Workload("CronJob"),
            _ => return None,
        })
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// Whom to look up before the review; `None` where nothing depends on it.
    pub fn question(&self, settings: &Settings) -> Option<Question<'_>> {
        let template = self.pod_template()?;
        let opt_in = workload::opt_in(template, settings)?;
        Some(Question { service_account: template.spec.service_account(), opt_in })
    }

    /// The template that its pods are made from.
    pub(crate) fn pod_template(&self) -> Option<&Pod<'a>> {
        let of_job = || self.spec.job_template.as_ref().and_then(|job| job.spec.template.as_ref());
        self.spec.template.as_ref().or_else(of_job).or(self.template.as_ref())
    }

    /// The metadata of the Jobs that a CronJob makes.
    fn job_metadata(&self) -> Option<&Metadata<'a>> {
        self.spec.job_template.as_ref().map(|job| &job.metadata)
    }
}
