//! The chart, rendered and applied as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::entra::TENANT;
use crate::kubernetes::{Objects, apply};
use crate::wait::until;

/// The namespace of the release.
pub const NAMESPACE: &str = "podbadge-system";
/// The name of the webhook's Deployment, of its Service and of its configuration.
pub const WEBHOOK: &str = "podbadge-webhook";

/// The registry of the images that the node knows.
pub const REGISTRY: &str = "registry.example.com";

/// A rendered chart.
#[derive(Debug)]
pub(crate) struct Chart {
    objects: Vec<Value>,
}

/// Renders the chart for one cluster.
#[derive(Debug)]
pub(crate) struct Renderer {
    /// The program.
    pub(crate) helm: PathBuf,
    /// The version of Kubernetes.
    pub(crate) kubernetes: String,
    /// The URL of Entra ID.
    pub(crate) authority: String,
    /// Whether sidecars are to be native whatever the version.
    pub(crate) native_sidecar: bool,
}

impl Renderer {
    /// Renders the chart with the values that an operator would have to set, and with further ones, as `key=value`; a
    /// list or an object is JSON.
    pub(crate) fn render(&self, values: &[&str]) -> Result<Chart> {
        let Self { helm, kubernetes, authority, native_sidecar } = self;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/chart");
        let output = Command::new(helm)
            .args(["template", "podbadge"])
            .arg(chart)
            // Hooks are for Helm itself, which does not install here.
            .args(["--no-hooks", "--namespace", NAMESPACE, "--kube-version", kubernetes])
            .args([
                "--set-string",
                &format!("image.registry={REGISTRY},azureTenantID={TENANT},authorityHost={authority}"),
            ])
            .args(native_sidecar.then_some(["--set", "sidecar.native=always"]).into_iter().flatten())
            .args(values.iter().flat_map(|value| [if value.contains("=[") { "--set-json" } else { "--set" }, value]))
            .output()
            .with_context(|| format!("{} cannot be started", helm.display()))?;
        if !output.status.success() {
            bail!("helm template: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let objects = serde_norway::Deserializer::from_slice(&output.stdout)
            .map(Value::deserialize)
            .filter(|object| !matches!(object, Ok(Value::Null)))
            .collect::<Result<_, _>>()?;
        Ok(Chart { objects })
    }
}

impl Chart {
    /// All objects as one list, for kubectl.
    pub(crate) fn manifests(&self) -> String {
        json!({"apiVersion": "v1", "kind": "List", "items": self.objects}).to_string()
    }

    /// The objects of one kind.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
    }

    /// The images of the webhook and of the sidecar, as the Deployment names them.
    pub(crate) fn images(&self) -> Result<(String, String)> {
        let deployment = self.objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let mut variables = container["env"].as_array().into_iter().flatten();
        let sidecar = variables.find(|variable| variable["name"] == "PODBADGE_SIDECAR_IMAGE");
        let sidecar = sidecar.and_then(|variable| variable["value"].as_str());
        let webhook = container["image"].as_str().context("the webhook's container has no image")?;
        Ok((webhook.to_owned(), sidecar.context("the Deployment names no sidecar image")?.to_owned()))
    }

    /// Applies every object and waits until the webhook works.
    pub(crate) async fn install(&self, client: &kube::Client) -> Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        for object in std::iter::once(&namespace).chain(&self.objects) {
            apply(client, object)
                .await
                .with_context(|| format!("apply {} {}", object["kind"], object["metadata"]["name"]))?;
        }
        ready(client).await
    }

    /// Removes every object, those first by which anybody is asked, and waits for the end of the pods.
    pub(crate) async fn remove(&self, client: &kube::Client) -> Result<()> {
        let (first, rest): (Vec<_>, Vec<_>) = self
            .objects
            .iter()
            .cloned()
            .partition(|object| object["kind"].as_str().is_some_and(|kind| kind.ends_with("WebhookConfiguration")));
        for objects in [first, rest] {
            Self { objects }.remove_beyond(&Self { objects: Vec::new() }, client).await?;
        }
        pods_are_gone(client).await
    }

    /// Removes every object that `other` lacks.
    pub(crate) async fn remove_beyond(&self, other: &Self, client: &kube::Client) -> Result<()> {
        let key = |object: &Value| (object["kind"].clone(), object["metadata"]["name"].clone());
        for object in &self.objects {
            if other.objects.iter().any(|kept| key(kept) == key(object)) {
                continue;
            }
            let text = |value: &Value| value.as_str().map(str::to_owned).context("an object without kind or name");
            let (version, kind) = (text(&object["apiVersion"])?, text(&object["kind"])?);
            let objects = Objects::of(client, &version, &kind, NAMESPACE).await?;
            match objects.delete(&text(&object["metadata"]["name"])?).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                deleted => deleted?,
            }
        }
        Ok(())
    }
}

/// Scales the webhook's Deployment and waits until that many replicas are there, ready, and no other.
///
/// # Errors
/// It takes too long.
pub async fn scale(client: &kube::Client, replicas: u32) -> Result<()> {
    let deployments = Objects::of(client, "apps/v1", "Deployment", NAMESPACE).await?;
    deployments.merge(WEBHOOK, &json!({"spec": {"replicas": replicas}})).await?;
    if replicas > 0 {
        return ready(client).await;
    }
    let slices = Objects::of(client, "discovery.k8s.io/v1", "EndpointSlice", NAMESPACE).await?;
    until("the webhook's endpoints are gone", || async {
        let slices = slices.list().await?;
        let left = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten().count();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await?;
    pods_are_gone(client).await
}

async fn pods_are_gone(client: &kube::Client) -> Result<()> {
    let pods = Objects::of(client, "v1", "Pod", NAMESPACE).await?;
    until("the webhook's pods are gone", || async {
        let left = pods.list().await?.len();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}

/// Replaces all replicas, one after the other, as `kubectl rollout restart` does; waits until that is done.
///
/// # Errors
/// It takes too long.
pub async fn restart(client: &kube::Client) -> Result<()> {
    let deployments = Objects::of(client, "apps/v1", "Deployment", NAMESPACE).await?;
    let annotation = json!({"kubectl.kubernetes.io/restartedAt": k8s_openapi::jiff::Timestamp::now().to_string()});
    let template = json!({"spec": {"template": {"metadata": {"annotations": annotation}}}});
    deployments.merge(WEBHOOK, &template).await?;
    ready(client).await
}

/// Waits until all replicas are ready and both entries answer through the Service.
async fn ready(client: &kube::Client) -> Result<()> {
    let deployments = Objects::of(client, "apps/v1", "Deployment", NAMESPACE).await?;
    until("the webhook's replicas are ready", || async {
        let Value::Object(deployment) = deployments.get(WEBHOOK).await? else { bail!("no object") };
        let (spec, status) = (&deployment["spec"], deployment.get("status").unwrap_or(&Value::Null));
        ensure!(status["observedGeneration"] == deployment["metadata"]["generation"], "{status}");
        // All of them, all of this template, and no older one beside.
        for count in ["availableReplicas", "updatedReplicas", "replicas"] {
            ensure!(status[count] == spec["replicas"], "{status}");
        }
        Ok(())
    })
    .await?;
    // The API server follows configurations and endpoints with a little delay; a pod that both entries' rules would
    // deny shows that it has.
    let pods = Objects::of(client, "v1", "Pod", "default").await?;
    until("the API server asks the webhook", || async {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "asks",
                "labels": {"azure.workload.identity/use": "true"},
                "annotations": {"azure.workload.identity/service-account-token-expiration": "1"},
            },
            "spec": {"containers": [{"name": "app", "image": "none"}]},
        });
        match pods.dry_run(&pod).await {
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => Ok(()),
            answer => bail!("the pod was not denied: {answer:?}"),
        }
    })
    .await
}
