//! The node stand-in: what scheduler, kubelet and container runtime do for a pod, as far as its identity depends on it.
//!
//! It registers a Node and renews its Lease, binds pods, and runs them: volumes as the kubelet writes them, variables as
//! it resolves them, init containers and native sidecars in its order, probes, restarts, status, graceful deletion.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Binding, Node as KubernetesNode, Pod};
use kube::api::PostParams;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::network::Network;
use crate::sandbox::HOST;

mod container;
mod ephemeral;
mod heartbeat;
mod pod;
mod probe;
mod process;
mod report;
mod variables;
mod volume;

/// The name of the Node.
pub const NAME: &str = "node-1";

/// What a container image stands for.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Files and folders of this machine, each with its path in the container, read-only. The machine's own `/usr` and
    /// `/etc` are always there.
    pub holds: Vec<(PathBuf, PathBuf)>,
    /// What runs where the pod names no command.
    pub entrypoint: Vec<String>,
    /// Its own environment, over which the pod's goes.
    pub variables: Vec<(String, String)>,
    /// Its user.
    pub user: u32,
}

/// What a node is made with.
#[derive(Debug)]
pub struct Settings {
    /// Where pods' volumes and logs are kept.
    pub folder: PathBuf,
    /// The images that can be pulled, by name.
    pub images: BTreeMap<String, Image>,
    /// Names that pods can resolve; they go into every pod's hosts file.
    pub hosts: Vec<(IpAddr, String)>,
}

/// A running node. Dropping it stops its work; the containers end with the sandbox.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    client: Client,
    settings: Settings,
    network: Network,
    http: reqwest::Client,
}

/// When a pod is to end, and how long its containers may take.
type Stop = watch::Receiver<Option<Duration>>;

/// What the node tells a pod that it runs.
struct Told {
    stop: watch::Sender<Option<Duration>>,
    /// The pod as it was last seen: `kubectl debug` adds containers to it.
    pod: watch::Sender<Pod>,
}

// === impl Node ===

impl Node {
    /// Registers the node and starts its work.
    ///
    /// # Errors
    /// The API server refuses the Node.
    pub async fn start(client: Client, settings: Settings) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            // As the kubelet: probes do not verify.
            .tls_danger_accept_invalid_certs(true)
            .build()?;
        register(&client).await?;
        let shared = Arc::new(Shared { client, settings, network: Network::default(), http });
        let mut tasks = JoinSet::new();
        tasks.spawn(heartbeat::run(shared.client.clone()));
        tasks.spawn(bind(shared.client.clone()));
        tasks.spawn(follow(shared.clone()));
        Ok(Self { shared, _tasks: tasks })
    }

    /// What a container has written so far, over all its restarts, to standard output and standard error.
    #[must_use]
    pub fn log(&self, pod: &Pod, container: &str) -> String {
        let path = log_file(&self.shared.settings.folder.join(folder_name(pod)), container);
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The folder of one pod, told apart from its namesakes by the uid.
fn folder_name(pod: &Pod) -> String {
    format!("{}_{}_{}", pod.namespace().unwrap_or_default(), pod.name_any(), pod.uid().unwrap_or_default())
}

fn log_file(folder: &Path, container: &str) -> PathBuf {
    folder.join(format!("{container}.log"))
}

async fn register(client: &Client) -> Result<()> {
    let now = k8s_openapi::jiff::Timestamp::now();
    let node: KubernetesNode = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NAME, "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": NAME}},
        "status": {
            "capacity": {"cpu": "64", "memory": "64Gi", "pods": "500"},
            "allocatable": {"cpu": "64", "memory": "64Gi", "pods": "500"},
            "addresses": [{"type": "InternalIP", "address": HOST}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        },
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &node).await.context("register the node")?;
    Ok(())
}

/// The scheduler's part: every pod fits here.
async fn bind(client: Client) {
    let pending = watcher::Config::default().fields("spec.nodeName=");
    let mut pods = watch_objects(Api::<Pod>::all(client.clone()), pending).default_backoff().applied_objects().boxed();
    loop {
        match pods.try_next().await {
            Ok(Some(pod)) if waits_for_a_node(&pod) => {
                let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
                let binding = binding(&pod);
                // A second event of the same pod finds it bound: a conflict that means nothing.
                let _: kube::Result<serde_json::Value> =
                    api.create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding).await;
            }
            Ok(Some(_)) | Err(_) => {}
            Ok(None) => return,
        }
    }
}

fn waits_for_a_node(pod: &Pod) -> bool {
    let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
    pod.metadata.deletion_timestamp.is_none() && gates.is_none_or(Vec::is_empty)
}

fn binding(pod: &Pod) -> Binding {
    let mut binding = Binding::default();
    binding.metadata.name = Some(pod.name_any());
    binding.metadata.uid = pod.uid();
    binding.target.kind = Some("Node".to_owned());
    binding.target.name = Some(NAME.to_owned());
    binding
}

/// The kubelet's part: one task for each pod that is bound here.
async fn follow(shared: Arc<Shared>) {
    let ours = watcher::Config::default().fields(&format!("spec.nodeName={NAME}"));
    let mut events = watch_objects(Api::<Pod>::all(shared.client.clone()), ours).default_backoff().boxed();
    let mut known: HashMap<String, Told> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let told = known.entry(pod.uid().unwrap_or_default()).or_insert_with(|| {
                    let (stop, stopped) = watch::channel(None);
                    let (seen, changed) = watch::channel(pod.clone());
                    tokio::spawn(pod::run(shared.clone(), changed, stopped));
                    Told { stop, pod: seen }
                });
                if pod.metadata.deletion_timestamp.is_some() {
                    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
                    told.stop.send_replace(Some(Duration::from_secs(grace.unsigned_abs())));
                }
                told.pod.send_replace(pod);
            }
            Ok(Event::Delete(pod)) => {
                if let Some(told) = known.remove(&pod.uid().unwrap_or_default()) {
                    told.stop.send_replace(Some(Duration::ZERO));
                }
            }
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}
