//! The chart, rendered and applied as it is.

use std::path::Path;
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

/// A rendered chart.
#[derive(Debug)]
pub(crate) struct Chart {
    objects: Vec<Value>,
}

impl Chart {
    /// Renders the chart with the values that an operator would have to set.
    pub(crate) fn render(helm: &Path, kubernetes: &str, authority: &str) -> Result<Self> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/chart");
        let output = Command::new(helm)
            .args(["template", "podbadge"])
            .arg(chart)
            .args(["--namespace", NAMESPACE, "--kube-version", kubernetes])
            .args(["--set-string", &format!("azureTenantID={TENANT},authorityHost={authority}")])
            .output()
            .with_context(|| format!("{} cannot be started", helm.display()))?;
        if !output.status.success() {
            bail!("helm template: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let objects = serde_norway::Deserializer::from_slice(&output.stdout)
            .map(Value::deserialize)
            .filter(|object| !matches!(object, Ok(Value::Null)))
            .collect::<Result<_, _>>()?;
        Ok(Self { objects })
    }

    /// The images of the webhook and of the sidecar, as the Deployment names them.
    pub(crate) fn images(&self) -> Result<(String, String)> {
        let deployment = self.objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let mut arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let sidecar = arguments.find_map(|argument| argument.strip_prefix("--sidecar-image="));
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
    let pods = Objects::of(client, "v1", "Pod", NAMESPACE).await?;
    until("the webhook's pods are gone", || async {
        let left = pods.list().await?.len();
        ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}

/// Waits until all replicas are ready and both entries answer through the Service.
async fn ready(client: &kube::Client) -> Result<()> {
    let deployments = Objects::of(client, "apps/v1", "Deployment", NAMESPACE).await?;
    until("the webhook's replicas are ready", || async {
        let Value::Object(deployment) = deployments.get(WEBHOOK).await? else { bail!("no object") };
        let (spec, status) = (&deployment["spec"], deployment.get("status").unwrap_or(&Value::Null));
        ensure!(status["availableReplicas"] == spec["replicas"], "{status}");
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
