//! The service accounts and namespaces that the manifest brings with it.

use super::workload::Object;
use podbadge_webhook_core::identity::{Namespace, ServiceAccount};
use std::collections::HashMap;

/// What is known of the cluster.
pub(super) struct Cluster {
    accounts: HashMap<(String, String), ServiceAccount>,
    namespaces: HashMap<String, Namespace>,
    /// What is said of service accounts that the manifest lacks.
    other: ServiceAccount,
}

impl Cluster {
    /// Collects service accounts and namespaces; `annotations` are those of service accounts that are not among them.
    pub(super) fn of<'a>(
        objects: impl Iterator<Item = Object<'a>>,
        namespace: &str,
        annotations: Vec<(&str, &str)>,
    ) -> Self {
        let mut cluster = Self {
            accounts: HashMap::new(),
            namespaces: HashMap::new(),
            other: ServiceAccount::from_annotations(annotations),
        };
        for object in objects {
            let name = object.name(namespace);
            if object.is_core("ServiceAccount") {
                let account = ServiceAccount::from_annotations(object.annotations());
                let key = (name.namespace().to_owned(), name.name().to_owned());
                cluster.accounts.insert(key, account);
            } else if object.is_core("Namespace") {
                let marks = Namespace::read(object.labels(), object.annotations());
                cluster.namespaces.insert(name.name().to_owned(), marks);
            }
        }
        cluster
    }

    /// The service account, and whether the manifest says anything of it.
    pub(super) fn account(&self, namespace: &str, name: &str) -> (&ServiceAccount, bool) {
        // A tuple of strings cannot be looked up by a tuple of slices.
        let known = self.accounts.get(&(namespace.to_owned(), name.to_owned()));
        (known.unwrap_or(&self.other), known.is_some() || !self.other.is_empty())
    }

    /// The namespace; one that the manifest lacks says nothing.
    pub(super) fn namespace(&self, name: &str) -> Namespace {
        self.namespaces.get(name).cloned().unwrap_or_default()
    }
}
