//! Webhooks beside this one that give pods their identity by the same label: Azure Workload Identity while somebody switches,
//! or an installation that was forgotten. Pods are safe, since each injects only what is missing, but which of the two does
//! it is nobody's decision.

use super::{Error, asked, patiently};
use crate::trouble::Trouble;
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration},
    core::v1::ObjectReference,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::ListParams,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use podbadge_webhook_core::value::cut;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// How often it is told again, as long as it lasts: events are kept for an hour.
const AGAIN: Duration = Duration::from_secs(45 * 60);

/// A webhook of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Foreign {
    configuration: String,
    webhook: String,
}

/// What the leader knows of them.
pub(super) struct Foreigners {
    client: Client,
    /// Our own configuration.
    own: String,
    recorder: Recorder,
    known: BTreeSet<Foreign>,
    told: Option<Instant>,
    trouble: Trouble,
}

// === impl Foreigners ===

impl Foreigners {
    pub(super) fn new(client: Client, own: String, instance: String) -> Self {
        let reporter = Reporter { controller: "podbadge-webhook".to_owned(), instance: Some(instance) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, own, recorder, known: BTreeSet::new(), told: None, trouble: Trouble::default() }
    }

    /// Looks for them and tells of them; how many there are, or `None` where that cannot be seen.
    pub(super) async fn look(&mut self) -> Option<usize> {
        match self.find().await {
            Ok((found, own)) => {
                self.trouble.over();
                self.tell(found, own).await;
                Some(self.known.len())
            }
            Err(error) => {
                self.trouble.met(&error.to_string(), "Other webhooks cannot be looked for, trying again");
                None
            }
        }
    }

    /// All of them, and our own configuration, which events are about.
    async fn find(&self) -> Result<(BTreeSet<Foreign>, Option<ObjectReference>), Error> {
        let api = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        let list = patiently("list webhook configurations", api.list(&ListParams::default())).await?;
        let (mut found, mut own) = (BTreeSet::new(), None);
        for configuration in list {
            let name = configuration.name_any();
            if name == self.own {
                own = Some(configuration.object_ref(&()));
                continue;
            }
            for webhook in configuration.webhooks.iter().flatten().filter(|webhook| injects(webhook)) {
                found.insert(Foreign { configuration: name.clone(), webhook: webhook.name.clone() });
            }
        }
        Ok((found, own))
    }

    async fn tell(&mut self, found: BTreeSet<Foreign>, own: Option<ObjectReference>) {
        if found != self.known {
            for Foreign { configuration, webhook } in found.difference(&self.known) {
                tracing::warn!(configuration, webhook, "Another webhook gives pods their identity by the same label");
            }
            for Foreign { configuration, webhook } in self.known.difference(&found) {
                tracing::info!(configuration, webhook, "The other webhook has gone");
            }
            self.known = found;
            self.told = None;
        }
        let due = self.told.is_none_or(|told| told.elapsed() >= AGAIN);
        let Some(own) = own.filter(|_| due && !self.known.is_empty()) else { return };
        match patiently("write an event", self.recorder.publish(&event(&self.known), &own)).await {
            Ok(()) => self.told = Some(Instant::now()),
            Err(error) => tracing::debug!(%error, "Event not written"),
        }
    }
}

/// Whether a webhook is asked about new pods because of the label of workload identity. One that is asked about all of them,
/// or about all others, has something else to do.
fn injects(webhook: &MutatingWebhook) -> bool {
    asked::is_about_new_pods(webhook) && asked::selected(webhook) == Some((true, false))
}

fn event(known: &BTreeSet<Foreign>) -> Event {
    let names: Vec<_> =
        known.iter().map(|Foreign { configuration, webhook }| format!("{configuration} ({webhook})")).collect();
    Event {
        type_: EventType::Warning,
        reason: "ForeignWebhook".to_owned(),
        note: Some(format!(
            "Another webhook gives pods their identity by the same label: {}. Each pod has it once, from whoever is asked first. \
             Remove one of the two, if this is no switch on its way.",
            // As much as an event has room for beside our own words.
            cut(&names.join(", "), 600)
        )),
        action: "Inspect".to_owned(),
        secondary: None,
    }
}
