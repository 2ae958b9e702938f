//! The webhook's rights: each is used, and none is lacking.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::install::{NAMESPACE, WEBHOOK, restart, scale};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::{LONG, until};
use serde_json::{Value, json};

use crate::load;
use crate::pods::{CLIENT_ID, identity, shell};

const SECRET: &str = "podbadge-webhook-tls";
const OTHER: &str = "44444444-4444-4444-8444-444444444444";
const LEASES: [&str; 2] = ["podbadge-webhook-certificates", "podbadge-webhook-heal"];

/// A verb on a kind of objects, in a namespace and by name where it is restricted to that.
type Right = (String, String, Option<&'static str>, Option<String>);

/// The API server writes down what the webhook asks for, while all that it ever does is made to happen. What was granted
/// and never used is as wrong as what was refused.
pub(super) async fn each_is_used_and_none_is_lacking(scope: Scope) -> Result<()> {
    let values = ["heal=evict", "healInterval=5"];
    let folder = tempfile::tempdir()?;
    let (policy, log) = (folder.path().join("policy.yaml"), folder.path().join("audit.log"));
    let user = format!("system:serviceaccount:{NAMESPACE}:{WEBHOOK}");
    let rules = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [user]}, {"level": "None"}],
    });
    fs::write(&policy, rules.to_string())?;
    let further = [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
        // As before Kubernetes 1.32: lists are no watches.
        "--feature-gates=WatchList=false".to_owned(),
    ];
    let control_plane = &scope.cluster.control_plane;
    control_plane.restart_api_server(&further.each_ref().map(String::as_str)).await?;
    scope.cluster.upgrade(&values).await?;
    let outcome = compared(&scope, &values, &log).await;
    control_plane.restart_api_server(&[]).await?;
    scope.cluster.restore(&values).await?;
    outcome
}

async fn compared(scope: &Scope, values: &[&str], log: &std::path::Path) -> Result<()> {
    let granted = granted(scope, values)?;
    // An API server that has just started knows no roles for a moment.
    let start = events(log)?.len();
    everything_happens(scope).await?;
    let missing = until("each right is used", async || {
        let used = used(log, &granted)?;
        let missing: Vec<_> = granted.difference(&used).collect();
        ensure!(missing.is_empty(), "never used: {missing:#?}");
        Ok(())
    });
    missing.await?;
    println!("{} rights, each of them used", granted.len());
    // Refused is nothing that it asks for, of its own namespace and elsewhere.
    let refused: Vec<String> = events(log)?
        .iter()
        .skip(start)
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| format!("{} {}: {}", event["verb"], event["requestURI"], event["responseStatus"]["message"]))
        // The namespace of a test before is about to end.
        .filter(|refused| !refused.contains("because it is being terminated"))
        .collect();
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    Ok(())
}

/// Everything that the chart's roles grant.
fn granted(scope: &Scope, values: &[&str]) -> Result<BTreeSet<Right>> {
    let mut granted = BTreeSet::new();
    for (kind, namespace) in [("ClusterRole", None), ("Role", Some(NAMESPACE))] {
        for role in scope.cluster.rendered(values, kind)? {
            for rule in role["rules"].as_array().context("no rules")? {
                let list = |field: &str| -> Vec<String> {
                    let all = rule[field].as_array().into_iter().flatten();
                    all.filter_map(Value::as_str).map(str::to_owned).collect()
                };
                let names = list("resourceNames");
                let names = if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
                for (verb, resource) in list("verbs")
                    .into_iter()
                    .flat_map(|verb| list("resources").into_iter().map(move |one| (verb.clone(), one)))
                {
                    ensure!(verb != "*" && resource != "*", "a rule for everything: {rule}");
                    for group in list("apiGroups") {
                        for name in &names {
                            let resource = format!("{group}/{resource}");
                            granted.insert((verb.clone(), resource, namespace, name.clone()));
                        }
                    }
                }
            }
        }
    }
    Ok(granted)
}

fn events(log: &std::path::Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(log).unwrap_or_default();
    // The last line may be half written.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Which of the rights were used, and needed: none of the others would have done.
fn used(log: &std::path::Path, granted: &BTreeSet<Right>) -> Result<BTreeSet<Right>> {
    let mut used = BTreeSet::new();
    for event in events(log)? {
        let object = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        let (verb, resource) = (text(&event["verb"]), format!("{}/{resource}", text(&object["apiGroup"])));
        let allows = |right: &&Right| {
            let within = right.2.is_none_or(|namespace| object["namespace"] == namespace);
            let named = right.3.as_ref().is_none_or(|name| object["name"] == **name);
            right.0 == verb && right.1 == resource && within && named
        };
        let allowing: Vec<_> = granted.iter().filter(allows).collect();
        if let [only] = allowing[..]
            && event["responseStatus"]["code"] != 403
        {
            used.insert(only.clone());
        }
    }
    Ok(used)
}

/// All that the webhook does about certificates, look-ups and pods that were left behind.
async fn everything_happens(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    // Pods of all owners, admitted without the webhook.
    scale(&scope.cluster.client, 0).await?;
    let secrets = Objects::of(&scope.cluster.client, "v1", "Secret", NAMESPACE).await?;
    let leases = Objects::of(&scope.cluster.client, "coordination.k8s.io/v1", "Lease", NAMESPACE).await?;
    let outcome = async {
        secrets.delete(SECRET).await?;
        for lease in LEASES {
            leases.delete(lease).await?;
        }
        for owner in owners() {
            scope.create(&owner).await?;
        }
        let pods = scope.objects("v1", "Pod").await?;
        until("there is a pod of each", async || {
            let pods = pods.list().await?;
            let ready = pods.iter().filter(|pod| pod["status"]["phase"] == "Running").count();
            ensure!(ready == owners().len(), "{ready} pods");
            Ok(())
        })
        .await
    };
    let outcome = outcome.await;
    scale(&scope.cluster.client, 2).await?;
    outcome?;
    until("all are replaced", async || {
        let events = scope.objects("events.k8s.io/v1", "Event").await?.list().await?;
        let evicted = events.iter().filter(|event| event["reason"] == "EvictedForIdentity").count();
        ensure!(evicted >= owners().len(), "{evicted} of {} within {} s", owners().len(), LONG.as_secs());
        Ok(())
    })
    .await?;
    // A leader that tells the same again: of a pod whose account changes to and fro, and which may not be evicted.
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "replicaset"}}},
    });
    scope.create(&budget).await?;
    let accounts = scope.objects("v1", "ServiceAccount").await?;
    for (client_id, count) in [(OTHER, 1), (CLIENT, 1), (OTHER, 2)] {
        accounts.merge(ACCOUNT, &json!({"metadata": {"annotations": {CLIENT_ID: client_id}}})).await?;
        told(scope, client_id, count).await?;
    }
    // An authority more, while the leader keeps its Secret.
    secrets.merge(SECRET, &json!({"data": {"ca.key": ""}})).await?;
    // A namespace and an account that nobody has heard of.
    restart(&scope.cluster.client).await?;
    load::works(scope).await?;
    for number in 0..20 {
        let name = format!("new-{number}");
        scope.create(&crate::pods::account(&name, json!({}))).await?;
        let mut pod = shell("asked", "true");
        pod["spec"]["serviceAccountName"] = json!(name);
        pod["metadata"]["labels"] = json!({crate::pods::USE: "true"});
        // Refused or not: it was looked up.
        let _: kube::Result<Value> = scope.objects("v1", "Pod").await?.dry_run(&pod).await;
    }
    Ok(())
}

/// Waits until the leader has seen the change, and has told of it as often as it should.
async fn told(scope: &Scope, client_id: &str, count: i64) -> Result<()> {
    until(&format!("identity {client_id}, told {count} times"), async || {
        let events = scope.objects("events.k8s.io/v1", "Event").await?.list().await?;
        let ours = |event: &&Value| {
            let name = event["regarding"]["name"].as_str().unwrap_or_default();
            event["reason"] == "IdentityOutdated" && name.starts_with("replicaset-")
        };
        let about = events.iter().filter(ours);
        let times: i64 = about.map(|event| event["series"]["count"].as_i64().unwrap_or(1)).sum();
        ensure!(times >= count, "{times}");
        Ok(())
    })
    .await?;
    if client_id == CLIENT {
        // Two rounds find nothing wrong.
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    }
    Ok(())
}

/// One of each that makes pods again.
fn owners() -> Vec<Value> {
    let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    [("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("v1", "ReplicationController")]
        .map(|(version, kind)| {
            let name = kind.to_lowercase();
            let mut owner = json!({
                "apiVersion": version, "kind": kind, "metadata": {"name": name},
                "spec": {
                    "selector": {"matchLabels": {"app": name}},
                    "template": {
                        "metadata": {"labels": {"app": name}},
                        "spec": {
                            "serviceAccountName": ACCOUNT,
                            "containers": [{"name": "app", "image": SHELL, "command": ["sh", "-c", script]}],
                        },
                    },
                },
            });
            if kind == "ReplicationController" {
                owner["spec"]["selector"] = json!({"app": name});
            }
            if kind == "StatefulSet" {
                owner["spec"]["serviceName"] = json!(name);
            }
            owner
        })
        .into()
}
