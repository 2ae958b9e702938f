//! Containers of `kubectl debug`, in pods that were admitted before.

use podbadge_webhook_core::{
    contract,
    decision::{self, Known, Outcome},
    identity::{Namespace, ServiceAccount},
    pod::Pod,
    resources::Limits,
    settings::Settings,
};
use serde_json::{Value, json};

/// A pod that has its token volume, with these annotations and this label; and a container `dbg` where `debugged`.
fn pod(annotations: &Value, label: &str, debugged: bool) -> Vec<u8> {
    let debug = if debugged { json!([{ "name": "dbg" }]) } else { json!([]) };
    let source =
        json!({ "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": "azure-identity-token" } });
    json!({
        "metadata": { "name": "web", "labels": { contract::USE: label }, "annotations": annotations },
        "spec": {
            "containers": [{ "name": "app" }],
            "ephemeralContainers": debug,
            "volumes": [{ "name": contract::VOLUME, "projected": { "sources": [source] } }],
        },
    })
    .to_string()
    .into_bytes()
}

fn patch(annotations: &Value, label: &str) -> Option<String> {
    let (before, after) = (pod(annotations, label, false), pod(annotations, label, true));
    let account = ServiceAccount::from_annotations([
        (contract::CLIENT_ID, "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f"),
        (contract::TENANT_ID, "contoso.onmicrosoft.com"),
    ]);
    let (namespace, settings) = (Namespace::default(), Settings::default());
    let known = Known { service_account: Some(&account), namespace: &namespace, limits: &Limits::NONE, random: 0 };
    let read = |text| Pod::from_json(text).unwrap();
    match decision::decide_ephemeral(&read(&after), &read(&before), known, &settings) {
        Outcome::Allow { patch, .. } => patch.map(|patch| String::from_utf8(patch.as_bytes().to_vec()).unwrap()),
        Outcome::Deny { denial, .. } => panic!("who debugs has trouble enough: {denial}"),
    }
}

#[test]
fn a_debug_container_has_its_pods_identity_unless_it_is_named_to_be_skipped() {
    let given = patch(&json!({}), "true").unwrap();
    assert!(given.contains("/spec/ephemeralContainers/0/env") && given.contains("AZURE_CLIENT_ID"), "{given}");
    // Nobody knows a debug container's name when the pod is written, so a list of those that are meant is not about it.
    assert_eq!(patch(&json!({ contract::INCLUDE_CONTAINERS: "app" }), "true"), Some(given));
    assert_eq!(patch(&json!({ contract::SKIP_CONTAINERS: "db*" }), "true"), None);
    assert_eq!(patch(&json!({}), "false"), None);
}
