//! Pods that were left behind: reported, replaced, or refused in the first place.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::install::{NAMESPACE, scale};
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, USE, container, identity, shell, variable};

const OTHER: &str = "44444444-4444-4444-8444-444444444444";

/// How long after the webhook is back its event may take.
const SOON: Duration = Duration::from_secs(30);

/// A pod that was admitted while nobody answered gets an event soon after the webhook is back, and is counted; one whose
/// identity changes gets another.
pub(super) async fn pods_left_behind_are_reported(scope: Scope) -> Result<()> {
    let values = ["healInterval=5"];
    scope.cluster.upgrade(&values).await?;
    let outcome = reported(&scope).await;
    scope.cluster.restore(&values).await?;
    outcome
}

async fn reported(scope: &Scope) -> Result<()> {
    let missed = missed_pod(scope).await?;
    let back = Instant::now();
    let note = event(scope, &missed, "IdentityMissing").await?;
    ensure!(back.elapsed() < SOON, "after {:?}", back.elapsed());
    ensure!(note.contains("restart what owns it"), "{note}");
    counted("podbadge_webhook_missed_pods", scope, |count| count == 1).await?;

    // Its replacement is injected, and then stale.
    scope.pods().delete(&missed.name_any(), &kube::api::DeleteParams::default()).await?;
    let pod = running(scope, &missed).await?;
    counted("podbadge_webhook_missed_pods", scope, |count| count == 0).await?;
    let accounts = scope.objects("v1", "ServiceAccount").await?;
    accounts.merge(ACCOUNT, &json!({"metadata": {"annotations": {CLIENT_ID: OTHER}}})).await?;
    let note = event(scope, &pod, "IdentityOutdated").await?;
    ensure!(note.contains(&format!("AZURE_CLIENT_ID of this pod is {CLIENT}, and would be {OTHER} now")), "{note}");
    counted("podbadge_webhook_stale_pods", scope, |count| count == 1).await?;
    let still = scope.pods().get(&pod.name_any()).await?;
    ensure!(still.metadata.uid == pod.metadata.uid, "it only reports");
    Ok(())
}

/// On request it is replaced by one with its identity, as soon as its disruption budget allows that.
pub(super) async fn pods_left_behind_are_replaced(scope: Scope) -> Result<()> {
    let values = ["heal=evict", "healInterval=5"];
    scope.cluster.upgrade(&values).await?;
    let outcome = replaced(&scope).await;
    scope.cluster.restore(&values).await?;
    outcome
}

async fn replaced(scope: &Scope) -> Result<()> {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "orders"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "orders"}}},
    });
    scope.create(&budget).await?;
    let missed = missed_pod(scope).await?;
    counted("podbadge_webhook_heal_evictions_total{outcome=\"budget\"}", scope, |count| count > 0).await?;
    let still = scope.pods().get(&missed.name_any()).await?;
    ensure!(still.metadata.uid == missed.metadata.uid && still.metadata.deletion_timestamp.is_none(), "evicted");

    scope.objects("policy/v1", "PodDisruptionBudget").await?.delete("orders").await?;
    running(scope, &missed).await?;
    event(scope, &missed, "EvictedForIdentity").await?;
    counted("podbadge_webhook_missed_pods", scope, |count| count == 0).await?;
    counted("podbadge_webhook_heal_evictions_total{outcome=\"evicted\"}", scope, |count| count == 1).await
}

/// With the chart's policy a labelled pod without its token does not come in, though the webhook is away and may be gone
/// around.
pub(super) async fn a_labelled_pod_without_its_token_is_refused(scope: Scope) -> Result<()> {
    let values = ["validatingAdmissionPolicy.enabled=true", "mutatingWebhookFailurePolicy=Ignore"];
    scope.cluster.upgrade(&values).await?;
    let outcome = refused(&scope).await;
    scope.cluster.restore(&values).await?;
    outcome
}

async fn refused(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let pods = scope.objects("v1", "Pod").await?;
    let pod = |name: &str, labels: Value, annotations: Value| {
        let mut pod = shell(name, "true");
        pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
        pod["metadata"]["labels"] = labels;
        pod["metadata"]["annotations"] = annotations;
        pod
    };
    scale(&scope.cluster.client, 0).await?;
    let labelled = pod("labelled", json!({USE: "true"}), json!({}));
    let refusal = until("the policy works", || async {
        match pods.dry_run(&labelled).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(status.message),
            answer => bail!("{answer:?}"),
        }
    })
    .await?;
    ensure!(refusal.contains("this pod has neither the volume azure-identity-token nor the sidecar"), "{refusal}");
    for admitted in [
        pod("unlabelled", json!({}), json!({})),
        pod("skipped", json!({USE: "true"}), json!({"azure.workload.identity/skip-containers": " app; other"})),
        pod("included", json!({USE: "true"}), json!({"podbadge.io/include-containers": "web*"})),
    ] {
        pods.dry_run(&admitted).await.with_context(|| admitted["metadata"]["name"].to_string())?;
    }
    for refused in [
        pod("misspelt", json!({USE: "true"}), json!({"azure.workload.identity/skip-containers": "ap"})),
        pod("included", json!({USE: "true"}), json!({"podbadge.io/include-containers": "a*"})),
    ] {
        ensure!(pods.dry_run(&refused).await.is_err(), "{refused}");
    }

    scale(&scope.cluster.client, 2).await?;
    let created = until("the webhook is asked again", || async { Ok(pods.create(&labelled).await?) }).await?;
    let app = container(&created, "app").context("app")?;
    ensure!(variable(app, "AZURE_CLIENT_ID").is_some(), "{created:#}");
    // Pods that are there already may change.
    pods.merge("labelled", &json!({"metadata": {"annotations": {"touched": "yes"}}})).await.map(drop)?;
    let mut sidecar = labelled.clone();
    sidecar["metadata"]["name"] = json!("sidecar");
    sidecar["metadata"]["annotations"] = json!({"podbadge.io/sidecar": "endpoint"});
    pods.create(&sidecar).await.map(drop)?;
    Ok(())
}

/// A Deployment's pod, created while the webhook is away.
async fn missed_pod(scope: &Scope) -> Result<Pod> {
    scope.create(&identity()).await?;
    scale(&scope.cluster.client, 0).await?;
    let created = deploy(scope).await;
    scale(&scope.cluster.client, 2).await?;
    created
}

async fn deploy(scope: &Scope) -> Result<Pod> {
    let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    scope
        .create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
            "spec": {
                "selector": {"matchLabels": {"app": "orders"}},
                "template": {
                    "metadata": {"labels": {"app": "orders"}},
                    "spec": {
                        "serviceAccountName": ACCOUNT,
                        "containers": [{"name": "app", "image": SHELL, "command": ["sh", "-c", script]}],
                    },
                },
            },
        }))
        .await?;
    until("the Deployment's pod runs without identity", || async {
        let pod = only_pod(scope).await?;
        ensure!(is_ready(&pod) && client_id(&pod).is_none(), "{}", pod.name_any());
        Ok(pod)
    })
    .await
}

/// Waits for a pod with the identity in place of another one.
async fn running(scope: &Scope, before: &Pod) -> Result<Pod> {
    until("the replacement runs with its identity", || async {
        let pod = only_pod(scope).await?;
        ensure!(pod.metadata.uid != before.metadata.uid, "it is the same");
        ensure!(is_ready(&pod) && client_id(&pod).as_deref() == Some(CLIENT), "{:?}", client_id(&pod));
        Ok(pod)
    })
    .await
}

async fn only_pod(scope: &Scope) -> Result<Pod> {
    let mut pods = scope.pods().list(&ListParams::default()).await?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    ensure!(pods.len() == 1, "{} pods", pods.len());
    pods.pop().context("no pod")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn client_id(pod: &Pod) -> Option<String> {
    let container = pod.spec.as_ref()?.containers.first()?;
    container.env.iter().flatten().find(|variable| variable.name == "AZURE_CLIENT_ID")?.value.clone()
}

/// Waits for an event about the pod; its text.
async fn event(scope: &Scope, pod: &Pod, reason: &str) -> Result<String> {
    let events = scope.objects("events.k8s.io/v1", "Event").await?;
    until(&format!("event {reason}"), || async {
        let events = events.list().await?;
        let about: Vec<_> =
            events.iter().filter(|event| event["regarding"]["uid"].as_str() == pod.metadata.uid.as_deref()).collect();
        let found = about.iter().find(|event| event["reason"] == reason);
        let note = found.with_context(|| format!("{about:?}"))?["note"].as_str();
        Ok(note.context("an event without a note")?.to_owned())
    })
    .await
}

/// Waits until the sum of a metric over all replicas is right.
async fn counted(sample: &str, scope: &Scope, right: impl Fn(u64) -> bool) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), NAMESPACE);
    until(sample, || async {
        let mut sum = 0;
        for pod in pods.list(&ListParams::default()).await? {
            let address = pod.status.and_then(|status| status.pod_ip).context("a replica without address")?;
            let metrics = reqwest::get(format!("http://{address}:8095/metrics")).await?.text().await?;
            let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
            sum += value.with_context(|| format!("{sample} is not there"))?.parse::<u64>()?;
        }
        ensure!(right(sum), "it is {sum}");
        Ok(())
    })
    .await
}
