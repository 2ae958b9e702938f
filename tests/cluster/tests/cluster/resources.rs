//! Requests and limits of injected containers, as the API server's own LimitRanger, ResourceQuota and QoS judge them.

use anyhow::{Context, Result, bail, ensure};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, account, container, shell};

const SIDECAR: &str = "podbadge.io/sidecar";
const RESOURCES: &str = "podbadge.io/sidecar-resources";

/// What the chart's values give the sidecar.
fn default() -> Value {
    json!({"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"cpu": "500m", "memory": "32Mi"}})
}

/// The application's, in no pod's way.
fn modest() -> Value {
    json!({"requests": {"cpu": "50m", "memory": "20Mi"}, "limits": {"cpu": "60m", "memory": "20Mi"}})
}

/// A pod behind both containers that can be injected; it is admitted, and never runs.
fn pod(name: &str, resources: &Value) -> Value {
    let mut pod = shell(name, "true");
    pod["metadata"]["annotations"] = json!({SIDECAR: "redirect"});
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    pod["spec"]["containers"][0]["resources"] = resources.clone();
    pod
}

fn annotated(name: &str, resources: &str) -> Value {
    let mut pod = pod(name, &modest());
    pod["metadata"]["annotations"][RESOURCES] = json!(resources);
    pod
}

async fn sidecar_account(scope: &Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, SIDECAR: "endpoint"}))).await.map(drop)
}

/// What was injected has; both containers must have the same.
fn injected(pod: &Value) -> Result<&Value> {
    let resources = |name| container(pod, name).map(|container| &container["resources"]);
    let sidecar = resources(contract::CONTAINER_NAME).context("the sidecar")?;
    let redirect = resources(contract::REDIRECT_CONTAINER_NAME).context("the redirection")?;
    ensure!(sidecar == redirect, "the sidecar has {sidecar}, the redirection {redirect}");
    Ok(sidecar)
}

async fn created(scope: &Scope, pod: &Value) -> Result<Value> {
    injected(&scope.create(pod).await?).cloned()
}

async fn refusal(scope: &Scope, pod: &Value) -> Result<String> {
    match scope.objects("v1", "Pod").await?.create(pod).await {
        Err(kube::Error::Api(status)) => Ok(status.message),
        answer => bail!("not refused: {answer:?}"),
    }
}

/// Each bound alone and all together, on a LimitRange that was not there a moment before.
pub(super) async fn a_limit_range_is_kept_to(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    assert_eq!(created(&scope, &pod("before", &modest())).await?, default());
    // Each LimitRange with what it makes of the default, and with what the API server says to the default.
    let min = (json!({"cpu": "20m", "memory": "12Mi"}), "minimum cpu usage per Container is 20m, but request is 5m");
    let max =
        (json!({"cpu": "100m", "memory": "24Mi"}), "maximum memory usage per Container is 24Mi, but limit is 32Mi");
    let ratio = (json!({"cpu": "4", "memory": "2"}), "cpu max limit to request ratio per Container is 4");
    let cases = [
        (json!({"min": min.0}), min.1, min.0.clone(), default()["limits"].clone()),
        (json!({"max": max.0}), max.1, default()["requests"].clone(), max.0.clone()),
        // Memory is not lowered for a ratio's sake, processor is, to what the sidecar is fine with.
        (
            json!({"maxLimitRequestRatio": ratio.0}),
            ratio.1,
            json!({"cpu": "13m", "memory": "16Mi"}),
            json!({"cpu": "50m", "memory": "32Mi"}),
        ),
        (
            json!({"min": min.0, "max": max.0, "maxLimitRequestRatio": ratio.0}),
            min.1,
            min.0.clone(),
            json!({"cpu": "80m", "memory": "24Mi"}),
        ),
    ];
    let (ranges, pods) = (scope.objects("v1", "LimitRange").await?, scope.objects("v1", "Pod").await?);
    for (number, (mut limits, why, requests, most)) in cases.into_iter().enumerate() {
        let name = format!("range-{number}");
        limits["type"] = json!("Container");
        scope
            .create(&json!({
                "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name}, "spec": {"limits": [limits]},
            }))
            .await?;
        let pod = pod(&name, &modest());
        let expected = json!({"requests": requests, "limits": most});
        until(&format!("{limits} is seen"), || async {
            let admitted = pods.dry_run(&pod).await?;
            let resources = injected(&admitted)?;
            ensure!(*resources == expected, "{resources}");
            Ok(())
        })
        .await?;
        assert_eq!(created(&scope, &pod).await?, expected);
        // The range is in force, and an annotation is its author's own word.
        let refused = refusal(&scope, &annotated("refused", &default().to_string())).await?;
        assert!(refused.contains(why), "{refused}");
        ranges.delete(&name).await?;
    }
    Ok(())
}

/// Where a quota counts processor and memory, a container that names no amount is refused, and injected ones name theirs.
pub(super) async fn a_quota_admits_the_pod(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    let hard = json!({"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "10", "limits.memory": "1Gi"});
    scope
        .create(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": hard},
        }))
        .await?;
    let quotas = scope.objects("v1", "ResourceQuota").await?;
    until("the quota is in force", || async {
        let status = &quotas.get("quota").await?["status"];
        ensure!(status["hard"] == hard, "{status}");
        Ok(())
    })
    .await?;
    let refused = refusal(&scope, &annotated("refused", "{}")).await?;
    let bare =
        format!("must specify limits.cpu for: {},{}", contract::REDIRECT_CONTAINER_NAME, contract::CONTAINER_NAME);
    assert!(refused.contains("failed quota: quota") && refused.contains(&bare), "{refused}");

    assert_eq!(created(&scope, &pod("admitted", &modest())).await?, default());
    // And counts them: of containers that run one after the other the most, of sidecars the sum.
    let used = until("the pod is counted", || async {
        let used = quotas.get("quota").await?["status"]["used"].clone();
        ensure!(used["requests.cpu"] != "0", "{used}");
        Ok(used)
    })
    .await?;
    assert_eq!(used["requests.cpu"], "55m");
    Ok(())
}

/// With every kind of injection; a pod that was Burstable or without any stays what it was, too.
pub(super) async fn a_pod_keeps_its_class(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    let exact = json!({"limits": {"cpu": "100m", "memory": "64Mi"}});
    for (class, resources) in [("Guaranteed", &exact), ("Burstable", &modest())] {
        for mode in ["none", "endpoint", "redirect"] {
            let mut pod = pod(&format!("{mode}-{}", class.to_lowercase()), resources);
            pod["metadata"]["annotations"][SIDECAR] = json!(mode);
            let created = scope.create(&pod).await?;
            let sidecar = container(&created, contract::CONTAINER_NAME);
            assert_eq!(sidecar.is_some(), mode != "none", "{created:#}");
            assert_eq!(created["status"]["qosClass"], class, "{mode}: {created:#}");
            if let Some(sidecar) = sidecar.filter(|_| class == "Guaranteed") {
                // No more than it needs is set aside in every such pod.
                let same = json!({"cpu": "50m", "memory": "32Mi"});
                assert_eq!(sidecar["resources"], json!({"requests": same, "limits": same}));
            }
        }
    }
    // The same pod is none any more with what a sidecar has elsewhere.
    let mut burst = pod("burst", &exact);
    burst["metadata"]["annotations"][RESOURCES] = json!(default().to_string());
    assert_eq!(scope.create(&burst).await?["status"]["qosClass"], "Burstable");
    Ok(())
}

/// What the pod has as a whole is for all its containers, and its class follows from that alone.
pub(super) async fn resources_of_the_pod_are_shared(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    for (name, class, resources) in [
        ("guaranteed", "Guaranteed", json!({"limits": {"cpu": "1", "memory": "128Mi"}})),
        ("burstable", "Burstable", json!({"requests": {"cpu": "100m"}, "limits": {"memory": "128Mi"}})),
    ] {
        let mut pod = pod(name, &json!({}));
        pod["spec"]["resources"] = resources.clone();
        let created = scope.create(&pod).await?;
        assert_eq!(created["spec"]["resources"]["limits"], resources["limits"], "pod-level resources are pruned");
        assert_eq!(injected(&created)?, &json!({}));
        assert_eq!(created["status"]["qosClass"], class, "{created:#}");
    }
    Ok(())
}

/// The pod's word counts over everybody's, also where the pod has resources as a whole; a wrong one is its author's mistake.
pub(super) async fn an_annotation_wins(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    let own = json!({"requests": {"cpu": "7m"}, "limits": {"cpu": "70m", "memory": "40Mi"}});
    // A limit alone is the request, too: the API server fills that in, before or after.
    let stored = json!({"requests": {"cpu": "7m", "memory": "40Mi"}, "limits": {"cpu": "70m", "memory": "40Mi"}});
    assert_eq!(created(&scope, &annotated("own", &own.to_string())).await?, stored);
    let mut whole = annotated("whole", &own.to_string());
    whole["spec"]["resources"] = json!({"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1"}});
    assert_eq!(created(&scope, &whole).await?, stored);
    assert_eq!(created(&scope, &annotated("none", "{}")).await?, json!({}));

    for (wrong, why) in [
        ("2Gi", "invalid type: integer `2`, expected a map"),
        (r#"{"limits":{"memory":"32MB"}}"#, "an amount is not negative and has at most 9 decimal places"),
        (r#"{"request":{"cpu":"5m"}}"#, "\"request\" is neither of requests and limits"),
        (r#"{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#, "the request of cpu is above its limit"),
    ] {
        let refused = refusal(&scope, &annotated("wrong", wrong)).await?;
        for part in [&format!("denied the request: pod annotation {RESOURCES} is"), why, "such as {\"requests\":"] {
            assert!(refused.contains(part), "{part} is not in: {refused}");
        }
    }
    Ok(())
}

/// The chart's values, over the sidecar's own ones.
pub(super) async fn the_operator_sets_them(scope: Scope) -> Result<()> {
    sidecar_account(&scope).await?;
    let more = ["sidecar.resources.requests.cpu=20m", "sidecar.resources.limits.memory=48Mi"];
    let expected = json!({"requests": {"cpu": "20m", "memory": "8Mi"}, "limits": {"cpu": "500m", "memory": "48Mi"}});
    for (name, values, expected) in [("more", &more[..], expected), ("none", &["sidecar.resources=null"], json!({}))] {
        scope.cluster.upgrade(values).await?;
        // Replicas that are on their way out answer for a moment still.
        let pods = scope.objects("v1", "Pod").await?;
        let seen = until("the value counts", || async {
            let admitted = pods.dry_run(&pod(name, &modest())).await?;
            let resources = injected(&admitted)?;
            ensure!(*resources == expected, "{resources}");
            Ok(())
        })
        .await;
        scope.cluster.restore(values).await?;
        seen?;
    }
    Ok(())
}
