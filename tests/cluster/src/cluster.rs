//! One control plane with one node, shared by all tests of a run.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::PostParams;
use kube::{Api, Client};
use podbadge_emulator::Running;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{OnceCell, RwLock};

use crate::control_plane::ControlPlane;
use crate::install::{Chart, Renderer};
use crate::node::{Node, Settings};
use crate::peers::Peers;
use crate::sandbox::HOST;
use crate::tools::Tools;
use crate::{entra, images};

/// Everything that runs beside the tests.
pub struct Cluster {
    /// An administrator's.
    pub client: Client,
    /// Runs the pods.
    pub node: Node,
    /// Etcd, API server, controllers.
    pub control_plane: ControlPlane,
    /// Entra ID and the vault.
    pub entra: Running,
    /// Held for writing by a test that takes something away from the others.
    pub whole: RwLock<()>,
    /// The minor version of Kubernetes, as the 36 of 1.36.
    pub minor: u32,
    /// Where the programs are that Podbadge stands beside.
    pub peers: Peers,
    renderer: Renderer,
    chart: Chart,
    installed: OnceCell<Result<(), String>>,
    folder: TempDir,
}

impl Cluster {
    /// Starts everything but Podbadge. The identity trusts the tests' `namespaces`, at most 20.
    ///
    /// # Errors
    /// A part does not start; its own words.
    pub async fn start(tools: &Tools, namespaces: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("podbadge-cluster-").tempdir().context("temporary folder")?;
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).with_context(|| path.display().to_string()).map(|()| path)
        };
        let control_plane = ControlPlane::start(&tools.control_plane, &make("control-plane")?).await?;
        let client = control_plane.client().await?;
        publish_issuer(&client).await?;
        let entra = entra::start(&control_plane, namespaces).await?;
        let authority = folder.path().join("entra.pem");
        fs::write(&authority, entra.ca_pem()).context("the emulator's authority")?;

        let version = client.apiserver_version().await?;
        let minor = version.minor.trim_end_matches('+').parse().with_context(|| version.minor.clone())?;
        let renderer = Renderer {
            helm: tools.helm.clone(),
            kubernetes: version.git_version,
            // The node here is as new as can be, which the webhook does not presume before all nodes are.
            native_sidecar: minor < 32,
            authority: entra.authority_url().to_owned(),
        };
        let chart = renderer.render(&[])?;
        let settings = Settings {
            folder: make("pods")?,
            images: images::all(tools, &chart, &authority)?,
            hosts: entra::NAMES.map(|name| (IpAddr::from(HOST), name.to_owned())).into(),
        };
        let node = Node::start(client.clone(), settings).await?;
        let installed = OnceCell::new();
        Ok(Self {
            client,
            node,
            control_plane,
            entra,
            whole: RwLock::new(()),
            minor,
            peers: tools.peers.clone(),
            renderer,
            chart,
            installed,
            folder,
        })
    }

    /// Installs Podbadge, once.
    ///
    /// # Errors
    /// It does not become ready; the same error for everybody who asks.
    pub async fn podbadge(&self) -> Result<()> {
        let install = async || self.chart.install(&self.client).await.map_err(|error| format!("{error:#}"));
        self.installed.get_or_init(install).await.clone().map_err(|error| anyhow!(error))
    }

    /// Installs Podbadge with further values, each `key=value`; [`Self::restore`] with the same ones takes that back.
    ///
    /// # Errors
    /// The chart refuses the values, or Podbadge does not become ready.
    pub async fn upgrade(&self, values: &[&str]) -> Result<()> {
        self.renderer.render(values)?.install(&self.client).await
    }

    /// The chart's objects with further values, as kubectl reads them.
    ///
    /// # Errors
    /// The chart refuses the values.
    pub fn manifests(&self, values: &[&str]) -> Result<String> {
        Ok(self.renderer.render(values)?.manifests())
    }

    /// The chart's objects of one kind.
    ///
    /// # Errors
    /// The chart refuses the values.
    pub fn rendered(&self, values: &[&str], kind: &str) -> Result<Vec<Value>> {
        Ok(self.renderer.render(values)?.of_kind(kind))
    }

    /// Installs Podbadge as it was.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn restore(&self, values: &[&str]) -> Result<()> {
        self.renderer.render(values)?.remove_beyond(&self.chart, &self.client).await?;
        self.chart.install(&self.client).await
    }

    /// Takes Podbadge away as whoever knows how to: who is asked first, then who answers. [`Self::restore`] without values
    /// brings it back.
    ///
    /// # Errors
    /// The API server's, or its pods stay.
    pub async fn remove(&self) -> Result<()> {
        self.chart.remove(&self.client).await
    }

    /// The program.
    #[must_use]
    pub fn helm(&self) -> &Path {
        &self.renderer.helm
    }

    /// The URL of Entra ID.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.renderer.authority
    }

    /// A folder for files and logs of something that runs beside the tests; made if it is not there.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Ends everything; the folder of logs stays if it is still of use.
    pub fn end(self, keep_logs: bool) {
        let Self { folder, .. } = self;
        if keep_logs {
            eprintln!("logs: {}", folder.keep().display());
        }
    }
}

/// Discovery and keys of service-account tokens for everybody, as an issuer that is federated with has to have it
/// (<https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>).
async fn publish_issuer(client: &Client) -> Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "issuer-discovery-for-all"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.context("publish the issuer")?;
    Ok(())
}
