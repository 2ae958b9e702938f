//! What stands around the pods: a cluster issuer, an Entra ID with a vault, and the webhook; and a folder for files.

use crate::local::webhook::Webhook;
use anyhow::Context as _;
use podbadge_emulator::{
    Emulator, Running,
    config::Config,
    issuer::{ClusterIssuer, RunningIssuer},
};
use podbadge_webhook::lookup::Index;
use podbadge_webhook_core::{identity::ServiceAccount, settings::Settings};
use serde::Deserialize as _;
use serde_norway::Value;
use std::{net::Ipv4Addr, path::PathBuf};
use tempfile::TempDir;

const MANIFEST: &str = include_str!("../../../examples/pod-sidecar.yaml");
const DIRECTORY: &str = include_str!("../../../examples/emulator.yaml");

/// The service account that no federated credential names.
pub(super) const VISITOR: &str = "visitor";

/// Everything that runs beside the pods.
pub(super) struct Site {
    pub(super) issuer: RunningIssuer,
    pub(super) entra: Running,
    pub(super) vault: Vault,
    pub(super) webhook: Webhook,
    /// The pod of the manifest, as its author wrote it.
    pub(super) pod: Value,
    folder: TempDir,
}

/// The vault that the application reads.
pub(super) struct Vault {
    pub(super) url: String,
    /// A secret in it.
    pub(super) secret: String,
}

impl Site {
    /// Starts everything on free ports.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let issuer = ClusterIssuer::start(any_port, &[]).await.context("cluster issuer")?;
        let config = directory(&issuer)?;
        let (name, secret) = config
            .vaults
            .first()
            .and_then(|vault| Some((vault.name.to_string(), vault.secrets.first()?.name.to_string())))
            .context("examples/emulator.yaml has no vault with a secret")?;
        let entra = Emulator::start(config, any_port).await.context("emulator")?;
        let url = entra.vault_url(&name).context("the emulator has no vault")?.to_owned();

        let folder = tempfile::Builder::new().prefix("podbadge-demo-").tempdir().context("temporary folder")?;
        let (index, pod) = manifest()?;
        let mut settings = Settings {
            authority_host: entra.authority_url().to_owned(),
            // Containers see the mount where the pod has it; a plain process sees it there only if it is there.
            mount_path: folder.path().join("tokens").display().to_string(),
            ..Settings::default()
        };
        settings.sidecar.native = true;
        let webhook = Webhook::start(settings, index)?;
        std::fs::write(folder.path().join("ca.pem"), entra.ca_pem()).context("ca.pem")?;
        Ok(Self { issuer, entra, vault: Vault { url, secret }, webhook, pod, folder })
    }

    /// The file of the authority that Entra ID and the vault have their certificates from.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where a pod's sidecar writes its log.
    pub(super) fn log(&self, pod: &str) -> PathBuf {
        self.folder.path().join(format!("{pod}.log"))
    }

    /// A client that trusts the vault, and goes through no proxy.
    pub(super) fn client(&self) -> anyhow::Result<reqwest::Client> {
        let authority = reqwest::Certificate::from_pem(self.entra.ca_pem().as_bytes())?;
        let builder = reqwest::Client::builder().tls_certs_only([authority]).no_proxy();
        builder.build().context("HTTP client")
    }

    /// Stops everything and removes the folder.
    pub(super) async fn stop(self) {
        let Self { issuer, entra, webhook, folder, .. } = self;
        tokio::join!(webhook.stop(), entra.stop(), issuer.stop());
        if let Err(error) = folder.close() {
            tracing::warn!(%error, "The temporary folder stays");
        }
    }
}

/// The example's tenants and applications, trusting this machine's issuer in place of a cluster's.
fn directory(issuer: &RunningIssuer) -> anyhow::Result<Config> {
    let mut config = Config::from_yaml(DIRECTORY).context("examples/emulator.yaml")?;
    config.trusted_cas.push(issuer.ca_pem().parse()?);
    for credential in config.applications.iter_mut().flat_map(|application| &mut application.federated_credentials) {
        credential.issuer = issuer.url().parse()?;
    }
    Ok(config)
}

/// The service accounts that the webhook would watch, and the pod.
fn manifest() -> anyhow::Result<(Index, Value)> {
    let index = Index::default();
    let mut pod = None;
    for document in serde_norway::Deserializer::from_str(MANIFEST) {
        let object = Value::deserialize(document).context("examples/pod-sidecar.yaml")?;
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if object["kind"] == "ServiceAccount" {
            let annotations = metadata["annotations"].as_mapping().into_iter().flatten();
            let annotations = annotations.filter_map(|(key, value)| key.as_str().zip(value.as_str()));
            let account = ServiceAccount::from_annotations(annotations);
            let namespace = text(&metadata["namespace"]);
            index.insert_account(&namespace, VISITOR, account.clone());
            index.insert_account(&namespace, &text(&metadata["name"]), account);
        } else if object["kind"] == "Pod" {
            pod = Some(object);
        }
    }
    Ok((index, pod.context("examples/pod-sidecar.yaml has no pod")?))
}
