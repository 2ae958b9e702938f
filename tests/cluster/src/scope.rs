//! What one test works with: the cluster and a namespace of its own.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubernetes::Objects;
use crate::wait::until;

/// A test's namespace in the cluster.
#[derive(Clone)]
pub struct Scope {
    /// Shared with the other tests.
    pub cluster: Arc<Cluster>,
    /// This test's alone.
    pub namespace: String,
}

impl Scope {
    /// Makes the namespace.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn open(cluster: Arc<Cluster>, namespace: String) -> Result<Self> {
        let scope = Self { cluster, namespace };
        scope.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scope.namespace}})).await?;
        // Pods are refused before their service account is there.
        let accounts = scope.objects("v1", "ServiceAccount").await?;
        until("the namespace's service account", || async { Ok(accounts.get("default").await?) }).await?;
        Ok(scope)
    }

    /// Lets the namespace go, without waiting.
    pub async fn close(&self) {
        if let Ok(namespaces) = self.objects("v1", "Namespace").await {
            let _: kube::Result<()> = namespaces.delete(&self.namespace).await;
        }
    }

    /// Labels and annotates the namespace.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn mark(&self, labels: &Value, annotations: &Value) -> Result<()> {
        let metadata = json!({"metadata": {"labels": labels, "annotations": annotations}});
        self.objects("v1", "Namespace").await?.merge(&self.namespace, &metadata).await?;
        Ok(())
    }

    /// Objects of a kind, in the namespace if the kind has them.
    ///
    /// # Errors
    /// There is no such kind.
    pub async fn objects(&self, version: &str, kind: &str) -> Result<Objects> {
        Objects::of(&self.cluster.client, version, kind, &self.namespace).await
    }

    /// Creates an object; returns it as stored.
    ///
    /// # Errors
    /// As the API server says it; a [`kube::Error`].
    pub async fn create(&self, object: &Value) -> Result<Value> {
        let text = |field: &str| object[field].as_str().with_context(|| format!("an object without {field}"));
        Ok(self.objects(text("apiVersion")?, text("kind")?).await?.create(object).await?)
    }

    /// The pods of the namespace.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// What a container has written.
    #[must_use]
    pub fn log(&self, pod: &Pod, container: &str) -> String {
        self.cluster.node.log(pod, container)
    }

    /// Waits until a pod has succeeded; returns it.
    ///
    /// # Errors
    /// It failed, or it takes too long; with all that is known of it.
    pub async fn succeeds(&self, name: &str) -> Result<Pod> {
        let pod = self.ends(name).await?;
        if phase(&pod) == "Failed" {
            bail!("pod {name} failed:\n{}", self.describe(&pod));
        }
        Ok(pod)
    }

    /// Waits until a pod has ended, well or not; returns it.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn ends(&self, name: &str) -> Result<Pod> {
        let pods = self.pods();
        until(&format!("pod {name} ends"), || async {
            let pod = pods.get(name).await?;
            if !["Succeeded", "Failed"].contains(&phase(&pod)) {
                bail!("{}", self.describe(&pod));
            }
            Ok(pod)
        })
        .await
    }

    /// All pods of the namespace, with their containers' states and the ends of their logs.
    pub async fn describe_all(&self) -> String {
        match self.pods().list(&kube::api::ListParams::default()).await {
            Ok(pods) => pods.iter().map(|pod| self.describe(pod)).collect(),
            Err(error) => error.to_string(),
        }
    }

    fn describe(&self, pod: &Pod) -> String {
        let mut text = format!("pod {} is {}\n", pod.name_any(), phase(pod));
        let status = pod.status.clone().unwrap_or_default();
        let init = status.init_container_statuses.unwrap_or_default();
        for container in init.iter().chain(&status.container_statuses.unwrap_or_default()) {
            let state = container.state.as_ref().map(state).unwrap_or_default();
            let _: std::fmt::Result = writeln!(text, "  container {}: {state}", container.name);
            let log = self.log(pod, &container.name);
            let lines: Vec<&str> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(25)..] {
                let _: std::fmt::Result = writeln!(text, "    {line}");
            }
        }
        text
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn state(state: &ContainerState) -> String {
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        format!("waiting, {reason} {}", waiting.message.as_deref().unwrap_or_default())
    } else if let Some(ended) = &state.terminated {
        format!("ended with {}", ended.exit_code)
    } else {
        "running".to_owned()
    }
}
