//! cert-manager beside the control plane: its controllers and its CA injector, with an administrator's rights.
//!
//! Its webhook is left out, which only checks what its custom resource definitions cannot, and defaults nothing.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize as _;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::control_plane::process::Process;
use crate::kubernetes::{Objects, apply};
use crate::wait::until;

/// cert-manager at work; dropping it kills it.
pub struct CertManager {
    processes: Vec<Process>,
}

// === impl CertManager ===

impl CertManager {
    /// Defines its kinds and starts it.
    ///
    /// # Errors
    /// The kinds are refused, or a program cannot be started.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        define(cluster).await?;
        let programs = &cluster.peers.cert_manager;
        let folder = cluster.folder("cert-manager")?;
        let common =
            [format!("--kubeconfig={}", cluster.control_plane.kubeconfig().display()), "--leader-elect=false".into()];
        let mut of_controller = common.to_vec();
        of_controller.push("--metrics-listen-address=127.0.0.1:0".into());
        let processes = vec![
            Process::start("controller", programs, &folder, of_controller)?,
            Process::start("cainjector", programs, &folder, common.to_vec())?,
        ];
        Ok(Self { processes })
    }

    /// Sees that it still runs.
    ///
    /// # Errors
    /// It does not; with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }
}

/// Defines cert-manager's kinds, which stay; waits until they can be used.
///
/// # Errors
/// The API server refuses them.
pub async fn define(cluster: &Cluster) -> Result<()> {
    let definitions = definitions(cluster)?;
    for definition in &definitions {
        apply(&cluster.client, definition).await.with_context(|| definition["metadata"]["name"].to_string())?;
    }
    let api = Objects::of(&cluster.client, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "").await?;
    for definition in &definitions {
        let name = definition["metadata"]["name"].as_str().context("a definition without a name")?;
        until(&format!("{name} can be used"), async || {
            let conditions = api.get(name).await?["status"]["conditions"].clone();
            let mut established = conditions.as_array().into_iter().flatten();
            established.find(|one| one["type"] == "Established" && one["status"] == "True").map(drop).context("not yet")
        })
        .await?;
    }
    Ok(())
}

fn definitions(cluster: &Cluster) -> Result<Vec<Value>> {
    let folder = cluster.peers.cert_manager.join("crds");
    let mut definitions = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let mut definition = Value::deserialize(serde_norway::Deserializer::from_str(&text))?;
            // These alone are templates; they say which release the definition belongs to, and there is none here.
            definition["metadata"]["labels"] = Value::Null;
            definitions.push(definition);
        }
    }
    Ok(definitions)
}
