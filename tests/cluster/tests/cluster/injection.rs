//! What injection does to pods of all kinds: redirection, the host network, `kubectl debug`, Jobs, users who are nobody.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT, SECRET, VALUE, vault_url};
use podbadge_cluster_tests::images::{APPLICATION, SHELL};
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, account, container, identity, mounts, reader, shell, variable};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const SIDECAR: &str = "podbadge.io/sidecar";
const VAULT: &str = "https://vault.azure.net";

/// A client that knows nothing but 169.254.169.254. The mode follows from the namespace, the capability is the one that is
/// injected, and nothing in the pod is privileged.
pub(super) async fn a_pod_is_redirected(scope: Scope) -> Result<()> {
    scope.mark(&json!({ENFORCE: "privileged"}), &json!({})).await?;
    scope.create(&identity()).await?;
    let mut pod = reader("app");
    pod["metadata"]["annotations"] = json!({"azure.workload.identity/inject-proxy-sidecar": "true"});
    let app = &mut pod["spec"]["containers"][0];
    app["command"] = json!(["python", "/application/imds_token.py"]);
    app["args"] = json!([VAULT, "--host", format!("http://{}", contract::METADATA_ADDRESS.ip())]);
    let created = scope.create(&pod).await?;
    let names: Vec<_> = created["spec"]["initContainers"].as_array().context("init containers")?.iter().collect();
    let names: Vec<_> = names.iter().filter_map(|container| container["name"].as_str()).collect();
    assert_eq!(names, [contract::CONTAINER_NAME, contract::REDIRECT_CONTAINER_NAME]);
    let security = &created["spec"]["initContainers"][1]["securityContext"];
    assert_eq!(security["capabilities"], json!({"add": ["NET_ADMIN"], "drop": ["ALL"]}));
    assert_eq!((&security["privileged"], &security["allowPrivilegeEscalation"]), (&json!(false), &json!(false)));

    let pod = scope.succeeds("app").await?;
    let claims: Value = serde_json::from_str(&scope.log(&pod, "app"))?;
    assert_eq!((&claims["aud"], &claims["appid"]), (&json!(VAULT), &json!(CLIENT)));
    Ok(())
}

/// Two pods of one Deployment share a node's network: each has a port and a secret of its own, and both have their identity.
pub(super) async fn two_pods_on_the_host_network(scope: Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, SIDECAR: "endpoint"}))).await?;
    let mut refused = shell("redirected", "true");
    refused["spec"]["serviceAccountName"] = json!(ACCOUNT);
    refused["spec"]["hostNetwork"] = json!(true);
    refused["metadata"]["annotations"] = json!({SIDECAR: "redirect"});
    let refused = scope.create(&refused).await.expect_err("refused").to_string();
    assert!(refused.contains("cannot have redirection, which would redirect its node"), "{refused}");

    // One waits for the other, so that they are there at the same time.
    let mut said = Vec::new();
    for name in ["first", "second"] {
        let mut pod = reader(name);
        pod["spec"]["hostNetwork"] = json!(true);
        let created = scope.create(&pod).await?;
        let sidecar = container(&created, contract::CONTAINER_NAME).context("sidecar")?;
        let app = container(&created, "app").context("app")?;
        let port = variable(sidecar, contract::PORT).context("port")?["value"].clone();
        // The scheduler keeps pods with equal ones apart.
        assert_eq!(sidecar["ports"][0]["hostPort"].to_string(), port.as_str().context("a number as text")?);
        let header = variable(app, contract::IDENTITY_HEADER).context("header")?["value"].clone();
        assert_eq!(variable(sidecar, contract::EXPECTED_IDENTITY_HEADER).context("expected")?["value"], header);
        assert!(variable(app, contract::POD_IDENTITY_AUTHORITY_HOST).is_none(), "{app:#}");
        said.push((port, header));
    }
    assert!(said[0].0 != said[1].0 && said[0].1 != said[1].1, "{said:?}");
    for name in ["first", "second"] {
        let pod = scope.succeeds(name).await?;
        let log = scope.log(&pod, "app");
        assert!(log.contains(VALUE) && log.contains("ManagedIdentityCredential"), "{log}");
    }
    Ok(())
}

/// A pod that waits to be debugged.
async fn waiting_pod(scope: &Scope, annotations: Value) -> Result<Api<Pod>> {
    scope.create(&account(ACCOUNT, annotations)).await?;
    let mut pod = shell("app", "trap 'exit 0' TERM; while :; do sleep 0.2; done");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    scope.create(&pod).await?;
    let pods = scope.pods();
    until("the pod runs", || async {
        let pod = pods.get("app").await?;
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        ensure!(phase == "Running", "{phase}");
        Ok(())
    })
    .await?;
    Ok(pods)
}

/// As `kubectl debug --image` does it.
async fn debug(pods: &Api<Pod>, name: &str) -> Result<Value> {
    let container = json!({
        "name": name, "image": APPLICATION, "args": [vault_url(), SECRET], "targetContainerName": "app",
    });
    let patch = json!({"spec": {"ephemeralContainers": [container]}});
    let pod = pods.patch_ephemeral_containers("app", &PatchParams::default(), &Patch::Strategic(patch)).await?;
    let pod = serde_json::to_value(pod)?;
    let all = pod["spec"]["ephemeralContainers"].as_array().context("ephemeral containers")?;
    all.iter().find(|container| container["name"] == name).cloned().context("the new one")
}

pub(super) async fn a_debug_container_has_the_identity(scope: Scope) -> Result<()> {
    let pods = waiting_pod(&scope, json!({CLIENT_ID: CLIENT})).await?;
    for name in ["debugger", "second"] {
        let container = debug(&pods, name).await?;
        assert!(mounts(&container, "/var/run/secrets/azure/tokens"), "{container:#}");
        until("the secret is read", || async {
            let log = scope.log(&pods.get("app").await?, name);
            ensure!(log.contains(VALUE), "{log}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Behind a sidecar it gets what the application has; and where it can have nothing, it is admitted all the same.
pub(super) async fn a_debug_container_is_never_refused(scope: Scope) -> Result<()> {
    let pods = waiting_pod(&scope, json!({CLIENT_ID: CLIENT, SIDECAR: "endpoint"})).await?;
    let container = debug(&pods, "debugger").await?;
    assert!(!mounts(&container, "/var/run/secrets/azure/tokens"), "{container:#}");
    until("the secret is read by the sidecar", || async {
        let log = scope.log(&pods.get("app").await?, "debugger");
        ensure!(log.contains("ManagedIdentityCredential"), "{log}");
        Ok(())
    })
    .await?;

    let odd =
        json!({"metadata": {"annotations": {"azure.workload.identity/service-account-token-expiration": "soon"}}});
    scope.objects("v1", "ServiceAccount").await?.merge(ACCOUNT, &odd).await?;
    let mut pod = shell("refused", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    until("new pods are refused", || async {
        let refused = scope.objects("v1", "Pod").await?.dry_run(&pod).await;
        ensure!(refused.is_err(), "still admitted");
        Ok(())
    })
    .await?;
    let container = debug(&pods, "third").await?;
    assert!(container["env"].is_null(), "{container:#}");
    Ok(())
}

/// The sidecar does not keep it from completing.
pub(super) async fn a_job_ends(scope: Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, SIDECAR: "endpoint"}))).await?;
    let container = json!({"name": "app", "image": APPLICATION, "args": [vault_url(), SECRET]});
    scope
        .create(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly"},
            "spec": {"template": {"spec": {
                "serviceAccountName": ACCOUNT, "restartPolicy": "OnFailure", "containers": [container],
            }}},
        }))
        .await?;
    let jobs = scope.objects("batch/v1", "Job").await?;
    until("the Job is complete", || async {
        let job = jobs.get("nightly").await?;
        ensure!(job["status"]["succeeded"] == 1, "{}", job["status"]);
        Ok(())
    })
    .await
}

/// The kubelet writes the token for the one user that all containers share, for a group, or for everybody: whoever the
/// application runs as, it can read its token, and with a sidecar beside it both can.
pub(super) async fn the_token_can_be_read_by_whoever_runs(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let users = [
        ("of-the-pod", json!({"runAsUser": 1000})),
        ("of-the-pod-and-group", json!({"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000})),
        ("of-a-group", json!({"fsGroup": 2000, "runAsNonRoot": true, "runAsUser": 65532})),
        ("root", json!({"runAsUser": 0})),
    ];
    for (name, context) in &users {
        for mode in ["none", "endpoint"] {
            let mut pod = reader(&format!("{name}-{mode}"));
            pod["spec"]["securityContext"] = context.clone();
            pod["metadata"]["annotations"] = json!({SIDECAR: mode});
            scope.create(&pod).await?;
        }
    }
    // Two containers of different users, of whom neither is root.
    let mut pod = reader("of-two");
    let other = json!({
        "name": "other", "image": SHELL, "securityContext": {"runAsUser": 2000},
        "command": ["sh", "-euc", "test -s \"$AZURE_FEDERATED_TOKEN_FILE\""],
    });
    pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 1000});
    pod["spec"]["containers"].as_array_mut().context("containers")?.push(other);
    scope.create(&pod).await?;
    for name in users.iter().flat_map(|(name, _)| [format!("{name}-none"), format!("{name}-endpoint")]) {
        scope.succeeds(&name).await?;
    }
    scope.succeeds("of-two").await.map(drop)
}

/// The pod names one of several identities, and its sidecar refuses what the list does not name.
pub(super) async fn an_own_identity_is_one_that_the_account_allows(scope: Scope) -> Result<()> {
    const DEFAULT: &str = "44444444-4444-4444-8444-444444444444";
    const STRANGER: &str = "55555555-5555-4555-8555-555555555555";
    let allowed = json!({CLIENT_ID: DEFAULT, "podbadge.io/allowed-client-ids": CLIENT, SIDECAR: "endpoint"});
    scope.create(&account(ACCOUNT, allowed)).await?;
    let mut pod = reader("app");
    pod["metadata"]["annotations"] = json!({"podbadge.io/client-id": CLIENT});
    scope.create(&pod).await?;

    let mut asking = reader("asking");
    let app = &mut asking["spec"]["containers"][0];
    app["command"] = json!(["python", "/application/imds_token.py"]);
    app["args"] = json!([VAULT, "--client-id", STRANGER]);
    scope.create(&asking).await?;

    let pod = scope.succeeds("app").await?;
    assert!(scope.log(&pod, "app").contains(VALUE));
    let pod = scope.ends("asking").await?;
    let log = scope.log(&pod, "app");
    assert!(log.starts_with("400 ") && log.contains("Identity not found"), "{log}");

    let mut refused = shell("refused", "true");
    refused["spec"]["serviceAccountName"] = json!(ACCOUNT);
    refused["metadata"]["annotations"] = json!({"podbadge.io/client-id": STRANGER});
    let refused = scope.create(&refused).await.expect_err("refused").to_string();
    assert!(refused.contains("which the service account does not allow"), "{refused}");
    Ok(())
}
