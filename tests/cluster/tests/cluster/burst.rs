//! Many pods at once, and what one pod costs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use kube::api::PostParams;
use kube::core::Request;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::install::restart;
use podbadge_cluster_tests::scope::Scope;
use serde_json::{Value, json};

use crate::pods::{USE, container, identity, shell, variable};

const PODS: u32 = 2_000;
const IN_FLIGHT: u32 = 64;
/// Pods of either kind whose creation is timed.
const TIMED: usize = 200;

/// A pod that is admitted, stored, and never runs.
pub(crate) fn pod(name: &str, labels: Value, annotations: Value) -> Value {
    let mut pod = shell(name, "true");
    pod["metadata"]["labels"] = labels;
    pod["metadata"]["annotations"] = annotations;
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/never"}]);
    pod
}

/// As many clients create pods as fast as they can while both replicas are replaced, one after the other. None is refused,
/// and all have their identity: those that asked for it, and those of whom the webhook's absence would be overlooked.
pub(super) async fn two_thousand_pods_while_the_replicas_are_replaced(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let pods = scope.objects("v1", "Pod").await?;
    let (number, replaced) = (AtomicU32::new(0), AtomicBool::new(false));
    let client = async || -> Result<()> {
        // On until the end of both.
        loop {
            let number = number.fetch_add(1, Ordering::Relaxed);
            if number >= PODS && replaced.load(Ordering::Relaxed) {
                return Ok(());
            }
            let labels = if number % 2 == 0 { json!({USE: "true"}) } else { json!({}) };
            let created = pods.create(&pod(&format!("pod-{number}"), labels, json!({}))).await;
            let created = created.with_context(|| format!("pod {number}"))?;
            let app = container(&created, "app").context("app")?;
            let client_id =
                variable(app, "AZURE_CLIENT_ID").with_context(|| format!("pod {number} has no identity"))?;
            ensure!(client_id["value"] == CLIENT, "pod {number}: {client_id}");
        }
    };
    let began = Instant::now();
    let clients = join_all((0..IN_FLIGHT).map(|_| client()));
    let replacement = async {
        let outcome = restart(&scope.cluster.client).await;
        replaced.store(true, Ordering::Relaxed);
        outcome.map(|()| began.elapsed())
    };
    let (clients, replacement) = tokio::join!(clients, replacement);
    let (took, replacement) = (began.elapsed(), replacement?);
    let created = number.load(Ordering::Relaxed) - IN_FLIGHT;
    clients.into_iter().collect::<Result<Vec<()>>>()?;
    ensure!(created >= PODS, "{created}");
    println!("{created} pods, {IN_FLIGHT} in flight, in {took:.1?}; both replicas replaced within {replacement:.1?}");
    Ok(())
}

/// What the webhook adds to the creation of a pod, as the API server's client feels it. The figures are printed, and judged
/// by people: they depend on the machine, and on how the webhook was built.
pub(super) async fn what_a_pod_costs(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let build = std::env::var("PODBADGE_BIN_DIR").unwrap_or_else(|_| "the debug build".to_owned());
    println!("creation of a pod, {TIMED} of each kind one after the other, webhook of {build}:");
    for (kind, annotations) in
        [("token volume", json!({})), ("endpoint sidecar", json!({"podbadge.io/sidecar": "endpoint"}))]
    {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for number in 0..TIMED {
            for (label, times) in [("true", &mut with), ("false", &mut without)] {
                let name = format!("{}-{number}-{label}", kind.replace(' ', "-"));
                let pod = pod(&name, json!({USE: label}), annotations.clone());
                times.push(timed(&scope, &pod, label == "true").await?);
            }
        }
        let [with, without] = [with, without].map(percentiles);
        println!(
            "  {kind}: p50 {:.2?}, p99 {:.2?}; not selected: p50 {:.2?}, p99 {:.2?}; the difference: p50 {:.2?}, p99 {:.2?}",
            with[0],
            with[1],
            without[0],
            without[1],
            with[0].saturating_sub(without[0]),
            with[1].saturating_sub(without[1]),
        );
    }
    Ok(())
}

/// From the request to the last byte of the answer; what this client makes of them is not counted.
async fn timed(scope: &Scope, pod: &Value, injected: bool) -> Result<Duration> {
    let request = Request::new(format!("/api/v1/namespaces/{}/pods", scope.namespace));
    let request = request.create(&PostParams::default(), serde_json::to_vec(pod)?)?;
    let began = Instant::now();
    let answer = scope.cluster.client.request_text(request).await?;
    let took = began.elapsed();
    let created: Value = serde_json::from_str(&answer)?;
    let app = container(&created, "app").context("app")?;
    ensure!(variable(app, "AZURE_CLIENT_ID").is_some() == injected, "{created:#}");
    Ok(took)
}

/// The 50th and the 99th.
fn percentiles(mut times: Vec<Duration>) -> [Duration; 2] {
    times.sort();
    [50, 99].map(|percent| times[times.len() * percent / 100])
}
