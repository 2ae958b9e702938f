//! Which pods the API server asks the webhook about, as the webhook's own configuration says it.

use super::{Error, patiently};
use k8s_openapi::{
    api::{
        admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration},
        core::v1::Namespace,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Client,
    core::labels::{Selector, SelectorExt as _},
};
use podbadge_webhook_core::{contract, heal::Reach};
use std::collections::{BTreeMap, HashMap};

/// The conditions that our chart writes, which judging knows.
const OURS: [&str; 2] = ["not-a-mirror-pod", "not-our-own-pod"];

type Labels = BTreeMap<String, String>;

/// The configuration, and what it says about namespaces, as far as that was asked for.
pub(super) struct Asked {
    client: Client,
    since: Option<String>,
    entries: Vec<Entry>,
    /// Whether there are conditions that only the API server can judge.
    conditional: bool,
    /// Of labelled and unlabelled pods, by namespace.
    namespaces: HashMap<Box<str>, (bool, bool)>,
}

struct Entry {
    namespaces: Selector,
    labelled: bool,
    unlabelled: bool,
}

// === impl Asked ===

impl Asked {
    /// Reads the configuration.
    pub(super) async fn read(client: Client, name: &str) -> Result<Self, Error> {
        let configurations = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let configuration = patiently("read the webhook's configuration", configurations.get_opt(name)).await?;
        let configuration = configuration.ok_or_else(|| Error::NoConfiguration(name.to_owned()))?;
        let mut webhooks = configuration.webhooks.unwrap_or_default();
        webhooks.retain(is_about_new_pods);
        if webhooks.is_empty() {
            return Err(Error::AsksNobody(name.to_owned()));
        }
        let conditions = webhooks.iter().flat_map(|webhook| webhook.match_conditions.iter().flatten());
        Ok(Self {
            client,
            // With whole seconds, as the API server writes it.
            since: configuration
                .metadata
                .creation_timestamp
                .and_then(|time| serde_json::to_value(time).ok()?.as_str().map(ToOwned::to_owned)),
            conditional: conditions.into_iter().any(|condition| !OURS.contains(&condition.name.as_str())),
            entries: webhooks.iter().filter_map(Entry::read).collect(),
            namespaces: HashMap::new(),
        })
    }

    /// Which pods of the namespace it is asked about.
    pub(super) async fn reach(&mut self, namespace: &str) -> Result<Reach<'_>, Error> {
        let (labelled, unlabelled) = match self.namespaces.get(namespace) {
            Some(reach) => *reach,
            None => {
                let api = Api::<Namespace>::all(self.client.clone());
                let object = patiently("read a namespace", api.get_metadata_opt(namespace)).await?;
                // One that has gone takes its pods along.
                let labels = object.map(|object| object.metadata.labels.unwrap_or_default());
                let within = |entry: &&Entry| labels.as_ref().is_some_and(|labels| entry.namespaces.matches(labels));
                let entries = || self.entries.iter().filter(within);
                let reach = (entries().any(|entry| entry.labelled), entries().any(|entry| entry.unlabelled));
                self.namespaces.insert(namespace.into(), reach);
                reach
            }
        };
        Ok(Reach { labelled, unlabelled, since: self.since.as_deref(), conditional: self.conditional })
    }
}

// === impl Entry ===

impl Entry {
    /// Reads an entry; one with a selector that cannot be read selects nothing here.
    fn read(webhook: &MutatingWebhook) -> Option<Self> {
        let namespaces = selector(webhook.namespace_selector.as_ref())?;
        let (labelled, unlabelled) = selected(webhook)?;
        Some(Self { namespaces, labelled, unlabelled })
    }
}

/// Whether a webhook selects pods with the label of workload identity, and pods without any; `None` if its selector cannot be
/// read.
pub(super) fn selected(webhook: &MutatingWebhook) -> Option<(bool, bool)> {
    let pods = selector(webhook.object_selector.as_ref())?;
    let label = Labels::from([(contract::USE.to_owned(), "true".to_owned())]);
    Some((pods.matches(&label), pods.matches(&Labels::new())))
}

/// Others are about containers of `kubectl debug`.
pub(super) fn is_about_new_pods(webhook: &MutatingWebhook) -> bool {
    let names = |list: &Option<Vec<String>>, name: &str| list.iter().flatten().any(|it| it == name || it == "*");
    let mut rules = webhook.rules.iter().flatten();
    rules.any(|rule| names(&rule.operations, "CREATE") && names(&rule.resources, "pods"))
}

fn selector(selector: Option<&LabelSelector>) -> Option<Selector> {
    match Selector::try_from(selector.cloned().unwrap_or_default()) {
        Ok(selector) => Some(selector),
        Err(error) => {
            tracing::warn!(%error, "A selector of a webhook configuration is not understood");
            None
        }
    }
}
