//! What the webhook does to pods, and what it leaves alone, as the API server sees it.

use anyhow::{Context, Result};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::scope::Scope;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, USE, account, container, identity, shell, variable};

const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

/// The pod as the API server would store it, once with the webhook asked and once without, less what names the two.
async fn with_and_without(scope: &Scope, pod: &Value) -> Result<(Value, Value)> {
    let pods = scope.objects("v1", "Pod").await?;
    let mut without = pod.clone();
    without["metadata"]["labels"][USE] = json!("false");
    let mut stored = [pods.dry_run(pod).await?, pods.dry_run(&without).await?];
    for pod in &mut stored {
        // It says when each was created.
        pod["status"] = Value::Null;
        let metadata = pod["metadata"].as_object_mut().context("metadata")?;
        for field in ["uid", "creationTimestamp", "managedFields"] {
            metadata.remove(field);
        }
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(USE);
        }
        // The service account's own volume has a random name, everywhere the same.
        let text = pod.to_string();
        if let Some(name) = text.split('"').find(|word| word.starts_with("kube-api-access-")) {
            *pod = serde_json::from_str(&text.replace(name, "kube-api-access"))?;
        }
    }
    let [with, without] = stored;
    Ok((with, without))
}

pub(super) async fn an_unannotated_pod_is_untouched(scope: Scope) -> Result<()> {
    let mut pod = shell("plain", "true");
    pod["metadata"]["labels"] = json!({"app": "plain"});
    let (with, without) = with_and_without(&scope, &pod).await?;
    assert_eq!(with, without);
    Ok(())
}

/// All that a pod may have beside what is injected stays, down to fields that no view or type of this build knows.
pub(super) async fn unknown_fields_are_kept(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let mut pod = shell("exotic", "true");
    pod["metadata"]["labels"] = json!({"app": "exotic"});
    pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = json!(ACCOUNT);
    spec["schedulingGates"] = json!([{"name": "example.com/wait"}]);
    spec["readinessGates"] = json!([{"conditionType": "example.com/ready"}]);
    spec["setHostnameAsFQDN"] = json!(false);
    spec["dnsConfig"] = json!({"options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    spec["topologySpreadConstraints"] = json!([{
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "exotic"}}, "matchLabelKeys": ["pod-template-hash"],
        "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor",
    }]);
    spec["volumes"] = json!([
        {"name": "picture", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "claim", "ephemeral": {"volumeClaimTemplate": {"spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }}}},
    ]);
    let app = &mut spec["containers"][0];
    app["resizePolicy"] = json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"}]);
    app["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
    app["volumeMounts"] = json!([{"name": "picture", "mountPath": "/picture", "subPath": "small"}]);
    app["securityContext"] = json!({"procMount": "Default", "seccompProfile": {"type": "RuntimeDefault"}});
    app["env"] = json!([{"name": "EMPTY", "value": ""}, {"name": "CPU", "valueFrom": {"resourceFieldRef": {
        "resource": "limits.cpu", "divisor": "1m",
    }}}]);

    let newest = scope.cluster.minor >= 36;
    if newest {
        add_newest(&mut pod);
    }

    let (with, without) = with_and_without(&scope, &pod).await?;
    // The API server itself knows the fields: none was pruned before the comparison.
    let fields = ["schedulingGates", "hostnameOverride", "resources"];
    for field in &fields[..if newest { fields.len() } else { 1 }] {
        assert!(without["spec"][field] != Value::Null, "{field} is pruned");
    }
    let rules = &without["spec"]["containers"][0]["restartPolicyRules"];
    assert!(!newest || *rules != Value::Null, "restartPolicyRules is pruned");
    let app = container(&with, "app").context("app")?;
    assert_eq!(variable(app, "AZURE_CLIENT_ID").context("injected")?["value"], CLIENT);
    keeps(&without, &with, "pod");
    Ok(())
}

/// Fields that only the newest versions of Kubernetes know.
fn add_newest(pod: &mut Value) {
    let spec = &mut pod["spec"];
    spec["hostnameOverride"] = json!("other-name");
    spec["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}});
    spec["volumes"][0] =
        json!({"name": "picture", "image": {"reference": "example.com/picture:1", "pullPolicy": "IfNotPresent"}});
    let app = &mut spec["containers"][0];
    app["restartPolicy"] = json!("Never");
    app["restartPolicyRules"] = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
}

/// All of `before` is in `after`, in its place: only new fields, and new elements behind the old ones.
fn keeps(before: &Value, after: &Value, at: &str) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                keeps(value, after.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, value) in before.iter().enumerate() {
                keeps(value, after.get(index).unwrap_or(&Value::Null), &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(before, after, "{at}"),
    }
}

/// As kubectl prints it: what is wrong, where, and what would be right.
pub(super) async fn a_wrong_expiration_is_denied(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let pods = scope.objects("v1", "Pod").await?;
    let mut pod = shell("short", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["metadata"]["annotations"] = json!({EXPIRATION: "60"});
    for (labels, entry) in [(json!({}), "annotated.podbadge.io"), (json!({USE: "true"}), "labelled.podbadge.io")] {
        pod["metadata"]["labels"] = labels;
        let Err(kube::Error::Api(status)) = pods.create(&pod).await else { panic!("admitted") };
        let message = status.message;
        let start = format!("admission webhook \"{entry}\" denied the request: ");
        assert!(message.starts_with(&start), "{message}");
        for part in [EXPIRATION, "60", "3600", "86400"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert!((400..500).contains(&status.code), "{}", status.code);
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    Ok(())
}

/// The service account may be wrong as well; then the message says so.
pub(super) async fn a_wrong_account_is_denied(scope: Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, EXPIRATION: "soon"}))).await?;
    let mut pod = shell("soon", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    let Err(kube::Error::Api(status)) = scope.objects("v1", "Pod").await?.create(&pod).await else {
        panic!("admitted")
    };
    for part in ["service account", EXPIRATION, "soon", "3600", "86400"] {
        assert!(status.message.contains(part), "{part} is not in: {}", status.message);
    }
    Ok(())
}
