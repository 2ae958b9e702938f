//! The webhook away, and the webhook in trouble.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::install::{NAMESPACE, scale};
use podbadge_cluster_tests::network::CutOff;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::json;

use crate::pods::{USE, container, identity, shell, variable};

/// A labelled pod asked for its identity and is refused; an annotated account's is admitted as it is.
pub(super) async fn the_webhook_is_away(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    scale(&scope.cluster.client, 0).await?;
    let outcome = while_away(&scope).await;
    scale(&scope.cluster.client, 2).await?;
    outcome?;

    // Back again, it serves as before.
    let mut pod = shell("back", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    let created = scope.create(&pod).await?;
    assert!(variable(container(&created, "app").context("app")?, "AZURE_CLIENT_ID").is_some(), "{created:#}");
    Ok(())
}

async fn while_away(scope: &Scope) -> Result<()> {
    let pods = scope.objects("v1", "Pod").await?;
    let mut pod = shell("labelled", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["metadata"]["labels"] = json!({USE: "true"});
    let Err(kube::Error::Api(status)) = pods.create(&pod).await else { bail!("the labelled pod was admitted") };
    ensure!(status.message.contains("failed calling webhook \"labelled.podbadge.io\""), "{}", status.message);

    let mut pod = shell("annotated", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    let created = pods.create(&pod).await?;
    let app = container(&created, "app").context("app")?;
    ensure!(app["env"].is_null(), "{app:#}");
    scope.succeeds("annotated").await.map(drop)
}

/// The webhook cannot look the service account up and says so with a 503 and a time to wait. The API server asks again
/// by itself, and nobody notices.
pub(super) async fn the_webhook_fails_for_a_second(scope: Scope) -> Result<()> {
    let webhooks: Vec<Ipv4Addr> = addresses(&scope).await?;
    let before = failures(&webhooks).await?;
    let mut cuts = Vec::new();
    for &address in &webhooks {
        cuts.push(CutOff::from_api_server(address).await?);
    }
    // New, so that nobody has heard of it.
    scope.create(&identity()).await?;
    let mut pod = shell("retried", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["metadata"]["labels"] = json!({USE: "true"});
    let creation = tokio::spawn({
        let scope = scope.clone();
        async move { scope.create(&pod).await }
    });
    until("the webhook has failed", || async {
        ensure!(!creation.is_finished(), "the pod's creation has ended before");
        ensure!(failures(&webhooks).await? > before, "no failure is counted");
        Ok(())
    })
    .await?;
    drop(cuts);

    let created = creation.await??;
    let app = container(&created, "app").context("app")?;
    assert_eq!(variable(app, "AZURE_CLIENT_ID").context("injected")?["value"], CLIENT);
    Ok(())
}

/// Where the webhook's two replicas are, once none of a test before is about to end.
pub(crate) async fn addresses(scope: &Scope) -> Result<Vec<Ipv4Addr>> {
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), NAMESPACE);
    until("two replicas", async || {
        let pods = pods.list(&ListParams::default()).await?;
        let addresses: Vec<Ipv4Addr> =
            pods.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()).collect();
        ensure!(addresses.len() == 2, "{addresses:?}");
        Ok(addresses)
    })
    .await
}

/// What each replica counts.
pub(crate) async fn metrics(webhooks: &[Ipv4Addr]) -> Result<Vec<String>> {
    let read = async |address| reqwest::get(format!("http://{address}:8095/metrics")).await?.text().await;
    let mut metrics = Vec::new();
    for address in webhooks {
        metrics.push(read(address).await?);
    }
    Ok(metrics)
}

/// How many admissions the replicas have failed to answer so far.
async fn failures(webhooks: &[Ipv4Addr]) -> Result<u64> {
    let mut failures = 0;
    for metrics in metrics(webhooks).await? {
        let samples = metrics.lines().filter(|line| line.contains("admissions") && line.contains("outcome=\"fail\""));
        for sample in samples {
            failures += sample.rsplit(' ').next().context("a sample without a value")?.parse::<u64>()?;
        }
    }
    Ok(failures)
}
