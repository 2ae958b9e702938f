//! Follows the cluster's service accounts, namespaces and LimitRanges into the index.
//!
//! No whole object is kept: a reflector's store of 100,000 service accounts takes 600 MiB, this takes a few.

mod object;
mod stream;

pub(super) use object::Object;

use super::{Index, Live, index::Health};
use crate::metrics::Watched;
use kube::Client;
use podbadge_runtime::ready::{Latch, Readiness};
use podbadge_webhook_core::resources::{Limits, Spec};
use serde::de::IgnoredAny;
use std::sync::Arc;
use stream::{Kind, Target, follow};

const ACCOUNTS: Kind = Kind { name: "service accounts", path: "/api/v1/serviceaccounts", spec: false };
const NAMESPACES: Kind = Kind { name: "namespaces", path: "/api/v1/namespaces", spec: false };
const LIMIT_RANGES: Kind = Kind { name: "limit ranges", path: "/api/v1/limitranges", spec: true };

/// The watches, with the latches they open when their first list is in.
pub struct Watches {
    client: Client,
    accounts: ToAccounts,
    namespaces: ToNamespaces,
    limits: ToLimits,
}

/// What all watches do besides: readiness at the first list, and health.
struct Common {
    index: Arc<Index>,
    health: fn(&Index) -> &Health,
    latch: Option<Latch>,
    metrics: Watched,
}

struct ToAccounts {
    common: Common,
    live: Arc<Live>,
}

struct ToNamespaces {
    common: Common,
    live: Arc<Live>,
}

struct ToLimits(Common);

// === impl Watches ===

impl Watches {
    /// Prepares the watches; the process is not ready until their first lists are in.
    pub fn new(
        client: Client,
        index: &Arc<Index>,
        live: &Arc<Live>,
        readiness: &Readiness,
        metrics: &crate::metrics::Watches,
    ) -> Self {
        let common = |health, what, kind: Kind| Common {
            index: Arc::clone(index),
            health,
            latch: Some(readiness.latch(what)),
            metrics: metrics.of(kind.name),
        };
        let accounts = common(|index| &index.accounts_watch, "service accounts listed", ACCOUNTS);
        let namespaces = common(|index| &index.namespaces_watch, "namespaces listed", NAMESPACES);
        let limits = common(|index| &index.limits_watch, "limit ranges listed", LIMIT_RANGES);
        Self {
            client,
            accounts: ToAccounts { common: accounts, live: Arc::clone(live) },
            namespaces: ToNamespaces { common: namespaces, live: Arc::clone(live) },
            limits: ToLimits(limits),
        }
    }

    /// Follows all kinds. Errors are logged and followed by another try; it ends only when dropped.
    pub async fn run(self) {
        let Self { client, accounts, namespaces, limits } = self;
        tokio::join!(
            follow(client.clone(), ACCOUNTS, accounts),
            follow(client.clone(), NAMESPACES, namespaces),
            follow(client, LIMIT_RANGES, limits),
        );
    }
}

// === impl Common ===

impl Common {
    fn complete(&mut self) {
        if let Some(latch) = self.latch.take() {
            latch.open();
        }
        self.metrics.listed();
    }

    fn connected(&self) {
        (self.health)(&self.index).connected();
        self.metrics.connected(true);
    }

    fn interrupted(&self) {
        (self.health)(&self.index).interrupted();
        self.metrics.connected(false);
    }
}

// === impl Target ===

impl Target for ToAccounts {
    type Spec = IgnoredAny;

    fn begin(&mut self) {
        self.common.index.begin_accounts();
    }

    fn listed(&mut self, object: &Object) {
        let metadata = &object.metadata;
        self.common.index.insert_account(&metadata.namespace, &metadata.name, object.account());
    }

    fn complete(&mut self) {
        self.common.index.complete_accounts();
        self.common.complete();
    }

    fn changed(&mut self, object: &Object) {
        self.listed(object);
        self.live.account_changed(&object.metadata.namespace, &object.metadata.name);
    }

    fn deleted(&mut self, object: &Object) {
        self.common.index.remove_account(&object.metadata.namespace, &object.metadata.name);
        self.live.account_changed(&object.metadata.namespace, &object.metadata.name);
    }

    fn connected(&mut self) {
        self.common.connected();
    }

    fn interrupted(&mut self) {
        self.common.interrupted();
    }
}

impl Target for ToNamespaces {
    type Spec = IgnoredAny;

    fn begin(&mut self) {
        self.common.index.begin_namespaces();
    }

    fn listed(&mut self, object: &Object) {
        self.common.index.insert_namespace(&object.metadata.name, object.namespace());
    }

    fn complete(&mut self) {
        self.common.index.complete_namespaces();
        self.common.complete();
    }

    fn changed(&mut self, object: &Object) {
        self.listed(object);
        self.live.namespace_changed(&object.metadata.name);
    }

    fn deleted(&mut self, object: &Object) {
        self.common.index.remove_namespace(&object.metadata.name);
        self.live.namespace_changed(&object.metadata.name);
    }

    fn connected(&mut self) {
        self.common.connected();
    }

    fn interrupted(&mut self) {
        self.common.interrupted();
    }
}

impl Target for ToLimits {
    type Spec = Spec;

    fn begin(&mut self) {
        self.0.index.begin_limits();
    }

    fn listed(&mut self, object: &Object<Spec>) {
        let metadata = &object.metadata;
        self.0.index.insert_limits(&metadata.namespace, &metadata.name, Limits::from(&object.spec));
    }

    fn complete(&mut self) {
        self.0.index.complete_limits();
        self.0.complete();
    }

    fn changed(&mut self, object: &Object<Spec>) {
        self.listed(object);
    }

    fn deleted(&mut self, object: &Object<Spec>) {
        self.0.index.remove_limits(&object.metadata.namespace, &object.metadata.name);
    }

    fn connected(&mut self) {
        self.0.connected();
    }

    fn interrupted(&mut self) {
        self.0.interrupted();
    }
}
