//! `caBundle` of a webhook configuration of ours: how the API server is told whom to trust.
//!
//! Written by server-side apply under our own field manager, that one field of each entry and nothing else, so that
//! Helm and GitOps tools see no drift in theirs; and only where it differs.

use std::fmt;

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::json;

use crate::{bundle::Bundle, kubernetes::Refusal, store::FIELD_MANAGER};

/// Keeps `caBundle` of one webhook configuration.
#[derive(Clone)]
pub struct Injector {
    api: Api<DynamicObject>,
    configuration: Configuration,
}

/// A webhook configuration of ours, by its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// A MutatingWebhookConfiguration.
    Mutating(String),
    /// A ValidatingWebhookConfiguration, which only gives advice: the webhook works without it.
    Validating(String),
}

/// What stands in the configuration, as read at one moment.
#[derive(Debug, Default)]
pub struct Live {
    version: Option<String>,
    entries: Vec<Entry>,
}

/// The part of an entry that is read; both kinds have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    name: String,
    client_config: ClientConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    ca_bundle: Option<ByteString>,
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
    #[error("cannot read {configuration}: {reason}")]
    Read {
        /// The configuration.
        configuration: Configuration,
        /// What the API server said.
        reason: String,
    },
    /// Writing failed.
    #[error("cannot write caBundle of {configuration}: {reason}")]
    Write {
        /// The configuration.
        configuration: Configuration,
        /// What the API server said.
        reason: String,
    },
    /// It changed since it was read: read again.
    #[error("{configuration} was written by somebody else at the same time")]
    Conflict {
        /// The configuration.
        configuration: Configuration,
    },
}

// === impl Live ===

impl Live {
    /// What is trusted so far, by any entry; the first authority is that of the first entry that trusts anything.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let mut entries = self.entries.iter().map(|entry| &entry.bundle).filter(|bundle| !bundle.is_empty());
        let first = entries.next().cloned().unwrap_or_default();
        entries.fold(first, |all, bundle| all.joined(bundle))
    }

    /// What every entry trusts.
    #[must_use]
    pub fn shared(&self) -> Bundle {
        let mut entries = self.entries.iter().map(|entry| &entry.bundle);
        let first = entries.next().cloned().unwrap_or_default();
        entries.fold(first, |all, bundle| all.shared_with(bundle))
    }

    /// Whether every entry has exactly this bundle.
    #[must_use]
    pub fn is(&self, bundle: &Bundle) -> bool {
        self.entries.iter().all(|entry| entry.bundle == *bundle)
    }

    fn of(mut read: DynamicObject) -> Result<Self, String> {
        let webhooks = read.data.get_mut("webhooks").map(serde_json::Value::take);
        let webhooks = webhooks.map_or(Ok(None), serde_json::from_value::<Option<Vec<Webhook>>>);
        // Serde quotes what it could not read.
        let webhooks = webhooks.map_err(|_| Refusal::unreadable().to_string())?.unwrap_or_default();
        let entries = webhooks.into_iter().map(|webhook| {
            let bundle = webhook.client_config.ca_bundle.unwrap_or_default();
            // What cannot be read trusts nobody, and is replaced.
            Entry { name: webhook.name, bundle: Bundle::from_pem(&bundle.0).unwrap_or_default() }
        });
        Ok(Self { version: read.metadata.resource_version, entries: entries.collect() })
    }

    fn with(&self, configuration: &Configuration, bundle: &Bundle) -> serde_json::Value {
        let Self { version, entries } = self;
        let ApiResource { api_version, kind, .. } = configuration.resource();
        let bundle = ByteString(bundle.to_pem().into_bytes());
        let entries: Vec<_> =
            entries.iter().map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}})).collect();
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": configuration.name(), "resourceVersion": version},
            "webhooks": entries,
        })
    }
}

// === impl Injector ===

impl Injector {
    /// For this configuration.
    #[must_use]
    pub fn new(client: Client, configuration: Configuration) -> Self {
        Self { api: Api::all_with(client, &configuration.resource()), configuration }
    }

    /// Reads the configuration. To be done before the Secret is read: see [`Injector::apply`].
    ///
    /// # Errors
    /// [`Error::Read`]; a mutating configuration that is missing or empty is one, since without it nobody calls us. Nobody
    /// needs to call for advice, so a validating one may be either.
    pub async fn read(&self) -> Result<Live, Error> {
        let refused = |reason: String| Error::Read { configuration: self.configuration.clone(), reason };
        let is_needed = matches!(self.configuration, Configuration::Mutating(_));
        match self.api.get(self.configuration.name()).await.map_err(Refusal::from) {
            Ok(read) => match Live::of(read).map_err(refused)? {
                live if live.entries.is_empty() && is_needed => {
                    Err(refused("it has no webhooks, so no pod is given its identity".to_owned()))
                }
                live => Ok(live),
            },
            Err(Refusal::NotFound) if !is_needed => Ok(Live::default()),
            Err(refusal) => Err(refused(refusal.to_string())),
        }
    }

    /// Makes `bundle` the one of every entry and says whether anything had to be written.
    ///
    /// The write is bound to the version that was read. A replica that read the Secret before another one changed it
    /// has read the configuration before the other wrote it, so it cannot put an older bundle over a newer.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the configuration changed since it was read, else [`Error::Write`].
    pub async fn apply(&self, live: &Live, bundle: &Bundle) -> Result<bool, Error> {
        if live.is(bundle) {
            return Ok(false);
        }
        let configuration = &self.configuration;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(live.with(configuration, bundle));
        match self.api.patch(configuration.name(), &params, &patch).await.map_err(Refusal::from) {
            Ok(_) => Ok(true),
            Err(Refusal::Conflict) => Err(Error::Conflict { configuration: configuration.clone() }),
            Err(refusal) => Err(Error::Write { configuration: configuration.clone(), reason: refusal.to_string() }),
        }
    }
}

// === impl Configuration ===

impl Configuration {
    fn name(&self) -> &str {
        let (Self::Mutating(name) | Self::Validating(name)) = self;
        name
    }

    fn resource(&self) -> ApiResource {
        match self {
            Self::Mutating(_) => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
            Self::Validating(_) => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
        }
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource().kind, self.name())
    }
}

#[cfg(test)]
mod tests;
