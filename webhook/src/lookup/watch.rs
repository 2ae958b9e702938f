//! Follows the cluster's service accounts and namespaces into the index.
//!
//! No whole object is kept: a reflector's store of 100,000 service accounts takes 600 MiB, this takes a few.

use super::index::{self, Accounts, Index, Namespaces};
use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use podbadge_runtime::ready::{Latch, Readiness};
use podbadge_webhook_core::identity;
use std::{mem, pin::pin, sync::Arc};

/// Objects a page: large enough to be quick, small enough to be no memory spike.
const PAGE: u32 = 500;

/// Both watches, with the latches they open when their first list is in.
pub struct Watches {
    client: Client,
    index: Arc<Index>,
    accounts: Latch,
    namespaces: Latch,
}

/// What the watch of one kind does with its events.
trait Target<K> {
    fn begin(&mut self);
    fn listed(&mut self, object: &PartialObjectMeta<K>);
    fn complete(&mut self);
    fn changed(&mut self, object: &PartialObjectMeta<K>);
    fn deleted(&mut self, object: &PartialObjectMeta<K>);
}

struct ToAccounts(Arc<Index>, Accounts);

struct ToNamespaces(Arc<Index>, Namespaces);

// === impl Watches ===

impl Watches {
    /// Prepares the watches; the process is not ready until their first lists are in.
    pub fn new(client: Client, index: Arc<Index>, readiness: &Readiness) -> Self {
        Self {
            client,
            index,
            accounts: readiness.latch("service accounts listed"),
            namespaces: readiness.latch("namespaces listed"),
        }
    }

    /// Follows both kinds. Errors are logged and followed by another try, with growing pauses; it ends only when dropped.
    pub async fn run(self) {
        let Self { client, index, accounts, namespaces } = self;
        let to_accounts = ToAccounts(Arc::clone(&index), Accounts::new());
        let to_namespaces = ToNamespaces(index, Namespaces::new());
        tokio::join!(
            follow::<ServiceAccount>(Api::all(client.clone()), to_accounts, accounts, "service accounts"),
            follow::<Namespace>(Api::all(client), to_namespaces, namespaces, "namespaces"),
        );
    }
}

async fn follow<K>(api: Api<PartialObjectMeta<K>>, mut target: impl Target<K>, latch: Latch, kind: &'static str)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    let mut latch = Some(latch);
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => target.begin(),
            Ok(Some(Event::InitApply(object))) => target.listed(&object),
            Ok(Some(Event::InitDone)) => {
                target.complete();
                if let Some(latch) = latch.take() {
                    latch.open();
                }
                tracing::info!(kind, "Listed");
            }
            Ok(Some(Event::Apply(object))) => target.changed(&object),
            Ok(Some(Event::Delete(object))) => target.deleted(&object),
            Ok(None) => break,
            Err(error) => tracing::warn!(kind, %error, "Watch interrupted, trying again"),
        }
    }
    tracing::error!(kind, "Watch ended");
}

/// Reads the annotations of a service account.
pub(super) fn account<K>(object: &PartialObjectMeta<K>) -> identity::ServiceAccount {
    identity::ServiceAccount::from_annotations(annotations(object))
}

fn namespace<K>(object: &PartialObjectMeta<K>) -> identity::Namespace {
    let labels = object.metadata.labels.iter().flatten();
    identity::Namespace::read(labels.map(|(key, value)| (key.as_str(), value.as_str())), annotations(object))
}

fn annotations<K>(object: &PartialObjectMeta<K>) -> impl Iterator<Item = (&str, &str)> {
    let annotations = object.metadata.annotations.iter().flatten();
    annotations.map(|(key, value)| (key.as_str(), value.as_str()))
}

// === impl ToAccounts ===

impl Target<ServiceAccount> for ToAccounts {
    fn begin(&mut self) {
        self.1.clear();
    }

    fn listed(&mut self, object: &PartialObjectMeta<ServiceAccount>) {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        index::put_account(&mut self.1, namespace, &object.name_any(), account(object));
    }

    fn complete(&mut self) {
        self.0.replace_accounts(mem::take(&mut self.1));
    }

    fn changed(&mut self, object: &PartialObjectMeta<ServiceAccount>) {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        self.0.insert_account(namespace, &object.name_any(), account(object));
    }

    fn deleted(&mut self, object: &PartialObjectMeta<ServiceAccount>) {
        self.0.remove_account(object.metadata.namespace.as_deref().unwrap_or_default(), &object.name_any());
    }
}

// === impl ToNamespaces ===

impl Target<Namespace> for ToNamespaces {
    fn begin(&mut self) {
        self.1.clear();
    }

    fn listed(&mut self, object: &PartialObjectMeta<Namespace>) {
        index::put_namespace(&mut self.1, &object.name_any(), namespace(object));
    }

    fn complete(&mut self) {
        self.0.replace_namespaces(mem::take(&mut self.1));
    }

    fn changed(&mut self, object: &PartialObjectMeta<Namespace>) {
        self.0.insert_namespace(&object.name_any(), namespace(object));
    }

    fn deleted(&mut self, object: &PartialObjectMeta<Namespace>) {
        self.0.remove_namespace(&object.name_any());
    }
}
