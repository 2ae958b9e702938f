//! `caBundle` of our own webhook configurations: how the API server is told whom to trust.
//!
//! Written by server-side apply under our own field manager, that one field of each entry and nothing else, so that
//! Helm and GitOps tools see no drift in theirs; and only where it differs.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{bundle::Bundle, kubernetes::Refusal, material::Certificate, store::FIELD_MANAGER};

/// Keeps `caBundle` of some webhook configurations.
#[derive(Clone)]
pub struct Injector {
    api: Api<MutatingWebhookConfiguration>,
    names: Vec<String>,
}

/// What stands in the configurations, as read at one moment.
#[derive(Debug)]
pub struct Live(Vec<Configuration>);

#[derive(Debug)]
struct Configuration {
    name: String,
    version: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    bundle: Bundle,
}

/// Why a configuration was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read MutatingWebhookConfiguration {name}: {reason}")]
    Read {
        /// The configuration's name.
        name: String,
        /// What the API server said.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write caBundle of MutatingWebhookConfiguration {name}: {reason}")]
    Write {
        /// The configuration's name.
        name: String,
        /// What the API server said.
        reason: String,
    },
    /// It changed since it was read: read again.
    #[error("MutatingWebhookConfiguration {name} was written by somebody else at the same time")]
    Conflict {
        /// The configuration's name.
        name: String,
    },
}

// === impl Live ===

impl Live {
    /// Whether every entry trusts `authority`.
    #[must_use]
    pub fn trusts(&self, authority: &Certificate) -> bool {
        self.entries().all(|entry| entry.bundle.contains(authority))
    }

    /// What is trusted so far, by the first entry that trusts anything.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        self.entries().map(|entry| &entry.bundle).find(|bundle| !bundle.is_empty()).cloned().unwrap_or_default()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|configuration| &configuration.entries)
    }
}

// === impl Injector ===

impl Injector {
    /// For the configurations of these names.
    #[must_use]
    pub fn new(client: Client, names: Vec<String>) -> Self {
        Self { api: Api::all(client), names }
    }

    /// Reads the configurations. To be done before the Secret is read: see [`Injector::apply`].
    ///
    /// # Errors
    /// [`Error::Read`]; a missing configuration is one, since without it nobody calls us.
    pub async fn read(&self) -> Result<Live, Error> {
        let mut live = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let read = self.api.get(name).await.map_err(|error| {
                let reason = Refusal::from(error).to_string();
                Error::Read { name: name.clone(), reason }
            })?;
            live.push(Configuration::of(name.clone(), read));
        }
        Ok(Live(live))
    }

    /// Makes `bundle` the one of every entry and says whether anything had to be written.
    ///
    /// The write is bound to the version that was read. A replica that read the Secret before another one changed it
    /// has read the configurations before the other wrote them, so it cannot put an older bundle over a newer.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a configuration changed since it was read, else [`Error::Write`].
    pub async fn apply(&self, live: &Live, bundle: &Bundle) -> Result<bool, Error> {
        let mut written = false;
        for configuration in &live.0 {
            let Configuration { name, entries, .. } = configuration;
            if entries.iter().all(|entry| entry.bundle == *bundle) {
                continue;
            }
            let params = PatchParams::apply(FIELD_MANAGER).force();
            let patch = Patch::Apply(configuration.with(bundle));
            match self.api.patch(name, &params, &patch).await.map_err(Refusal::from) {
                Ok(_) => written = true,
                Err(Refusal::Conflict) => return Err(Error::Conflict { name: name.clone() }),
                Err(refusal) => return Err(Error::Write { name: name.clone(), reason: refusal.to_string() }),
            }
        }
        Ok(written)
    }
}

// === impl Configuration ===

impl Configuration {
    fn of(name: String, read: MutatingWebhookConfiguration) -> Self {
        let entries = read.webhooks.unwrap_or_default().into_iter().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.unwrap_or_default();
            // What cannot be read trusts nobody, and is replaced.
            Entry { name: webhook.name, bundle: Bundle::from_pem(&bundle.0).unwrap_or_default() }
        });
        Self { name, version: read.metadata.resource_version, entries: entries.collect() }
    }

    fn with(&self, bundle: &Bundle) -> serde_json::Value {
        let Self { name, version, entries } = self;
        let bundle = k8s_openapi::ByteString(bundle.to_pem().into_bytes());
        let entries: Vec<_> =
            entries.iter().map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}})).collect();
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name, "resourceVersion": version},
            "webhooks": entries,
        })
    }
}

#[cfg(test)]
mod tests;
