//! What a pod's author reads, word by word.

use crate::cluster::{Cluster, Object};
use podbadge_webhook_core::{
    contract,
    decision::Reason,
    denial::{Denial, Place},
    resources::Invalid,
    warning::{LONGEST, Warning},
};
use serde_json::{Value, json};
use std::collections::HashSet;

#[test]
fn denials() {
    let value = || "x\"y".to_owned();
    let cases = [
        (
            Denial::Expiration { place: Place::Pod, value: value() },
            "expiration",
            r#"pod annotation azure.workload.identity/service-account-token-expiration is "x\"y"; it must be a whole number of seconds from 3600 to 86400"#,
        ),
        (
            Denial::Expiration { place: Place::ServiceAccount, value: value() },
            "expiration",
            r#"service account annotation azure.workload.identity/service-account-token-expiration is "x\"y"; it must be a whole number of seconds from 3600 to 86400"#,
        ),
        (
            Denial::Sidecar { place: Place::Pod, value: value() },
            "sidecar_mode",
            r#"pod annotation podbadge.io/sidecar is "x\"y"; it must be endpoint, redirect or none"#,
        ),
        (
            Denial::Port { value: value() },
            "sidecar_port",
            r#"pod annotation azure.workload.identity/proxy-sidecar-port is "x\"y"; it must be a port from 1 to 65535"#,
        ),
        (
            Denial::Resources { value: "5m".to_owned(), why: Invalid::Unknown("gpu".to_owned()) },
            "sidecar_resources",
            r#"pod annotation podbadge.io/sidecar-resources is "5m": "gpu" is neither of requests and limits, nor a resource that the container uses; it must be JSON of requests and limits, each of cpu, memory and ephemeral-storage, such as {"requests":{"cpu":"5m","memory":"8Mi"},"limits":{"memory":"32Mi"}}"#,
        ),
        (
            Denial::HostNetwork,
            "host_network",
            "a pod on the host network cannot have redirection, which would redirect its node; set annotation \
             podbadge.io/sidecar to endpoint, or remove hostNetwork",
        ),
        (
            Denial::PassThrough { container: "web".to_owned(), user: Some(65532) },
            "pass_through",
            "container web runs as user 65532; the redirection lets user 65532 pass to the real metadata service and its \
             identities (PODBADGE_PASS_THROUGH is set for all sidecars): set securityContext.runAsUser to another, or \
             annotation podbadge.io/sidecar to endpoint",
        ),
        (
            Denial::Patterns { key: contract::SKIP_CONTAINERS, patterns: 33 },
            "patterns",
            "pod annotation azure.workload.identity/skip-containers has 33 names with * or ?; at most 32 are allowed",
        ),
        (
            Denial::PodClientId { value: value(), rule: podbadge_sidecar_core::ids::Invalid::ClientId },
            "pod_client_id",
            r#"pod annotation podbadge.io/client-id is "x\"y"; it must be a GUID such as 11111111-2222-3333-4444-555555555555"#,
        ),
        (
            Denial::NotAllowed { client_id: "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f".parse().unwrap() },
            "not_allowed",
            "pod annotation podbadge.io/client-id asks for 4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f, which the service account \
             does not allow; add it to the service account's podbadge.io/allowed-client-ids",
        ),
        (
            Denial::Annotation {
                place: Place::ServiceAccount,
                key: contract::AUDIENCE,
                value: value(),
                rule: "must be one word, not empty".to_owned(),
            },
            "annotation",
            r#"service account annotation podbadge.io/audience is "x\"y"; it must be one word, not empty"#,
        ),
        (
            Denial::NoTrustBundles {
                key: "azure.workload.identity/use-bindings".to_owned(),
                signer: "example.test/ca".to_owned(),
            },
            "no_trust_bundles",
            "pod annotation azure.workload.identity/use-bindings asks for the custom token endpoint, whose certificates \
             come from ClusterTrustBundles of \"example.test/ca\": this API server has none, and would leave them out \
             without a word; the webhook's operator has to name a ConfigMap instead",
        ),
        (
            Denial::Strict { mistakes: "this; that".to_owned() },
            "strict",
            "this; that; this cluster's webhook is strict about mistakes",
        ),
        (
            Denial::NoTenant,
            "no_tenant",
            "no tenant id: set annotation azure.workload.identity/tenant-id on the service account or its namespace, or --tenant-id on the webhook",
        ),
        (
            Denial::NoServiceAccount { namespace: "shop".to_owned(), name: "web".to_owned() },
            "no_service_account",
            r#"service account "web" of namespace "shop" does not exist"#,
        ),
        (
            Denial::Id {
                key: "azure.workload.identity/client-id",
                value: "my-app".to_owned(),
                rule: podbadge_sidecar_core::ids::Invalid::ClientId,
            },
            "id",
            "annotation azure.workload.identity/client-id of the service account or its namespace is \"my-app\"; it must \
             be a GUID such as 11111111-2222-3333-4444-555555555555, or no sidecar starts",
        ),
        (
            Denial::Volume { audience: "api://AzureADTokenExchange".to_owned() },
            "volume",
            r#"volume "azure-identity-token" exists and is not a projected service-account token with audience "api://AzureADTokenExchange"; rename it, or project such a token"#,
        ),
    ];
    for (denial, kind, text) in cases {
        assert_eq!((denial.as_str(), denial.to_string().as_str()), (kind, text));
    }
}

#[test]
fn reasons_are_distinct_labels() {
    let labels: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
    assert!(labels.iter().all(|label| label.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
}

/// What a golden pod says once is not said again here; these are the remaining and the long ones.
#[test]
fn warnings() {
    let long = "n".repeat(300);
    let endpoint = |spec: Value| (json!({ contract::SIDECAR: "endpoint" }), spec);
    let web = || json!({ "containers": [{ "name": "web" }] });
    let cases = [
        (
            endpoint(json!({ "containers": [{ "name": "web", "ports": [{ "containerPort": 8000 }] }] })),
            vec![
                "container web declares port 8000, on which the sidecar listens; set annotation \
                 azure.workload.identity/proxy-sidecar-port to another"
                    .to_owned(),
            ],
        ),
        (
            endpoint(json!({
                "restartPolicy": "OnFailure",
                "shareProcessNamespace": true,
                "initContainers": [{ "name": "init" }],
                "containers": [{ "name": "web" }],
            })),
            vec![
                "shareProcessNamespace shows the sidecar's token file to the other containers".to_owned(),
                "this cluster has no native sidecars: the sidecar keeps the pod from completing".to_owned(),
                "this cluster has no native sidecars: init containers run before the sidecar and cannot reach it".to_owned(),
            ],
        ),
        (
            (json!({ contract::INJECT_PROXY_SIDECAR: long }), web()),
            vec![format!(
                "azure.workload.identity/inject-proxy-sidecar is \"{}…\", which is neither \"true\" nor \"false\": it \
                 adds no sidecar",
                &long[..64]
            )],
        ),
        (
            (json!({ contract::SKIP_CONTAINERS: format!("web;{long}\n;a\nb") }), web()),
            vec![
                r#"azure.workload.identity/skip-containers: no container is called "a\nb"; names are separated by semicolons"#
                    .to_owned(),
                format!("azure.workload.identity/skip-containers: no container is called \"{}…\"; names are separated by semicolons", &long[..64]),
            ],
        ),
        (
            endpoint(json!({ "containers": [{ "name": "web", "env": [{ "name": "IDENTITY_HEADER", "value": "x" }] }] })),
            vec![
                "container web sets one of IDENTITY_ENDPOINT and IDENTITY_HEADER, which work only as a pair: remove it, \
                 or set both"
                    .to_owned(),
            ],
        ),
    ];
    for ((annotations, spec), expected) in cases {
        assert_eq!(admit(&annotations, &spec, "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f"), expected);
    }
}

#[test]
fn an_odd_client_id_cannot_break_a_header() {
    let warnings = admit(&json!({}), &json!({ "containers": [{ "name": "web" }] }), "a\u{7}\"\nb");
    assert_eq!(
        warnings,
        [concat!(
            r#"azure.workload.identity/client-id is "a\u{7}\"\nb"; it must be a GUID such as "#,
            "11111111-2222-3333-4444-555555555555, or Entra will not find it"
        )]
    );
}

#[test]
fn a_warning_is_never_longer_than_the_api_server_lets_through() {
    for length in [0, 1, LONGEST - 1, LONGEST, LONGEST + 1, 4 * LONGEST] {
        for text in ["x", "ä", "€", "😀"] {
            let text = text.repeat(length);
            let warning = Warning::new(text.clone());
            assert!(warning.as_str().len() <= LONGEST);
            assert_eq!(warning.as_str() == text, text.len() <= LONGEST);
        }
    }
}

fn admit(annotations: &Value, spec: &Value, client_id: &str) -> Vec<String> {
    let pod = json!({
        "metadata": { "labels": { contract::USE: "true" }, "annotations": annotations },
        "spec": spec,
    });
    let account =
        Object::annotated(&[(contract::CLIENT_ID, client_id), (contract::TENANT_ID, "contoso.onmicrosoft.com")]);
    let cluster = Cluster { service_account: Some(account), ..Cluster::default() };
    let admission = cluster.admit(&pod);
    assert_eq!(admission.denial, None);
    admission.warnings
}
