//! What the webhook would make of one document.

use super::{
    cluster::Cluster,
    workload::{self, Name, Object},
};
use crate::order;
use anyhow::Context as _;
use json_patch::{Patch, PatchOperation};
use podbadge_webhook_core::{
    decision::{self, Known, OptIn, Outcome, Reason, Screen},
    denial::Denial,
    pod::Pod,
    resources::Limits,
    selection::Selection,
    settings::Settings,
    warning::Warning,
};
use serde_norway::Value;

/// What becomes of one document.
pub(super) struct Change {
    /// What becomes of each pod or template in it.
    pub(super) verdicts: Vec<(Name, Verdict)>,
    /// What has to be done to the document; empty where nothing has.
    pub(super) patch: Patch,
    /// The document with the patch applied; `None` where it stays as it is.
    pub(super) after: Option<Value>,
}

/// What becomes of one pod or template.
pub(super) enum Verdict {
    /// It gets its identity.
    Changed { warnings: Vec<String> },
    /// It stays as it is.
    Unchanged { reason: String, warnings: Vec<String> },
    /// It would not be admitted.
    Refused { denial: Denial, warnings: Vec<String> },
}

/// Decides for all pods and templates of a document.
///
/// # Errors
///
/// An object that should hold a pod does not, or has fields of other types than Kubernetes gives them.
pub(super) fn mutate(
    document: &Value,
    namespace: &str,
    cluster: &Cluster,
    settings: &Settings,
) -> anyhow::Result<Change> {
    let mut verdicts = Vec::new();
    let mut operations = Vec::new();
    for object in workload::objects(document) {
        let Some(template) = object.template() else {
            continue;
        };
        let name = object.name(namespace);
        let pod = object.at(template).with_context(|| {
            format!("{name} has no {}", template.as_str().trim_start_matches('/').replace('/', "."))
        })?;
        let pod = serde_json::to_vec(pod).with_context(|| name.to_string())?;
        let pod = serde_path_to_error::deserialize::<_, Pod<'_>>(&mut serde_json::Deserializer::from_slice(&pod))
            .map_err(|error| {
                anyhow::anyhow!("{name}: pod field {}: {}", error.path(), without_position(error.inner()))
            })?;
        let (verdict, patch) = verdict(&pod, &name, cluster, settings)?;
        operations.extend(patch.0.into_iter().map(|operation| prefix(&object, template, operation)));
        verdicts.push((name, verdict));
    }
    let patch = Patch(operations);
    let after = if patch.0.is_empty() {
        None
    } else {
        let mut patched = serde_json::to_value(document).context("not an object that JSON can hold")?;
        json_patch::patch(&mut patched, &patch).context("the patch does not fit the document")?;
        Some(order::like(document, patched))
    };
    Ok(Change { verdicts, patch, after })
}

fn verdict(pod: &Pod<'_>, name: &Name, cluster: &Cluster, settings: &Settings) -> anyhow::Result<(Verdict, Patch)> {
    let opt_in = match decision::screen(pod, settings) {
        Screen::LookUp(opt_in) => opt_in,
        Screen::Skip(reason) => {
            let mut warnings = Vec::new();
            decision::warn_of_odd_label(pod, &mut warnings);
            return Ok((unchanged(reason, None, texts(&warnings)), Patch::default()));
        }
    };
    let account = pod.spec.service_account();
    let (service_account, known) = cluster.account(name.namespace(), account);
    let unknown = (!known).then_some(account);
    let namespace = cluster.namespace(name.namespace());
    // The same for everybody who looks: this pod is shown, not run.
    let known =
        Known { service_account: Some(service_account), namespace: &namespace, limits: &Limits::NONE, random: 0 };
    Ok(match decision::decide(pod, name.namespace(), opt_in, known, settings) {
        Outcome::Allow { patch: Some(patch), warnings, .. } => {
            let mut warnings = texts(&warnings);
            warnings.extend(unknown.filter(|_| opt_in == OptIn::Label).map(missing));
            let patch = serde_json::from_slice(patch.as_bytes()).context("the webhook's patch")?;
            (Verdict::Changed { warnings }, patch)
        }
        Outcome::Allow { reason: Reason::Complete, warnings, .. } => {
            let reason = complete(pod).to_owned();
            (Verdict::Unchanged { reason, warnings: texts(&warnings) }, Patch::default())
        }
        Outcome::Allow { reason, warnings, .. } => (unchanged(reason, unknown, texts(&warnings)), Patch::default()),
        Outcome::Deny { denial, warnings } => {
            let mut warnings = texts(&warnings);
            warnings.extend(unknown.map(missing));
            (Verdict::Refused { denial, warnings }, Patch::default())
        }
    })
}

fn unchanged(reason: Reason, unknown: Option<&str>, warnings: Vec<String>) -> Verdict {
    let reason = match (reason, unknown) {
        (Reason::NotOptedIn, Some(account)) => format!("not opted in: {}", missing(account)),
        (Reason::NotOptedIn, None) => "not opted in: neither its label nor its service account asks for it".to_owned(),
        (Reason::OptedOut, _) => "its label opts out".to_owned(),
        (Reason::Disabled, _) => "not labelled, and annotated service accounts are switched off".to_owned(),
        (Reason::Observed, _) => "annotated service accounts are only observed".to_owned(),
        (Reason::Injected | Reason::Complete | Reason::NotAPod, _) => reason.as_str().to_owned(),
    };
    Verdict::Unchanged { reason, warnings }
}

/// Why a pod with an identity needs nothing more.
fn complete(pod: &Pod<'_>) -> &'static str {
    let selection = Selection::of(pod);
    let skips = |name: &str| selection.as_ref().is_ok_and(|selection| selection.skips(name));
    let mut containers = pod.spec.all_containers().peekable();
    if containers.peek().is_none() {
        "it has no containers"
    } else if containers.all(|container| skips(container.name.as_str())) {
        "its annotation skips all its containers"
    } else {
        "it has all it would be given"
    }
}

fn missing(account: &str) -> String {
    format!("service account {account:?} is not in the manifest; add it, or say what it names with --client-id")
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

/// A pod's pointers as the document's.
fn prefix(object: &Object<'_>, template: &json_patch::jsonptr::Pointer, operation: PatchOperation) -> PatchOperation {
    let at = object.place.concat(template);
    match operation {
        PatchOperation::Add(mut add) => {
            add.path = at.concat(&add.path);
            PatchOperation::Add(add)
        }
        // The webhook only ever adds.
        other => other,
    }
}

/// The error without its place in a text that nobody has seen.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

// === impl Verdict ===

impl Verdict {
    /// What its author should know.
    pub(super) fn warnings(&self) -> &[String] {
        let (Self::Changed { warnings } | Self::Unchanged { warnings, .. } | Self::Refused { warnings, .. }) = self;
        warnings
    }
}
