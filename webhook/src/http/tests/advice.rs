//! The path that gives advice.

use super::*;

const MISTAKE: &str =
    "annotation azure.workload.identity/client_id is not known; did you mean azure.workload.identity/client-id?";

fn review(group: &str, resource: &str, object: &Value) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "UPDATE", "namespace": "shop", "object": object,
            "resource": { "group": group, "version": "v1", "resource": resource },
        },
    })
    .to_string()
    .into_bytes()
}

fn misspelt() -> Vec<u8> {
    let annotations = json!({ "azure.workload.identity/client_id": "x", "azure.workload.identity/tenant-id": "" });
    review("", "serviceaccounts", &json!({ "metadata": { "name": "till", "annotations": annotations } }))
}

fn deployment(service_account: &str, annotations: &Value) -> Vec<u8> {
    let mut template = pod(service_account);
    template["metadata"]["labels"] = json!({ contract::USE: "true" });
    template["metadata"]["annotations"] = annotations.clone();
    review("apps", "deployments", &json!({ "spec": { "template": template } }))
}

/// The answer's response, and the metrics.
async fn advise(strict: bool, lookup: impl Lookup, body: impl Into<Body>) -> (Value, String) {
    let settings = Settings { strict, ..Settings::default() };
    let (parts, answer, metrics) = ask_with(settings, lookup, "/validate-v1?timeout=2s", body).await;
    assert_eq!(parts.status, StatusCode::OK);
    let mut answer: Value = serde_json::from_slice(&answer).unwrap();
    (answer["response"].take(), metrics)
}

#[tokio::test]
async fn what_is_wrong_is_said_and_allowed() {
    let (response, metrics) = advise(false, shop(), misspelt()).await;
    let note = "annotation azure.workload.identity/tenant-id is empty; the tenant of the namespace or of the \
                installation counts";
    let counts = "annotation azure.workload.identity/tenant-id counts for labelled pods only: without \
                  azure.workload.identity/client-id this service account opts no pod in";
    assert_eq!(response, json!({ "uid": "u-1", "allowed": true, "warnings": [MISTAKE, note, counts] }));
    assert!(metrics.contains(r#"advice_total{outcome="allow",reason="warned"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"admissions_total{outcome="allow",reason="injected"} 0"#), "{metrics}");

    let (response, metrics) = advise(true, shop(), deployment("till", &json!({}))).await;
    assert_eq!(response, json!({ "uid": "u-1", "allowed": true }));
    assert!(metrics.contains(r#"advice_total{outcome="allow",reason="silent"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_strict_installation_refuses_mistakes_alone() {
    let (response, metrics) = advise(true, shop(), misspelt()).await;
    assert_eq!((&response["allowed"], &response["status"]["message"]), (&json!(false), &json!(MISTAKE)));
    assert_eq!(response["warnings"].as_array().unwrap().len(), 2, "{response}");
    assert!(metrics.contains(r#"advice_total{outcome="deny",reason="mistake"} 1"#), "{metrics}");

    let (response, _) = advise(true, shop(), deployment("unknown", &json!({}))).await;
    assert_eq!(response["allowed"], true, "{response}");
    let note = "service account \"unknown\" does not exist yet; until it does, no pod is created";
    assert_eq!(response["warnings"], json!([note]));

    let (response, _) = advise(true, shop(), deployment("till", &json!({ contract::TOKEN_EXPIRATION: "1" }))).await;
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("pods of this template will be refused: pod annotation"), "{message}");
}

#[tokio::test]
async fn a_failed_look_up_costs_its_advice_and_nothing_else() {
    let (response, metrics) = advise(true, Away, deployment("till", &json!({}))).await;
    assert_eq!(response, json!({ "uid": "u-1", "allowed": true }));
    assert!(metrics.contains(r#"advice_total{outcome="allow",reason="lookup"} 1"#), "{metrics}");
    let wrong = json!({ contract::TOKEN_EXPIRATION: "1" });
    let (response, _) = advise(false, Away, deployment("till", &wrong)).await;
    assert_eq!(response["warnings"].as_array().unwrap().len(), 1, "{response}");
}

#[tokio::test]
async fn what_is_not_advised_on_is_allowed() {
    for (group, resource, object, reason) in [
        ("", "pods", pod("till"), "other"),
        ("", "secrets", json!({}), "other"),
        ("apps", "deployments", json!({ "spec": { "template": "none" } }), "bad_object"),
        ("apps", "deployments", json!({ "spec": {} }), "silent"),
    ] {
        let (response, metrics) = advise(true, shop(), review(group, resource, &object)).await;
        assert_eq!(response["allowed"], true, "{resource}: {response}");
        assert_eq!(response["warnings"].is_array(), reason != "silent", "{resource}: {response}");
        let sample = format!(r#"advice_total{{outcome="allow",reason="{reason}"}} 1"#);
        assert!(metrics.contains(&sample), "{metrics}");
    }
    let (parts, _, metrics) = ask(shop(), ADVICE_PATH, "{").await;
    assert_eq!(parts.status, StatusCode::BAD_REQUEST);
    assert!(metrics.contains(r#"advice_total{outcome="refuse",reason="no_review"} 1"#), "{metrics}");
}
