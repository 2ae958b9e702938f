//! The service accounts: their names, and what they say as far as their namespace's share of memory goes.
//!
//! Who may write service accounts in one namespace may write any number, each with as much text as an identity map may
//! have. What is beyond the share is no less true: it is read from the API server whenever a pod needs it.

use super::Marked;
use podbadge_webhook_core::identity::ServiceAccount;
use std::{collections::HashMap, sync::Arc};

/// The most bytes of text that are kept of one namespace's service accounts: four of the longest maps, or ten thousand
/// accounts with a tenant's domain. Those with GUIDs alone need none of it.
const SHARE: usize = 256 * 1024;

/// What is kept of a service account.
#[derive(Debug)]
pub(super) enum Kept {
    /// It says nothing, so only its name is kept.
    Plain,
    /// What it says.
    Whole(Arc<ServiceAccount>),
    /// It says more than there is room for.
    Elsewhere {
        /// Whether it names an identity.
        opts_in: bool,
    },
}

/// All service accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    marked: Marked<Kept>,
    /// The bytes of text that are kept, of the few namespaces where there are any.
    weights: HashMap<Box<str>, usize>,
}

// === impl Accounts ===

impl Accounts {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Kept> {
        self.marked.get(namespace, name)
    }

    pub(super) fn namespaces_with(&self, holds: impl Fn(&Kept) -> bool) -> impl Iterator<Item = &str> {
        self.marked.namespaces_with(holds)
    }

    pub(super) fn insert(&mut self, namespace: &str, name: &str, account: ServiceAccount) {
        let others = self.weight(namespace).saturating_sub(self.weight_of(namespace, name));
        let weight = account.weight();
        let kept = if account.is_empty() {
            Kept::Plain
        } else if weight > 0 && others + weight > SHARE {
            Kept::Elsewhere { opts_in: account.client_id.is_some() }
        } else {
            Kept::Whole(Arc::new(account))
        };
        self.weigh(namespace, others + kept.weight());
        self.marked.insert(namespace, name, kept);
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        self.weigh(namespace, self.weight(namespace).saturating_sub(self.weight_of(namespace, name)));
        self.marked.remove(namespace, name);
    }

    pub(super) fn begin(&mut self) {
        self.marked.begin();
    }

    pub(super) fn complete(&mut self) {
        self.marked.complete();
        let Self { marked, weights } = self;
        weights.retain(|namespace, weight| {
            *weight = marked.of(namespace).map(Kept::weight).sum();
            *weight > 0
        });
    }

    fn weight(&self, namespace: &str) -> usize {
        self.weights.get(namespace).copied().unwrap_or_default()
    }

    fn weight_of(&self, namespace: &str, name: &str) -> usize {
        self.get(namespace, name).map_or(0, Kept::weight)
    }

    fn weigh(&mut self, namespace: &str, weight: usize) {
        match self.weights.get_mut(namespace) {
            Some(held) if weight > 0 => *held = weight,
            Some(_) => drop(self.weights.remove(namespace)),
            None if weight > 0 => drop(self.weights.insert(namespace.into(), weight)),
            None => {}
        }
    }
}

// === impl Kept ===

impl Kept {
    pub(super) fn opts_in(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Whole(account) => account.client_id.is_some(),
            Self::Elsewhere { opts_in } => *opts_in,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Whole(account) => account.weight(),
            Self::Plain | Self::Elsewhere { .. } => 0,
        }
    }
}
