//! The webhook's process: how it starts, what it answers over real TLS, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod api_server;
mod identities;
mod overload;
mod webhook;

use api_server::ApiServer;
use serde_json::{Value, json};
use webhook::{Webhook, refused};

fn review(annotations: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "object": {
                "metadata": { "generateName": "till-", "annotations": annotations },
                "spec": { "serviceAccountName": "till", "containers": [{ "name": "app" }] },
            },
        },
    })
}

#[tokio::test]
async fn it_serves_both_protocols_and_stops_in_order() {
    let api_server = ApiServer::start().await;
    let mut webhook = Webhook::start(&api_server.kubeconfig()).await;
    webhook.ready().await;
    for (client, version) in
        [(webhook.client(true), http::Version::HTTP_11), (webhook.client(false), http::Version::HTTP_2)]
    {
        let response =
            client.post(webhook.url("/mutate-v1-pod?timeout=5s")).json(&review(&json!({}))).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, version));
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["response"]["patchType"], "JSONPatch", "{answer}");
    }
    let metrics = webhook.admin("/metrics").await.1;
    assert!(metrics.contains(r#"podbadge_webhook_admissions_total{outcome="allow",reason="injected"} 2"#), "{metrics}");

    let client = webhook.client(true);
    webhook.terminate();
    // Still in the Service's endpoints for a while: it says it is leaving, and goes on answering on fresh connections.
    while webhook.admin("/readyz").await.0 == 200 {}
    let response = client.post(webhook.url("/mutate-v1-pod")).json(&review(&json!({}))).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["connection"]), (200, &"close".parse().unwrap()));
    assert_eq!(webhook.ended().await, Some(0));
}

#[tokio::test]
async fn it_goes_on_after_what_is_no_review() {
    let api_server = ApiServer::start().await;
    let webhook = Webhook::start(&api_server.kubeconfig()).await;
    webhook.ready().await;
    let client = webhook.client(true);
    for (body, status) in
        [(b"".to_vec(), 400), (b"{".to_vec(), 400), (b"{\"kind\":\"Pod\"}".to_vec(), 400), (vec![b' '; 9 << 20], 413)]
    {
        let response = client.post(webhook.url("/mutate-v1-pod")).body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let text = response.text().await.unwrap();
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    }
    let wrong = review(&json!({ "azure.workload.identity/service-account-token-expiration": "1" }));
    let response = client.post(webhook.url("/mutate-v1-pod")).json(&wrong).send().await.unwrap();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["response"]["allowed"], false);
}

#[tokio::test]
async fn it_is_not_ready_without_an_api_server_and_says_what_is_missing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kubeconfig = api_server::kubeconfig(silent.local_addr().unwrap());
    let mut webhook = Webhook::start(&kubeconfig).await;
    let (status, text) = webhook.admin("/readyz").await;
    assert_eq!(status, 503);
    for kind in ["service accounts", "namespaces", "limit ranges"] {
        assert!(text.contains(&format!("{kind} listed")), "{text}");
    }
    assert!(text.contains("cluster's features known"), "{text}");
    assert_eq!(webhook.admin("/livez").await.0, 200);
    webhook.terminate();
    assert_eq!(webhook.ended().await, Some(0), "it stops all the same");
}

fn misspelt_account() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": { "group": "", "version": "v1", "resource": "serviceaccounts" },
            "object": { "metadata": { "name": "web", "annotations": { "azure.workload.identity/clientid": "x" } } },
        },
    })
}

#[tokio::test]
async fn it_advises_and_refuses_only_where_it_is_strict() {
    let api_server = ApiServer::start().await;
    let text =
        "annotation azure.workload.identity/clientid is not known; did you mean azure.workload.identity/client-id?";
    for (variables, allowed, at) in
        [(vec![], true, "/response/warnings/0"), (vec![("PODBADGE_STRICT", "true")], false, "/response/status/message")]
    {
        let webhook = Webhook::start_with(&api_server.kubeconfig(), &variables).await;
        webhook.ready().await;
        let request = webhook.client(false).post(webhook.url("/validate-v1?timeout=2s")).json(&misspelt_account());
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["response"]["allowed"], allowed);
        assert_eq!(answer.pointer(at), Some(&json!(text)), "{answer}");
        let metrics = webhook.admin("/metrics").await.1;
        let sample =
            if allowed { r#"{outcome="allow",reason="warned"} 1"# } else { r#"{outcome="deny",reason="mistake"} 1"# };
        assert!(metrics.contains(&format!("podbadge_webhook_advice_total{sample}")), "{metrics}");
    }
}

#[test]
fn wrong_settings_end_with_code_2_and_one_line() {
    for (flag, says) in [
        ("--authority-host=http://a", "--authority-host is \"http://a\"; it must be an https URL"),
        ("--audience=a b", "--audience is \"a b\"; it must be one word"),
        ("--cloud=Mars", "possible values: AzurePublicCloud"),
        ("--tls=files", "--tls-dir"),
        ("--listen-address=here", "--listen-address"),
        (
            "--validating-webhook-configuration=a b",
            "--validating-webhook-configuration is \"a b\"; it must be a Kubernetes name",
        ),
        ("--unknown", "--unknown"),
    ] {
        let (code, text) = refused(&[flag]);
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{flag}: {text}");
        assert!(text.contains(says), "{flag}: {text}");
    }
}

#[test]
fn empty_variables_count_as_unset() {
    let flags = ["--listen-address=203.0.113.1:1"];
    let variables = ["AZURE_TENANT_ID", "AZURE_ENVIRONMENT", "PODBADGE_AUTHORITY_HOST", "PODBADGE_LOG_LEVEL"];
    let (code, text) = webhook::refused_with(&flags, &variables.map(|name| (name, "")));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cannot listen on 203.0.113.1:1"), "{text}");
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "kind: Config\nusers:\n- name: u\n  user:\n    token: [hunter2\n").unwrap();
    let flags = ["--listen-address=127.0.0.1:0", "--admin-address=127.0.0.1:0", "--log-level=error"];
    let (code, text) = webhook::refused_with(&flags, &[("KUBECONFIG", file.path().to_str().unwrap())]);
    assert_eq!((code, text.lines().count()), (Some(1), 1), "{text}");
    assert!(text.contains("no cluster is known") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_address_that_cannot_be_bound_and_a_missing_cluster_are_said() {
    for (flags, says) in [
        (vec!["--listen-address=203.0.113.1:1"], "cannot listen on 203.0.113.1:1"),
        (vec!["--listen-address=127.0.0.1:0", "--admin-address=127.0.0.1:0"], "no cluster is known"),
    ] {
        let (code, text) = refused(&flags);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(says), "{text}");
    }
}

/// docs/metrics.md is what operators, the alerts and the dashboard go by.
#[tokio::test]
async fn its_metrics_are_those_that_are_documented() {
    let api_server = ApiServer::start().await;
    let webhook = Webhook::start(&api_server.kubeconfig()).await;
    webhook.ready().await;
    let answer =
        webhook.client(true).post(webhook.url("/mutate-v1-pod")).json(&review(&json!({}))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let served = webhook.admin("/metrics").await.1;
    let served: std::collections::BTreeSet<_> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let documented: Vec<_> = text.lines().filter(|line| line.starts_with("| `podbadge_webhook_")).map(metric).collect();
    let documented = documented.iter().map(String::as_str).collect();
    assert_eq!(served, documented);
}

/// Name and type of a row.
fn metric(row: &str) -> String {
    let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
    format!("{} {}", cells.next().unwrap(), cells.next().unwrap())
}
