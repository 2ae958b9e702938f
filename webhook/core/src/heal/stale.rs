//! Whether a pod carries the identity that it would be given now.
//!
//! Injected variables and those of the pod's author look the same in the pod: the webhook appends what a container lacks.
//! The template tells them apart: what a container has and its template lacks was injected. Only our own sidecar needs no
//! template, because nobody else makes one.

use super::{
    owner::Owner,
    view::{Container, Live, Spec},
};
use crate::{identity::Identity, value::excerpt};
use podbadge_sidecar_core::contract as names;
use std::borrow::Cow;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The variable.
    pub variable: &'static str,
    /// What the pod carries, shortened where it is long; `None` where it carries nothing.
    pub carried: Option<String>,
    /// What it would be given now, shortened likewise.
    pub resolved: String,
}

pub(super) enum Comparison {
    Same,
    /// Something differs, and may be the author's own.
    Unknown,
    Changed(Change),
}

/// What is known of who wrote a container's variables.
enum Origin<'t, 'a> {
    /// The container was added as a whole.
    Injected,
    /// It stands like this in the template.
    Template(&'t Container<'a>),
    /// The template is not known.
    Unknown,
}

/// Compares what was injected with what would be.
pub(super) fn compare(live: &Live<'_>, identity: &Identity<'_>, owner: Option<&Owner<'_>>) -> Comparison {
    let template = owner.map(|owner| owner.template_of(live));
    let client_id = identity.client_id.as_ref().map(ToString::to_string);
    let tenant_id = identity.tenant_id.to_string();
    let mut unknown = false;
    for container in live.containers() {
        let origin = match template {
            // Made by an older template, which its controller is about to replace, or its operator chose to keep.
            Some(None) => return Comparison::Same,
            Some(Some(template)) => origin(template, container),
            None if container.name.as_str() == names::CONTAINER_NAME => Origin::Injected,
            None => Origin::Unknown,
        };
        let wanted = [(names::CLIENT_ID, client_id.as_deref()), (names::TENANT_ID, Some(tenant_id.as_str()))];
        for (variable, resolved) in wanted {
            let Some(change) = resolved.and_then(|resolved| difference(container, variable, resolved)) else {
                continue;
            };
            match &origin {
                Origin::Injected => return Comparison::Changed(change),
                Origin::Template(template) if was_injected(container, template, &change) => {
                    return Comparison::Changed(change);
                }
                Origin::Template(_) => {}
                Origin::Unknown => unknown = true,
            }
        }
    }
    if unknown { Comparison::Unknown } else { Comparison::Same }
}

fn origin<'t, 'a>(template: &'t Spec<'a>, container: &Container<'_>) -> Origin<'t, 'a> {
    let mut containers = template.containers();
    match containers.find(|known| known.name.as_str() == container.name.as_str()) {
        Some(known) => Origin::Template(known),
        None => Origin::Injected,
    }
}

fn difference(container: &Container<'_>, variable: &'static str, resolved: &str) -> Option<Change> {
    let carried = match container.variable(variable) {
        // From elsewhere: never ours.
        Some(found) if found.value_from.is_some() => return None,
        // The API server leaves empty values out, and the webhook never writes one.
        Some(found) => Some(found.value.as_ref()?.as_str()),
        // Of a container without the token's file nobody knows whether it was to have anything.
        None => container.variable(names::FEDERATED_TOKEN_FILE).map(|_| None)?,
    };
    // Ids are hexadecimal numbers or domains: letter case means nothing.
    let same = carried.is_some_and(|carried| carried.eq_ignore_ascii_case(resolved));
    let excerpt = |value| Cow::into_owned(excerpt(value));
    (!same).then(|| Change { variable, carried: carried.map(excerpt), resolved: excerpt(resolved) })
}

/// Whether the webhook wrote it, or would have.
fn was_injected(container: &Container<'_>, template: &Container<'_>, change: &Change) -> bool {
    let mark = if change.carried.is_some() { change.variable } else { names::FEDERATED_TOKEN_FILE };
    container.variable(mark).is_some() && template.variable(mark).is_none()
}
