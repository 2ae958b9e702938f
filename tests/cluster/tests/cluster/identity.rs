//! The main path: from an annotated service account to a secret in the application's hand.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT, SECRET, TENANT, VALUE, vault_url};
use podbadge_cluster_tests::images::APPLICATION;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, USE, account, container, identity, mounts, reader, variable};

const TOKENS: &str = "/var/run/secrets/azure/tokens";
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// What the application said, line by line.
fn said(scope: &Scope, pod: &Pod) -> Result<[Value; 2]> {
    let log = scope.log(pod, "app");
    let mut lines = log.lines();
    let mut next = || anyhow::Ok(serde_json::from_str(lines.next().context("no further line")?)?);
    Ok([next().context("what the application sees")?, next().with_context(|| format!("what it read: {log}"))?])
}

/// Runs the pod to its end; it must have read the secret by the token file.
async fn reads_by_token_file(scope: &Scope, pod: &Value) -> Result<()> {
    let created = scope.create(pod).await?;
    let app = container(&created, "app").context("app")?;
    let value = |name| variable(app, name).map(|variable| variable["value"].clone());
    assert_eq!(value(contract::CLIENT_ID), Some(json!(CLIENT)));
    assert_eq!(value(contract::TENANT_ID), Some(json!(TENANT)));
    assert_eq!(value(contract::AUTHORITY_HOST), Some(json!(scope.cluster.entra.authority_url())));
    assert_eq!(value(contract::FEDERATED_TOKEN_FILE), Some(json!(TOKEN_FILE)));

    let pod = scope.succeeds(created["metadata"]["name"].as_str().context("name")?).await?;
    let [sees, read] = said(scope, &pod)?;
    assert_eq!(sees["tokenFile"], TOKEN_FILE);
    assert_eq!(read, json!({"secret": VALUE, "credential": "WorkloadIdentityCredential"}));
    Ok(())
}

/// Runs the pod to its end; it must have read the secret by the sidecar, without a sight of the assertion.
async fn reads_by_sidecar(scope: &Scope, pod: &Value) -> Result<()> {
    let created = scope.create(pod).await?;
    let sidecar = &created["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], contract::CONTAINER_NAME);
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert!(mounts(sidecar, TOKENS), "{sidecar:#}");
    let app = container(&created, "app").context("app")?;
    assert!(!mounts(app, TOKENS), "{app:#}");

    let pod = scope.succeeds(created["metadata"]["name"].as_str().context("name")?).await?;
    let [sees, read] = said(scope, &pod)?;
    assert_eq!(sees["tokenFile"], Value::Null);
    assert_eq!(read, json!({"secret": VALUE, "credential": "ManagedIdentityCredential"}));
    let status = pod.status.context("status")?.init_container_statuses.context("sidecar")?.remove(0);
    let ended = status.state.and_then(|state| state.terminated).context("the sidecar has ended")?;
    assert_eq!(ended.exit_code, 0, "the sidecar's end is graceful");
    Ok(())
}

/// The product's own opt-in: nothing on the pod at all.
pub(super) async fn an_annotated_account_by_token_file(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    reads_by_token_file(&scope, &reader("app")).await
}

pub(super) async fn an_annotated_account_by_sidecar(scope: Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, "podbadge.io/sidecar": "endpoint"}))).await?;
    reads_by_sidecar(&scope, &reader("app")).await
}

/// The opt-in of Azure Workload Identity.
pub(super) async fn a_labelled_pod_by_token_file(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let mut pod = reader("app");
    pod["metadata"]["labels"] = json!({USE: "true"});
    reads_by_token_file(&scope, &pod).await
}

/// The same behind the sidecar, with the identity from the namespace.
pub(super) async fn a_labelled_pod_by_sidecar(scope: Scope) -> Result<()> {
    scope.mark(&json!({}), &json!({CLIENT_ID: CLIENT})).await?;
    scope.create(&account(ACCOUNT, json!({}))).await?;
    let mut pod = reader("app");
    pod["metadata"]["labels"] = json!({USE: "true"});
    pod["metadata"]["annotations"] = json!({"podbadge.io/sidecar": "endpoint"});
    reads_by_sidecar(&scope, &pod).await
}

/// The sidecar by the key of Azure Workload Identity: the application keeps what it has there, and a client that knows
/// nothing but the instance metadata service gets its token as well.
pub(super) async fn the_compatible_sidecar(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let mut pod = reader("app");
    pod["metadata"]["labels"] = json!({USE: "true"});
    pod["metadata"]["annotations"] = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
    pod["spec"]["containers"][0]["command"] = json!(["python", "/application/imds_token.py"]);
    pod["spec"]["containers"][0]["args"] = json!(["https://vault.azure.net"]);
    let created = scope.create(&pod).await?;
    assert_eq!(created["spec"]["initContainers"][0]["name"], contract::CONTAINER_NAME);
    let app = container(&created, "app").context("app")?;
    assert_eq!(variable(app, contract::FEDERATED_TOKEN_FILE).context("token file")?["value"], TOKEN_FILE);
    assert!(mounts(app, TOKENS), "{app:#}");

    let pod = scope.succeeds("app").await?;
    let claims: Value = serde_json::from_str(&scope.log(&pod, "app"))?;
    assert_eq!(claims["aud"], "https://vault.azure.net");
    assert_eq!(claims["appid"], CLIENT);
    assert_eq!(claims["tid"], TENANT);
    Ok(())
}

/// Its pods have a `generateName` and, at admission, neither a name nor a namespace.
pub(super) async fn the_pod_of_a_deployment(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    scope
        .create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
            "spec": {
                "selector": {"matchLabels": {"app": "orders"}},
                "template": {
                    "metadata": {"labels": {"app": "orders"}},
                    "spec": {
                        "serviceAccountName": ACCOUNT,
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{"name": "app", "image": APPLICATION, "args": [vault_url(), SECRET]}],
                    },
                },
            },
        }))
        .await?;
    let pods = scope.pods();
    let pod = until("the Deployment's application has read the secret", || async {
        let pod = pods.list(&ListParams::default()).await?.items.pop().context("no pod yet")?;
        let log = scope.log(&pod, "app");
        ensure!(log.contains("credential"), "{log}");
        Ok(pod)
    })
    .await?;
    assert_eq!(pod.metadata.generate_name.as_deref().map(|name| name.starts_with("orders-")), Some(true));
    assert_eq!(said(&scope, &pod)?[1]["secret"], VALUE);
    Ok(())
}

/// Pod Security `restricted` admits the pod with the sidecar, and the identity works as a user who is nobody.
pub(super) async fn a_restricted_namespace(scope: Scope) -> Result<()> {
    scope.mark(&json!({"pod-security.kubernetes.io/enforce": "restricted"}), &json!({})).await?;
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, "podbadge.io/sidecar": "endpoint"}))).await?;
    let mut pod = reader("app");
    // The namespace is as strict as it says.
    let refused = scope.create(&pod).await.expect_err("a pod without a security context").to_string();
    assert!(refused.contains("violates PodSecurity \"restricted:latest\""), "{refused}");
    // Nothing is held against the sidecar.
    assert!(!refused.contains(contract::CONTAINER_NAME), "{refused}");

    pod["spec"]["securityContext"] = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "runAsUser": 1000, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
    });
    reads_by_sidecar(&scope, &pod).await
}

/// A service account that no federated credential names: the application sees Entra's own words.
pub(super) async fn a_stranger_is_refused(scope: Scope) -> Result<()> {
    scope.create(&account("stranger", json!({CLIENT_ID: CLIENT}))).await?;
    let mut pod = reader("app");
    pod["spec"]["serviceAccountName"] = json!("stranger");
    scope.create(&pod).await?;
    let pod = scope.ends("app").await?;
    let log = scope.log(&pod, "app");
    let subject = format!("system:serviceaccount:{}:stranger", scope.namespace);
    assert!(log.contains("AADSTS700213") && log.contains(&subject), "{log}");
    assert!(!log.contains(VALUE), "{log}");
    Ok(())
}
