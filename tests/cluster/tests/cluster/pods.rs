//! Pods and service accounts as users write them.

use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT, SECRET, vault_url};
use podbadge_cluster_tests::images::{APPLICATION, SHELL};
use serde_json::{Value, json};

pub(crate) const USE: &str = "azure.workload.identity/use";
pub(crate) const CLIENT_ID: &str = "azure.workload.identity/client-id";

/// A pod of one container `app` that runs a shell script once.
pub(crate) fn shell(name: &str, script: &str) -> Value {
    pod(name, json!({"name": "app", "image": SHELL, "command": ["sh", "-euc", script]}))
}

/// A pod of the service account [`ACCOUNT`] that reads the secret once.
pub(crate) fn reader(name: &str) -> Value {
    let mut pod = pod(name, json!({"name": "app", "image": APPLICATION, "args": [vault_url(), SECRET]}));
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod
}

fn pod(name: &str, container: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    })
}

/// A service account with annotations.
pub(crate) fn account(name: &str, annotations: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "annotations": annotations}})
}

/// The annotated service account of [`reader`].
pub(crate) fn identity() -> Value {
    account(ACCOUNT, json!({CLIENT_ID: CLIENT}))
}

/// A variable's value.
pub(crate) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    container["env"].as_array()?.iter().find(|variable| variable["name"] == name)
}

/// A container of either list.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    let list = |list: &str| pod["spec"][list].as_array().into_iter().flatten();
    list("initContainers").chain(list("containers")).find(|container| container["name"] == name)
}

/// Whether a container has a mount at that path.
pub(crate) fn mounts(container: &Value, path: &str) -> bool {
    container["volumeMounts"].as_array().into_iter().flatten().any(|mount| mount["mountPath"] == path)
}
