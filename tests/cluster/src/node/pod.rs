//! A pod's life: network, volumes, init containers in order, containers, end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, PodSpec, Secret};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::container::{Restart, Supervised};
use super::report::{Phase, Report};
use super::{Image, Shared, Stop, ephemeral, folder_name, volume};
use crate::network::Attachment;
use crate::sandbox::HOST;
use crate::wait::until;

/// A pod on this node, with all that its containers share.
pub(super) struct Instance {
    pub(super) shared: Arc<Shared>,
    pub(super) pod: Pod,
    pub(super) spec: PodSpec,
    pub(super) folder: PathBuf,
    /// None on the host's network.
    pub(super) network: Option<Attachment>,
    pub(super) volumes: BTreeMap<String, PathBuf>,
    pub(super) report: Report,
}

type Data = BTreeMap<String, Vec<u8>>;

/// Runs a pod until it has ended or is deleted, and cleans up.
pub(super) async fn run(shared: Arc<Shared>, seen: watch::Receiver<Pod>, mut stop: Stop) {
    let pod = seen.borrow().clone();
    let api: Api<Pod> = Api::namespaced(shared.client.clone(), &pod.namespace().unwrap_or_default());
    let mut running = Vec::new();
    let mut network = None;
    let ended = tokio::select! {
        ended = live(&shared, seen, &api, &mut network, &mut running) => Some(ended),
        _ = stop.wait_for(Option::is_some) => None,
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => eprintln!("node: pod {}: {error:#}", folder_name(&pod)),
        None => {
            let grace = stop.borrow().unwrap_or_default();
            end(running, grace).await;
        }
    }
    // A pod that has ended by itself stays until somebody deletes it.
    if stop.wait_for(Option::is_some).await.is_ok() {
        let uid = Preconditions { uid: pod.uid(), ..Preconditions::default() };
        let now = DeleteParams { preconditions: Some(uid), ..DeleteParams::default().grace_period(0) };
        // The API server may be away for a moment, and nobody else takes the pod out.
        let gone = until("the pod is gone", async || match api.delete(&pod.name_any(), &now).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            deleted => Ok(deleted.map(drop)?),
        });
        if let Err(error) = gone.await {
            eprintln!("node: pod {}: {error:#}", folder_name(&pod));
        }
    }
    if let Some(network) = network
        && let Err(error) = shared.network.detach(&network).await
    {
        eprintln!("node: pod {}: {error:#}", folder_name(&pod));
    }
}

async fn live(
    shared: &Arc<Shared>,
    seen: watch::Receiver<Pod>,
    api: &Api<Pod>,
    network: &mut Option<Attachment>,
    running: &mut Vec<Supervised>,
) -> Result<()> {
    let pod = seen.borrow().clone();
    let instance = Arc::new(prepare(shared, &pod, api, network).await?);
    let restart = match instance.spec.restart_policy.as_deref() {
        Some("Never") => Restart::Never,
        Some("OnFailure") => Restart::OnFailure,
        _ => Restart::Always,
    };
    let phase = match initialize(&instance, restart, running).await {
        Err(_) => Phase::Failed,
        Ok(()) => {
            instance.report.initialized().await;
            let sidecars = running.len();
            for container in &instance.spec.containers {
                running.push(Supervised::start(instance.clone(), container.clone(), restart));
            }
            let applications = async {
                let mut failed = false;
                for container in &mut running[sidecars..] {
                    failed |= container.ended().await != 0;
                }
                if failed { Phase::Failed } else { Phase::Succeeded }
            };
            tokio::select! {
                phase = applications => phase,
                never = ephemeral::follow(&instance, seen) => match never {},
                never = volume::follow(&instance) => match never {},
            }
        }
    };
    end(std::mem::take(running), instance.grace()).await;
    instance.report.phase(phase).await;
    Ok(())
}

/// Init containers, one after the other; one that restarts always is a sidecar, and the next waits for its start only.
///
/// # Errors
/// The exit code of one that failed for good.
async fn initialize(instance: &Arc<Instance>, restart: Restart, running: &mut Vec<Supervised>) -> Result<(), i32> {
    for container in instance.spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            running.push(Supervised::start(instance.clone(), container.clone(), Restart::Always));
            if let Some(sidecar) = running.last_mut() {
                sidecar.started().await?;
            }
            continue;
        }
        let restart = if restart == Restart::Always { Restart::OnFailure } else { restart };
        running.push(Supervised::start(instance.clone(), container.clone(), restart));
        let code = match running.last_mut() {
            Some(init) => init.ended().await,
            None => 0,
        };
        running.pop();
        if code != 0 {
            return Err(code);
        }
    }
    Ok(())
}

/// Ends what runs: containers before the sidecars, these in reverse order.
async fn end(running: Vec<Supervised>, grace: Duration) {
    for container in running.into_iter().rev() {
        container.stop(grace).await;
    }
}

async fn prepare(
    shared: &Arc<Shared>,
    pod: &Pod,
    api: &Api<Pod>,
    network: &mut Option<Attachment>,
) -> Result<Instance> {
    let spec = pod.spec.clone().context("a pod without a spec")?;
    let folder = shared.settings.folder.join(folder_name(pod));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    if spec.host_network != Some(true) {
        *network = Some(shared.network.attach().await?);
    }
    let mut instance = Instance {
        shared: shared.clone(),
        report: Report::new(api.clone(), pod, HOST),
        pod: pod.clone(),
        folder,
        network: network.clone(),
        volumes: BTreeMap::new(),
        spec,
    };
    instance.report.address(instance.address()).await;
    fs::write(instance.folder.join("hosts"), instance.hosts()).context("hosts file")?;
    for volume in instance.spec.volumes.clone().unwrap_or_default() {
        let folder = instance.mount(&volume).await;
        instance.volumes.insert(volume.name, folder);
    }
    Ok(instance)
}

// === impl Instance ===

impl Instance {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.network.as_ref().map_or(HOST, |network| network.address)
    }

    pub(super) fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }

    /// How long containers may take to end.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(self.spec.termination_grace_period_seconds.unwrap_or(30).unsigned_abs())
    }

    pub(super) fn image(&self, container: &Container) -> Result<&Image> {
        let name = container.image.as_deref().unwrap_or_default();
        self.shared.settings.images.get(name).with_context(|| format!("image {name}: this node has no such image"))
    }

    pub(super) async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Data> {
        let api: Api<ConfigMap> = Api::namespaced(self.shared.client.clone(), &self.namespace());
        match api.get_opt(name).await? {
            Some(map) => {
                let text = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
                let binary = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
                Ok(text.chain(binary).collect())
            }
            None if optional == Some(true) => Ok(Data::new()),
            None => anyhow::bail!("configmap \"{name}\" not found"),
        }
    }

    pub(super) async fn secret(&self, name: &str, optional: Option<bool>) -> Result<Data> {
        let api: Api<Secret> = Api::namespaced(self.shared.client.clone(), &self.namespace());
        match api.get_opt(name).await? {
            Some(secret) => Ok(secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()),
            None if optional == Some(true) => Ok(Data::new()),
            None => anyhow::bail!("secret \"{name}\" not found"),
        }
    }

    /// Tried until it succeeds: a ConfigMap that is not there yet may come.
    async fn mount(&self, wanted: &k8s_openapi::api::core::v1::Volume) -> PathBuf {
        let mut said = String::new();
        loop {
            match volume::prepare(self, wanted).await {
                Ok(folder) => return folder,
                Err(error) => {
                    let error = format!("{error:#}");
                    if said != error {
                        for container in &self.spec.containers {
                            self.report.waiting(&container.name, "ContainerCreating", &error).await;
                        }
                        said = error;
                    }
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn hosts(&self) -> String {
        let mut hosts = format!("127.0.0.1 localhost\n{} {}\n", self.address(), self.pod.name_any());
        for (address, name) in &self.shared.settings.hosts {
            let _: std::fmt::Result = writeln!(hosts, "{address} {name}");
        }
        for alias in self.spec.host_aliases.iter().flatten() {
            for name in alias.hostnames.iter().flatten() {
                let _: std::fmt::Result = writeln!(hosts, "{} {name}", alias.ip);
            }
        }
        hosts
    }
}
