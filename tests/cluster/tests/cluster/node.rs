//! The node stand-in itself: what the other tests rest on.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine as _;
use kube::api::ListParams;
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::pods::shell;

pub(super) async fn the_token_is_the_pods_own(scope: Scope) -> Result<()> {
    let mut pod = shell(
        "claims",
        "stat -L -c '%a %u %g' /tokens/token; ls -A /tokens; readlink /tokens/token; cat /tokens/token",
    );
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "tokens", "mountPath": "/tokens", "readOnly": true}]);
    pod["spec"]["volumes"] = json!([{"name": "tokens", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "audience": "api://AzureADTokenExchange", "expirationSeconds": 3600}},
    ]}}]);
    pod["spec"]["securityContext"] = json!({"runAsUser": 65532, "runAsGroup": 65532});
    let created = scope.create(&pod).await?;
    let pod = scope.succeeds("claims").await?;

    let log = scope.log(&pod, "app");
    let lines: Vec<&str> = log.lines().collect();
    let [mode, version, data, file, link, token] = lines[..] else { panic!("{log}") };
    assert_eq!(mode, "600 65532 0");
    assert!(version.starts_with("..2"), "{version}");
    assert_eq!((data, file, link), ("..data", "token", "..data/token"));

    let claims = claims(token)?;
    assert_eq!(claims["iss"], scope.cluster.control_plane.url);
    assert_eq!(claims["aud"], json!(["api://AzureADTokenExchange"]));
    assert_eq!(claims["sub"], format!("system:serviceaccount:{}:default", scope.namespace));
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], created["metadata"]["uid"]);
    Ok(())
}

fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("not a JWT")?;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?)
}

pub(super) async fn a_volume_follows_its_secret(scope: Scope) -> Result<()> {
    scope
        .create(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "changing"},
            "stringData": {"kept": "first", "dropped": "first"},
        }))
        .await?;
    let script = "cat /secret/*; until grep -q second /secret/kept; do sleep 0.2; done; cd /secret; echo; echo *";
    let mut pod = shell("follows", script);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "secret", "mountPath": "/secret", "readOnly": true}]);
    pod["spec"]["volumes"] = json!([{"name": "secret", "secret": {"secretName": "changing"}}]);
    let created = serde_json::from_value(scope.create(&pod).await?)?;
    until("the first is read", || async {
        anyhow::ensure!(scope.log(&created, "app") == "firstfirst");
        Ok(())
    })
    .await?;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data = json!({"kept": encoded("second"), "dropped": null, "new": encoded("second")});
    scope.objects("v1", "Secret").await?.merge("changing", &json!({"data": data})).await?;
    let pod = scope.succeeds("follows").await?;
    assert_eq!(scope.log(&pod, "app"), "firstfirst\nkept new\n");
    Ok(())
}

pub(super) async fn variables_are_resolved(scope: Scope) -> Result<()> {
    scope.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"KEY": "value", "other": "more"},
    }))
    .await?;
    let mut pod = shell("variables", "env");
    pod["metadata"]["annotations"] = json!({"example.com/note": "noted"});
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "settings"}, "prefix": "P_"}]);
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['example.com/note']"}}},
        {"name": "OTHER", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "other"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "none", "optional": true}}},
        {"name": "SUM", "value": "$(UID)/$(P_KEY)/$(NONE)/$$(UID)"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]);
    let uid = scope.create(&pod).await?["metadata"]["uid"].as_str().context("uid")?.to_owned();
    let pod = scope.succeeds("variables").await?;

    let log = scope.log(&pod, "app");
    let found: BTreeMap<&str, &str> = log.lines().filter_map(|line| line.split_once('=')).collect();
    assert_eq!(found["UID"], uid);
    assert_eq!(found["NOTE"], "noted");
    assert_eq!(found["P_KEY"], "value");
    assert_eq!(found["OTHER"], "more");
    assert_eq!(found["SUM"], format!("{uid}/value/$(NONE)/$(UID)"));
    assert_eq!(Some(found["IP"]), pod.status.context("status")?.pod_ip.as_deref());
    assert!(!found.contains_key("NONE") && !found.contains_key("CARGO_MANIFEST_DIR"), "{log}");
    Ok(())
}

/// A native sidecar's startup probe holds back what comes after it, and the sidecar ends when the application has.
pub(super) async fn sidecars_come_first_and_end_last(scope: Scope) -> Result<()> {
    let mut pod = shell("ordered", "echo app >> /shared/order; cat /shared/order");
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    pod["spec"]["containers"][0]["volumeMounts"] = mount.clone();
    pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    let sidecar = "trap 'echo ended; exit 0' TERM; sleep 1.5; echo sidecar > /shared/order; touch /tmp/started; \
                   while :; do sleep 0.1; done";
    pod["spec"]["initContainers"] = json!([
        {
            "name": "sidecar", "image": SHELL, "restartPolicy": "Always", "volumeMounts": mount,
            "command": ["sh", "-c", sidecar],
            "startupProbe": {"exec": {"command": ["test", "-f", "/tmp/started"]}, "periodSeconds": 1, "failureThreshold": 30},
        },
        {"name": "init", "image": SHELL, "volumeMounts": mount, "command": ["sh", "-c", "echo init >> /shared/order"]},
    ]);
    scope.create(&pod).await?;
    let pod = scope.succeeds("ordered").await?;
    assert_eq!(scope.log(&pod, "app"), "sidecar\ninit\napp\n");
    assert_eq!(scope.log(&pod, "sidecar"), "ended\n");
    Ok(())
}

pub(super) async fn a_deployment_runs(scope: Scope) -> Result<()> {
    let container = json!({
        "name": "app", "image": SHELL, "command": ["sh", "-c", "trap 'exit 0' TERM; touch /tmp/ready; while :; do sleep 0.1; done"],
        "readinessProbe": {"exec": {"command": ["test", "-f", "/tmp/ready"]}, "periodSeconds": 1},
    });
    scope
        .create(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "two"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "two"}},
                "template": {"metadata": {"labels": {"app": "two"}}, "spec": {"containers": [container]}},
            },
        }))
        .await?;
    let deployments = scope.objects("apps/v1", "Deployment").await?;
    until("both replicas are available", || async {
        let deployment = deployments.get("two").await?;
        anyhow::ensure!(deployment["status"]["availableReplicas"] == 2, "{}", deployment["status"]);
        Ok(())
    })
    .await?;

    let pods = scope.pods();
    let all = pods.list(&ListParams::default()).await?;
    let addresses: Vec<_> = all.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone()).collect();
    assert_ne!(addresses[0], addresses[1]);
    // Deleted pods end in good order and are let go.
    deployments.delete("two").await?;
    until("the pods are gone", || async {
        let left = pods.list(&ListParams::default()).await?.items.len();
        anyhow::ensure!(left == 0, "{left} pods are left");
        Ok(())
    })
    .await
}

pub(super) async fn a_failed_container_says_why(scope: Scope) -> Result<()> {
    scope.create(&shell("failing", "echo no luck >&2; exit 7")).await?;
    let pod = scope.ends("failing").await?;
    let status = pod.status.context("status")?.container_statuses.context("containers")?.remove(0);
    let ended = status.state.and_then(|state| state.terminated).context("terminated")?;
    assert_eq!((ended.exit_code, ended.message.as_deref()), (7, Some("no luck")));
    Ok(())
}
