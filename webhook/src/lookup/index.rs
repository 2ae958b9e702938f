//! All service accounts, annotated namespaces and LimitRanges of the cluster in little memory: their names, and of the few
//! that say something to us what they say.

mod accounts;
mod marked;

use accounts::{Accounts, Kept};
use marked::Marked;
use podbadge_webhook_core::{
    identity::{Namespace, ServiceAccount},
    resources::Limits,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::time::Instant;

/// The set, shared by watches that write and reviews that read. While a list comes in, what was known before stands beside
/// what is listed, so a second list needs no second set; what it did not name is dropped at its end.
#[derive(Debug, Default)]
pub struct Index {
    accounts: RwLock<Accounts>,
    /// The annotated ones; they lie in no namespace.
    namespaces: RwLock<Marked<Arc<Namespace>>>,
    /// Those that demand something of containers.
    limits: RwLock<Marked<Arc<Limits>>>,
    /// What these demand, once each: platforms give many namespaces the same.
    shapes: Mutex<HashSet<Arc<Limits>>>,
    /// What the namespaces that say nothing have in common.
    plain_account: Arc<ServiceAccount>,
    plain_namespace: Arc<Namespace>,
    pub(super) accounts_watch: Health,
    pub(super) namespaces_watch: Health,
    pub(super) limits_watch: Health,
}

/// What the index holds of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It says something to us.
    Annotated(Arc<ServiceAccount>),
    /// It exists.
    Plain(Arc<ServiceAccount>),
    /// It exists, and what it says is not kept here: its namespace has more than its share already.
    Elsewhere,
    /// It is not known here.
    Missing,
}

/// Whether a watch runs, and if not, since when.
#[derive(Debug)]
pub(super) struct Health(RwLock<Option<Instant>>);

/// Distinct demands that are held before those that nobody makes any more are looked for.
const SHAPES: usize = 64;

// === impl Entry ===

impl Entry {
    /// What is known of the service account; `None` where it is missing, or has to be read.
    pub fn known(self) -> Option<Arc<ServiceAccount>> {
        match self {
            Self::Annotated(account) | Self::Plain(account) => Some(account),
            Self::Missing | Self::Elsewhere => None,
        }
    }
}

// === impl Index ===

impl Index {
    /// The service account.
    pub fn service_account(&self, namespace: &str, name: &str) -> Entry {
        match read(&self.accounts).get(namespace, name) {
            Some(Kept::Whole(account)) => Entry::Annotated(Arc::clone(account)),
            Some(Kept::Plain) => Entry::Plain(Arc::clone(&self.plain_account)),
            Some(Kept::Elsewhere { .. }) => Entry::Elsewhere,
            None => Entry::Missing,
        }
    }

    /// The namespaces with a service account that names an identity.
    pub fn annotated_namespaces(&self) -> Vec<Box<str>> {
        read(&self.accounts).namespaces_with(Kept::opts_in).map(Into::into).collect()
    }

    /// What the namespace says, which is nothing for nearly all.
    pub fn namespace(&self, name: &str) -> Arc<Namespace> {
        Arc::clone(read(&self.namespaces).get("", name).unwrap_or(&self.plain_namespace))
    }

    /// What the namespace's LimitRanges demand together, if there are any.
    pub fn limits(&self, namespace: &str) -> Option<Arc<Limits>> {
        let limits = read(&self.limits);
        let mut demands = limits.of(namespace);
        let first = demands.next()?;
        let all = demands.fold(None, |all: Option<Limits>, next| Some(all.as_ref().unwrap_or(first).and(next)));
        Some(all.map_or_else(|| Arc::clone(first), Arc::new))
    }

    /// Puts a service account in, in place of what was there.
    pub fn insert_account(&self, namespace: &str, name: &str, account: ServiceAccount) {
        write(&self.accounts).insert(namespace, name, account);
    }

    /// Takes a service account out.
    pub(super) fn remove_account(&self, namespace: &str, name: &str) {
        write(&self.accounts).remove(namespace, name);
    }

    /// Begins a list of all service accounts.
    pub(super) fn begin_accounts(&self) {
        write(&self.accounts).begin();
    }

    /// Drops what the list did not name.
    pub(super) fn complete_accounts(&self) {
        write(&self.accounts).complete();
    }

    /// Puts a namespace in, in place of what was there.
    pub fn insert_namespace(&self, name: &str, namespace: Namespace) {
        let mut namespaces = write(&self.namespaces);
        if namespace.is_empty() {
            namespaces.remove("", name);
        } else {
            namespaces.insert("", name, Arc::new(namespace));
        }
    }

    /// Takes a namespace out.
    pub(super) fn remove_namespace(&self, name: &str) {
        write(&self.namespaces).remove("", name);
    }

    /// Begins a list of all namespaces.
    pub(super) fn begin_namespaces(&self) {
        write(&self.namespaces).begin();
    }

    /// Drops what the list did not name.
    pub(super) fn complete_namespaces(&self) {
        write(&self.namespaces).complete();
    }

    /// Puts a LimitRange in, in place of what was there.
    pub fn insert_limits(&self, namespace: &str, name: &str, limits: Limits) {
        if limits.is_empty() {
            self.remove_limits(namespace, name);
        } else {
            let shape = self.shape(limits);
            write(&self.limits).insert(namespace, name, shape);
        }
    }

    /// Takes a LimitRange out.
    pub(super) fn remove_limits(&self, namespace: &str, name: &str) {
        write(&self.limits).remove(namespace, name);
    }

    /// Begins a list of all LimitRanges.
    pub(super) fn begin_limits(&self) {
        write(&self.limits).begin();
    }

    /// Drops what the list did not name.
    pub(super) fn complete_limits(&self) {
        write(&self.limits).complete();
    }

    fn shape(&self, limits: Limits) -> Arc<Limits> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shapes.get(&limits) {
            return Arc::clone(shape);
        }
        if shapes.len() >= SHAPES && shapes.len() == shapes.capacity() {
            shapes.retain(|shape| Arc::strong_count(shape) > 1);
        }
        let shape = Arc::new(limits);
        shapes.insert(Arc::clone(&shape));
        shape
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

// === impl Health ===

impl Health {
    /// How long the watch has been interrupted; nothing while it runs.
    pub(super) fn gap(&self) -> Duration {
        read(&self.0).map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn connected(&self) {
        *write(&self.0) = None;
    }

    pub(super) fn interrupted(&self) {
        write(&self.0).get_or_insert_with(Instant::now);
    }
}

/// A watch that has not begun is interrupted.
impl Default for Health {
    fn default() -> Self {
        Self(RwLock::new(Some(Instant::now())))
    }
}

#[cfg(test)]
mod tests;
