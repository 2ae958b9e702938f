//! Keys and values that a pod's author and an account's owner may write, known ones and others.
#![no_main]

use podbadge_fuzz::{ACCOUNT, NAMESPACE};
use podbadge_webhook_core::contract;
use serde_json::json;

const KEYS: [&str; 12] = [
    contract::USE,
    contract::TOKEN_EXPIRATION,
    contract::SKIP_CONTAINERS,
    contract::INCLUDE_CONTAINERS,
    contract::INJECT_PROXY_SIDECAR,
    contract::PROXY_SIDECAR_PORT,
    contract::SIDECAR,
    contract::SIDECAR_RESOURCES,
    contract::POD_CLIENT_ID,
    contract::IDENTITY_MAP,
    contract::AUTHORITY_HOST,
    "azure.workload.identity/use-bindings",
];

/// A known key by its number, or this one.
type Key<'a> = Result<u8, &'a str>;

fn key(key: Key<'_>) -> String {
    match key {
        Ok(number) => KEYS[usize::from(number) % KEYS.len()].to_owned(),
        Err(rest) => format!("{}{rest}", contract::PREFIXES[rest.len() % 2]),
    }
}

libfuzzer_sys::fuzz_target!(|input: ([(Key<'_>, &str); 3], &str, bool, bool)| {
    let (annotations, container, host_network, of_pod) = input;
    let annotations: serde_json::Map<_, _> =
        annotations.into_iter().map(|(name, value)| (key(name), json!(value))).collect();
    let metadata = json!({"labels": {contract::USE: "true"}, "annotations": annotations});
    let spec = json!({
        "serviceAccountName": ACCOUNT, "hostNetwork": host_network,
        "containers": [{"name": container}, {"name": "other", "env": [{"name": "NO_PROXY", "value": container}]}],
    });
    let (group, resource, object) = if of_pod {
        ("", "pods", json!({"metadata": metadata, "spec": spec}))
    } else {
        let template = json!({"metadata": metadata, "spec": spec});
        ("apps", "deployments", json!({"metadata": metadata, "spec": {"template": template}}))
    };
    let request = json!({
        "uid": "1", "operation": "CREATE", "namespace": NAMESPACE, "resource": {"group": group, "resource": resource},
        "object": object,
    });
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    podbadge_fuzz::review(review.to_string().as_bytes());
});
