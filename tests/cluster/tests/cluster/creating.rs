//! Somebody who creates labelled pods without a pause, as far as admission goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::pods::{USE, container, shell, variable};

/// What must hold of each pod that is admitted.
type Check = fn(&Value) -> Result<()>;

/// At work until told to end, or until one pod is refused or is not as it should be.
pub(crate) struct Creating {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<u32>>,
}

// === impl Creating ===

impl Creating {
    /// The namespace has an annotated [`ACCOUNT`].
    pub(crate) async fn start(scope: &Scope, check: Check) -> Result<Self> {
        let pods = Objects::of(&scope.cluster.client, "v1", "Pod", &scope.namespace).await?;
        let pod = labelled();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut created = 0;
            while !stopped.load(Ordering::Relaxed) {
                let stored = pods.dry_run(&pod).await.with_context(|| format!("after {created} pods"))?;
                check(&stored).with_context(|| format!("after {created} pods"))?;
                created += 1;
            }
            Ok(created)
        });
        Ok(Self { stop, task })
    }

    /// How many were created; all were admitted, and as they should be.
    pub(crate) async fn end(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

pub(crate) fn labelled() -> Value {
    let mut pod = shell("labelled", "true");
    pod["metadata"]["labels"] = json!({USE: "true"});
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod
}

/// Whatever injected it: each variable once, and a token of the right audience where the variable says.
pub(crate) fn has_identity(pod: &Value) -> Result<()> {
    let app = container(pod, "app").context("app")?;
    for expected in ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE"] {
        let all = app["env"].as_array().into_iter().flatten().filter(|variable| variable["name"] == expected);
        ensure!(all.count() == 1, "{expected}: {:#}", app["env"]);
    }
    ensure!(variable(app, "AZURE_CLIENT_ID").context("client id")?["value"] == CLIENT, "{:#}", app["env"]);
    let file = variable(app, "AZURE_FEDERATED_TOKEN_FILE").and_then(|variable| variable["value"].as_str());
    let file = file.context("no path")?;
    let there = list(&app["volumeMounts"]).any(|mount| {
        let path = mount["mountPath"].as_str().and_then(|path| file.strip_prefix(path)?.strip_prefix('/'));
        let volume = list(&pod["spec"]["volumes"]).find(|volume| volume["name"] == mount["name"]);
        let mut sources = volume.into_iter().flat_map(|volume| list(&volume["projected"]["sources"]));
        sources.any(|source| {
            let token = &source["serviceAccountToken"];
            token["audience"] == "api://AzureADTokenExchange" && token["path"].as_str() == path
        })
    });
    ensure!(there, "no token at {file}: {:#} {:#}", app["volumeMounts"], pod["spec"]["volumes"]);
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
