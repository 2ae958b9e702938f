//! A replica that is killed in the middle of a burst.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::install::NAMESPACE;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::network::kill;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::burst::pod;
use crate::load;
use crate::outage::addresses;
use crate::pods::{USE, container, identity, variable};

/// Pods that people create, and pods that controllers do.
const PODS: u32 = 1_000;
const SETS: u32 = 10;
const REPLICAS: u32 = 100;
const IN_FLIGHT: u32 = 64;
/// How long after its endpoint went an API server may still ask a replica that is gone.
const FOLLOWS: Duration = Duration::from_millis(500);

/// One creation that was refused.
struct Refused {
    began: Instant,
    ended: Instant,
    why: String,
}

/// From the crash until its endpoint is gone pods may be refused, and then none: whoever creates them asks again, and every
/// controller has all of its pods at the end.
pub(super) async fn a_replica_is_killed_under_two_thousand_pods(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    load::works(&scope).await?;
    let victim = *addresses(&scope).await?.first().context("no replica")?;
    let slices = Objects::of(&scope.cluster.client, "discovery.k8s.io/v1", "EndpointSlice", NAMESPACE).await?;
    let (number, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let refused = Mutex::new(Vec::new());
    let pods = scope.objects("v1", "Pod").await?;
    let client = async || -> Result<()> {
        loop {
            let number = number.fetch_add(1, Ordering::Relaxed);
            if number >= PODS && is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let pod = pod(&format!("pod-{number}"), json!({USE: "true"}), json!({}));
            let began = Instant::now();
            match pods.create(&pod).await {
                Ok(created) => has_identity(&created)?,
                Err(error) => {
                    let refused_one = Refused { began, ended: Instant::now(), why: error.to_string() };
                    refused.lock().map_err(|_| anyhow::anyhow!("a client panicked"))?.push(refused_one);
                }
            }
        }
    };
    let crash = async {
        let outcome = crash(&scope, victim, &slices).await;
        is_over.store(true, Ordering::Relaxed);
        outcome
    };
    let (clients, crash) = tokio::join!(join_all((0..IN_FLIGHT).map(|_| client())), crash);
    clients.into_iter().collect::<Result<Vec<()>>>()?;
    let (killed, gone) = crash?;

    let refused = refused.into_inner()?;
    let last = refused.iter().map(|refused| refused.ended.saturating_duration_since(killed)).max().unwrap_or_default();
    println!(
        "{} pods and {} of controllers; a replica killed, its endpoint gone {:.2?} later; {} refused, the last {last:.2?} \
         after the crash",
        number.load(Ordering::Relaxed) - IN_FLIGHT,
        SETS * REPLICAS,
        gone - killed,
        refused.len(),
    );
    for Refused { began, why, .. } in &refused {
        ensure!(*began >= killed || why.contains("failed calling webhook"), "refused before the crash: {why}");
        let after = began.saturating_duration_since(gone);
        ensure!(after < FOLLOWS, "refused {after:?} after its endpoint was gone: {why}");
    }
    all_there(&scope).await
}

/// Kills the replica while controllers are at work too; when, and when its endpoint was gone.
async fn crash(scope: &Scope, victim: Ipv4Addr, slices: &Objects) -> Result<(Instant, Instant)> {
    for number in 0..SETS {
        scope.create(&set(number)).await?;
    }
    let pods = scope.objects("v1", "Pod").await?;
    until("the burst is under way", async || {
        let made = pods.list().await?.len();
        ensure!(made > 200, "{made} pods");
        Ok(())
    })
    .await?;
    let killed = Instant::now();
    kill(victim).await?;
    until("its endpoint is gone", async || {
        let slices = slices.list().await?;
        let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
        let ready = endpoints.filter(|one| one["conditions"]["ready"] == true);
        let mut addresses = ready.filter_map(|one| one["addresses"][0].as_str());
        ensure!(addresses.all(|address| address != victim.to_string()), "still there");
        Ok(())
    })
    .await?;
    let gone = Instant::now();
    // On through its return.
    addresses(scope).await?;
    until("it is back", async || {
        let slices = slices.list().await?;
        let ready = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
        let ready = ready.filter(|one| one["conditions"]["ready"] == true).count();
        ensure!(ready >= 2, "{ready} endpoints");
        Ok(())
    })
    .await?;
    Ok((killed, gone))
}

/// A ReplicaSet whose pods never run.
fn set(number: u32) -> Value {
    let labels = json!({"app": format!("set-{number}"), USE: "true"});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": format!("set-{number}")},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": format!("set-{number}")}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": ACCOUNT,
                    "schedulingGates": [{"name": "example.com/never"}],
                    "containers": [{"name": "app", "image": SHELL}],
                },
            },
        },
    })
}

async fn all_there(scope: &Scope) -> Result<()> {
    let pods = scope.objects("v1", "Pod").await?;
    until("every controller has its pods", async || {
        let pods = pods.list().await?;
        let owned: Vec<_> = pods.iter().filter(|pod| pod["metadata"]["ownerReferences"].is_array()).collect();
        ensure!(owned.len() == usize::try_from(SETS * REPLICAS)?, "{} pods", owned.len());
        owned.into_iter().try_for_each(has_identity)
    })
    .await
}

fn has_identity(pod: &Value) -> Result<()> {
    let app = container(pod, "app").context("app")?;
    let client_id = variable(app, "AZURE_CLIENT_ID").with_context(|| format!("no identity: {}", pod["metadata"]))?;
    ensure!(client_id["value"] == CLIENT, "{client_id}");
    Ok(())
}
