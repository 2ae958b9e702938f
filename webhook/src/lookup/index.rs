//! All service accounts and annotated namespaces of the cluster in little memory: their names, and of the few that are
//! annotated what the annotations say.

use podbadge_webhook_core::identity::{Namespace, ServiceAccount};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The set, shared by watches that write and reviews that read.
#[derive(Debug, Default)]
pub struct Index {
    accounts: RwLock<Accounts>,
    namespaces: RwLock<Namespaces>,
}

/// Service accounts by namespace and name; without annotations only the name is kept.
pub(super) type Accounts = HashMap<Box<str>, HashMap<Box<str>, Option<Arc<ServiceAccount>>>>;

/// The annotated namespaces by name.
pub(super) type Namespaces = HashMap<Box<str>, Arc<Namespace>>;

/// What the index holds of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It says something to us.
    Annotated(Arc<ServiceAccount>),
    /// It exists.
    Plain,
    /// It is not known here.
    Missing,
}

impl Entry {
    /// What is known of the service account; `None` where it is missing.
    pub fn known(self) -> Option<Arc<ServiceAccount>> {
        match self {
            Self::Annotated(account) => Some(account),
            Self::Plain => Some(Arc::default()),
            Self::Missing => None,
        }
    }
}

impl Index {
    /// The service account.
    pub fn service_account(&self, namespace: &str, name: &str) -> Entry {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        match accounts.get(namespace).and_then(|accounts| accounts.get(name)) {
            Some(Some(account)) => Entry::Annotated(Arc::clone(account)),
            Some(None) => Entry::Plain,
            None => Entry::Missing,
        }
    }

    /// The namespaces with a service account that names an identity.
    pub fn annotated_namespaces(&self) -> Vec<Box<str>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let names = |account: &Option<Arc<ServiceAccount>>| account.as_ref().is_some_and(|it| it.client_id.is_some());
        accounts.iter().filter(|(_, within)| within.values().any(names)).map(|(name, _)| name.clone()).collect()
    }

    /// The namespace's annotations, which are empty for nearly all.
    pub fn namespace(&self, name: &str) -> Arc<Namespace> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(name).map(Arc::clone).unwrap_or_default()
    }

    /// Puts a service account in, in place of what was there.
    pub fn insert_account(&self, namespace: &str, name: &str, account: ServiceAccount) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        put_account(&mut accounts, namespace, name, account);
    }

    /// Takes a service account out.
    pub(super) fn remove_account(&self, namespace: &str, name: &str) {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(within) = accounts.get_mut(namespace) {
            within.remove(name);
            if within.is_empty() {
                accounts.remove(namespace);
            }
        }
    }

    /// Puts a whole list in, in place of all that was there.
    pub(super) fn replace_accounts(&self, accounts: Accounts) {
        *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = accounts;
    }

    /// Puts a namespace in, in place of what was there.
    pub fn insert_namespace(&self, name: &str, namespace: Namespace) {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        put_namespace(&mut namespaces, name, namespace);
    }

    /// Takes a namespace out.
    pub(super) fn remove_namespace(&self, name: &str) {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Puts a whole list in, in place of all that was there.
    pub(super) fn replace_namespaces(&self, namespaces: Namespaces) {
        *self.namespaces.write().unwrap_or_else(PoisonError::into_inner) = namespaces;
    }
}

/// Puts a service account into a list that is being built.
pub(super) fn put_account(accounts: &mut Accounts, namespace: &str, name: &str, account: ServiceAccount) {
    let account = (!account.is_empty()).then(|| Arc::new(account));
    match accounts.get_mut(namespace) {
        Some(within) => within.insert(name.into(), account),
        None => accounts.entry(namespace.into()).or_default().insert(name.into(), account),
    };
}

/// Puts a namespace into a list that is being built.
pub(super) fn put_namespace(namespaces: &mut Namespaces, name: &str, namespace: Namespace) {
    if namespace.is_empty() {
        namespaces.remove(name);
    } else {
        namespaces.insert(name.into(), Arc::new(namespace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podbadge_webhook_core::{contract, value::Id};

    #[test]
    fn names_are_kept_of_all_and_annotations_of_few() {
        let index = Index::default();
        let annotated = || ServiceAccount::from_annotations([(contract::CLIENT_ID, "c")]);
        index.insert_account("shop", "till", annotated());
        index.insert_account("shop", "default", ServiceAccount::default());
        assert_eq!(index.service_account("shop", "till"), Entry::Annotated(Arc::new(annotated())));
        assert_eq!(index.service_account("shop", "default"), Entry::Plain);
        assert_eq!(index.service_account("shop", "other"), Entry::Missing);
        assert_eq!(index.service_account("other", "till"), Entry::Missing);

        index.insert_account("shop", "till", ServiceAccount::default());
        assert_eq!(index.service_account("shop", "till"), Entry::Plain);
        index.remove_account("shop", "till");
        assert_eq!(index.service_account("shop", "till"), Entry::Missing);

        index.replace_accounts(Accounts::new());
        assert_eq!(index.service_account("shop", "default"), Entry::Missing);
    }

    #[test]
    fn a_namespace_that_loses_its_annotations_is_like_all_others() {
        let index = Index::default();
        index.insert_namespace("shop", Namespace::read([], [(contract::TENANT_ID, "t")]));
        assert_eq!(index.namespace("shop").tenant_id, Id::parse("t"));
        index.insert_namespace("shop", Namespace::default());
        assert_eq!(*index.namespace("shop"), Namespace::default());
    }
}
