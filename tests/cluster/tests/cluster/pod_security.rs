//! Pod Security: what the two strict levels admit, and what they are told.

use anyhow::{Context, Result, ensure};
use kube::api::ListParams;
use podbadge_cluster_tests::entra::ACCOUNT;
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::kubectl::Said;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};

use crate::pods::{container, identity, shell};

const INJECT: &str = "azure.workload.identity/inject-proxy-sidecar";
const SIDECAR: &str = "podbadge.io/sidecar";

pub(super) async fn restricted_has_the_sidecar_without_redirection(scope: Scope) -> Result<()> {
    has_the_sidecar_without_redirection(&scope, "restricted").await
}

pub(super) async fn baseline_has_the_sidecar_without_redirection(scope: Scope) -> Result<()> {
    has_the_sidecar_without_redirection(&scope, "baseline").await
}

/// What is refused is refused in Pod Security's own words, with ours beside them what to do about it.
async fn has_the_sidecar_without_redirection(scope: &Scope, level: &str) -> Result<()> {
    scope.mark(&json!({"pod-security.kubernetes.io/enforce": level}), &json!({})).await?;
    scope.create(&identity()).await?;
    let redirected = pod("redirected", &json!({SIDECAR: "redirect"}));
    let ours = format!(
        "the namespace enforces Pod Security {level}, which refuses redirection: set podbadge.io/sidecar to endpoint"
    );
    let said = until("both know the level", || async {
        let said = kubectl(scope, &redirected).await?;
        ensure!(!said.success && said.warnings.contains(&ours), "{said:?}");
        Ok(said)
    })
    .await?;
    for part in [&format!("violates PodSecurity \"{level}:latest\""), "NET_ADMIN", contract::REDIRECT_CONTAINER_NAME] {
        assert!(said.errors.contains(part), "{part} is not in: {}", said.errors);
    }

    // Who asks for a sidecar without saying how it is reached gets one that is admitted.
    let said = kubectl(scope, &pod("any", &json!({INJECT: "true"}))).await?;
    let without = format!("the sidecar runs without redirection, since the namespace enforces Pod Security {level}");
    assert!(said.success && said.warnings.iter().any(|warning| warning.starts_with(&without)), "{said:?}");

    let template = pod("", &json!({INJECT: "true"}));
    scope
        .create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "orders"}},
                "template": {"metadata": template["metadata"], "spec": template["spec"]},
            },
        }))
        .await?;
    let deployments = scope.objects("apps/v1", "Deployment").await?;
    until("both replicas are available", || async {
        let status = &deployments.get("orders").await?["status"];
        ensure!(status["availableReplicas"] == 2, "{status}");
        Ok(())
    })
    .await?;
    let replicas = scope.pods().list(&ListParams::default().labels("app=orders")).await?;
    for replica in replicas {
        let replica = serde_json::to_value(replica)?;
        let sidecar = container(&replica, contract::CONTAINER_NAME).context("sidecar")?;
        assert_eq!(sidecar["restartPolicy"], "Always");
        assert!(container(&replica, contract::REDIRECT_CONTAINER_NAME).is_none(), "{replica:#}");
    }
    Ok(())
}

/// A pod that both levels admit, and that runs as long as it can read its token.
fn pod(name: &str, annotations: &Value) -> Value {
    let mut pod = shell(name, "");
    pod["metadata"]["labels"] = json!({"app": "orders"});
    pod["metadata"]["annotations"] = annotations.clone();
    pod["spec"] = json!({
        "serviceAccountName": ACCOUNT,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "app", "image": SHELL,
            "command": ["sh", "-euc", "while test -s $AZURE_FEDERATED_TOKEN_FILE; do sleep 0.2; done"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    });
    pod
}

/// Types `kubectl create` without effect.
async fn kubectl(scope: &Scope, pod: &Value) -> Result<Said> {
    let arguments = ["create", "--dry-run=server", "--filename=-"];
    Said::by(&scope.cluster.control_plane, &scope.namespace, &arguments, &pod.to_string()).await
}
