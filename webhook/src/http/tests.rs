mod advice;

use super::{body::LARGEST, *};
use crate::lookup::{Facts, Index, Question, Unavailable};
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use podbadge_runtime::metrics::{Metrics, Registry};
use podbadge_webhook_core::{contract, identity::ServiceAccount, settings::Settings};
use serde_json::{Value, json};
use tower::ServiceExt as _;

struct Away;

impl Lookup for Away {
    async fn facts(&self, _question: Question<'_>, deadline: Duration) -> Result<Facts, Unavailable> {
        Err(Unavailable::Timeout(deadline))
    }
}

fn shop() -> Index {
    let index = Index::default();
    let annotations =
        [(contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555"), (contract::TENANT_ID, "contoso.example")];
    index.insert_account("shop", "till", ServiceAccount::from_annotations(annotations));
    index.insert_account("shop", "default", ServiceAccount::default());
    index
}

fn pod(service_account: &str) -> Value {
    json!({
        "metadata": { "generateName": "till-" },
        "spec": { "serviceAccountName": service_account, "containers": [{ "name": "app" }] },
    })
}

fn review(object: &Value) -> Vec<u8> {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop", "object": object,
            "resource": { "group": "", "version": "v1", "resource": "pods" },
        },
    })
    .to_string()
    .into_bytes()
}

/// Sends one request to a fresh webhook; returns status, headers, body and the metrics afterwards.
async fn ask(lookup: impl Lookup, uri: &str, body: impl Into<Body>) -> (http::response::Parts, Vec<u8>, String) {
    ask_with(Settings::default(), lookup, uri, body).await
}

async fn ask_with(
    settings: Settings,
    lookup: impl Lookup,
    uri: &str,
    body: impl Into<Body>,
) -> (http::response::Parts, Vec<u8>, String) {
    let mut registry = Registry::default();
    let metrics = Admissions::register(&mut registry);
    let router = router(Admission::new(Arc::new(settings), lookup), metrics);
    let request = Request::post(uri).body(body.into()).unwrap();
    let response: Response<Body> = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts, body, Metrics::from(registry).render().unwrap())
}

fn patched(pod: &Value, answer: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    assert_eq!(answer["response"]["uid"], "u-1");
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

#[tokio::test]
async fn a_pod_of_an_annotated_account_gets_its_identity() {
    let pod = pod("till");
    let (parts, answer, metrics) = ask(shop(), "/mutate-v1-pod?timeout=5s", review(&pod)).await;
    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(parts.headers["content-type"], "application/json");
    let patched = patched(&pod, &answer);
    assert_eq!(patched["spec"]["volumes"][0]["name"], "azure-identity-token");
    assert_eq!(patched["spec"]["containers"][0]["env"][0]["value"], "11111111-2222-3333-4444-555555555555");
    assert!(metrics.contains(r#"admissions_total{outcome="allow",reason="injected"} 1"#), "{metrics}");
}

#[tokio::test]
async fn other_pods_stay_as_they_are() {
    for account in ["default", "unknown"] {
        let (parts, answer, metrics) = ask(shop(), PATH, review(&pod(account))).await;
        assert_eq!(parts.status, StatusCode::OK);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["response"], json!({ "uid": "u-1", "allowed": true }));
        assert!(metrics.contains(r#"reason="not_opted_in"} 1"#), "{metrics}");
    }
}

#[tokio::test]
async fn a_mistake_is_denied_in_words() {
    let mut pod = pod("till");
    pod["metadata"]["annotations"] = json!({ contract::TOKEN_EXPIRATION: "60" });
    let (parts, answer, metrics) = ask(shop(), PATH, review(&pod)).await;
    assert_eq!(parts.status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(
        answer["response"]["status"]["message"],
        "pod annotation azure.workload.identity/service-account-token-expiration is \"60\"; it must be a whole number \
         of seconds from 3600 to 86400"
    );
    assert!(metrics.contains(r#"admissions_total{outcome="deny",reason="expiration"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_denied_by_name() {
    let object = json!({ "spec": { "containers": "none" } });
    let (parts, answer, _) = ask(shop(), PATH, review(&object)).await;
    assert_eq!(parts.status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("pod field spec.containers: invalid type: string, expected a sequence"), "{message}");
}

#[tokio::test]
async fn what_is_not_a_pod_is_allowed_with_a_warning() {
    let body = String::from_utf8(review(&pod("till"))).unwrap().replace("\"CREATE\"", "\"DELETE\"");
    let (parts, answer, _) = ask(shop(), PATH, body).await;
    assert_eq!(parts.status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["allowed"], true);
    let warning = "podbadge-webhook was asked about DELETE of pods; check the rules of its configuration";
    assert_eq!(answer["response"]["warnings"], json!([warning]));
}

#[tokio::test]
async fn a_failed_look_up_asks_for_another_try_while_there_is_time() {
    for (query, retry) in [("?timeout=5s", Some("1")), ("", Some("1")), ("?timeout=1s", None)] {
        let (parts, text, metrics) = ask(Away, &format!("{PATH}{query}"), review(&pod("till"))).await;
        assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(parts.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry, "{query}");
        assert_eq!(parts.headers["connection"], "close");
        assert!(text.starts_with(b"the service account could not be read within"), "{query}");
        assert!(metrics.contains(r#"admissions_total{outcome="fail",reason="lookup"} 1"#), "{metrics}");
    }
}

#[tokio::test]
async fn what_is_no_review_is_refused_in_one_line() {
    for body in ["", "{", "[]", r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#] {
        let (parts, text, metrics) = ask(shop(), PATH, body).await;
        assert_eq!(parts.status, StatusCode::BAD_REQUEST, "{body}");
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(metrics.contains(r#"outcome="refuse",reason="no_review"} 1"#), "{metrics}");
    }
}

#[tokio::test]
async fn a_big_review_is_served_and_a_huge_one_refused() {
    let mut pod = pod("till");
    pod["metadata"]["annotations"] = json!({ "filler": "x".repeat(3_000_000) });
    let (parts, answer, _) = ask(shop(), PATH, review(&pod)).await;
    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(patched(&pod, &answer)["metadata"]["annotations"]["filler"].as_str().unwrap().len(), 3_000_000);

    let (parts, text, _) = ask(shop(), PATH, vec![b' '; LARGEST + 1]).await;
    assert_eq!(parts.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text, b"the body is larger than 8 MiB\n");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let begun = futures_util::stream::once(async { Ok::<_, std::io::Error>("{") });
    let stalled = Body::from_stream(futures_util::StreamExt::chain(begun, futures_util::stream::pending()));
    let (parts, text, metrics) = ask(shop(), "/mutate-v1-pod?timeout=2s", stalled).await;
    assert_eq!(parts.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(text, b"the body did not end within 2 s\n");
    assert!(metrics.contains(r#"outcome="refuse",reason="bad_body"} 1"#), "{metrics}");
}

#[test]
fn the_time_out_is_read_as_the_api_server_writes_it() {
    for (query, seconds) in [
        ("timeout=5s", 5),
        ("a=b&timeout=30s", 30),
        ("", 10),
        ("timeout=1m", 10),
        ("timeout=0s", 1),
        ("timeout=18446744073709551615s", 30),
    ] {
        assert_eq!(timeout(query), Duration::from_secs(seconds), "{query}");
    }
}
