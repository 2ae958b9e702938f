//! Events: one for each pod that was left behind, as long as it is, from each leader.

use super::findings::{Finding, What};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::collections::HashMap;

/// The most events of a round; the rest of a great outage is told in the next rounds.
const MOST: usize = 500;

/// What was told of which pod.
pub(super) struct Reports {
    recorder: Recorder,
    told: HashMap<Box<str>, What>,
}

// === impl Reports ===

impl Reports {
    pub(super) fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter { controller: "podbadge-webhook".to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(client, reporter), told: HashMap::new() }
    }

    /// Tells what is new, and forgets what is over.
    pub(super) async fn tell(&mut self, findings: &[Finding]) {
        let mut still = HashMap::with_capacity(findings.len());
        let mut fresh = 0;
        for finding in findings {
            let uid = &finding.candidate.uid;
            let known = self.told.get(uid) == Some(&finding.what);
            // An event that could not be written is written in the next round.
            if known || (fresh < MOST && self.publish(finding, &found(finding)).await) {
                still.insert(uid.clone(), finding.what.clone());
            }
            fresh += usize::from(!known);
        }
        self.told = still;
    }

    /// Tells that the pod is being replaced.
    pub(super) async fn evicted(&self, finding: &Finding) {
        let event = Event {
            type_: EventType::Normal,
            reason: "EvictedForIdentity".to_owned(),
            note: Some("Evicted, so that its replacement has its Azure identity".to_owned()),
            action: "Evict".to_owned(),
            secondary: None,
        };
        self.publish(finding, &event).await;
    }

    async fn publish(&self, finding: &Finding, event: &Event) -> bool {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(finding.candidate.namespace.to_string()),
            name: Some(finding.name.to_string()),
            uid: Some(finding.candidate.uid.to_string()),
            ..ObjectReference::default()
        };
        match super::patiently("write an event", self.recorder.publish(event, &pod)).await {
            Ok(()) => true,
            // A namespace that is being deleted takes no events; its pods go, too.
            Err(error) => {
                tracing::debug!(namespace = %finding.candidate.namespace, pod = %finding.name, %error, "Event not written");
                false
            }
        }
    }
}

/// What is wrong, and what to do about it.
fn found(finding: &Finding) -> Event {
    let (reason, mut note) = match &finding.what {
        What::Missed => (
            "IdentityMissing",
            "This pod should have its Azure identity and has none: it was created while no webhook answered, or before it \
             was opted in."
                .to_owned(),
        ),
        What::Stale(change) => (
            "IdentityOutdated",
            format!(
                "{} of this pod is {}, and would be {} now: the annotations of its service account or namespace have \
                 changed since.",
                change.variable,
                change.carried.as_deref().unwrap_or("not set"),
                change.resolved
            ),
        ),
    };
    note.push_str(match (&finding.refused, &finding.candidate.owner) {
        (Some(_), _) => " Its replacement would be refused until this is mended: ",
        (None, Some(_)) => " Delete it, or restart what owns it: its replacement has it right.",
        (None, None) => " Delete it and create it anew: the new one has it right.",
    });
    note.push_str(finding.refused.as_deref().unwrap_or_default());
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Inspect".to_owned(),
        secondary: None,
    }
}
