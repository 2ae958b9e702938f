//! Fresh identities: what the webhook knows of service accounts while its watches are late, end or expire.

use crate::{
    api_server::{ApiServer, identity},
    webhook::Webhook,
};
use serde_json::{Value, json};
use std::time::Duration;

const USE: &str = "azure.workload.identity/use";
const CLIENT_ID: &str = "99999999-8888-7777-6666-555555555555";

fn pod(account: &str, labelled: bool) -> Value {
    let labels = if labelled { json!({ USE: "true" }) } else { json!({}) };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "object": {
                "metadata": { "generateName": "x-", "labels": labels },
                "spec": { "serviceAccountName": account, "containers": [{ "name": "app" }] },
            },
        },
    })
}

/// The client id that a pod of the account is given; empty for none, or the status of a failure.
async fn client_id(webhook: &Webhook, client: &reqwest::Client, account: &str, labelled: bool) -> String {
    let patch = match patch(webhook, client, &pod(account, labelled)).await {
        Ok(patch) => patch,
        Err(status) => return status.to_string(),
    };
    let values = patch.as_array().unwrap().iter().filter_map(|operation| operation["value"].as_array());
    let variable = values.flatten().find(|variable| variable["name"] == "AZURE_CLIENT_ID");
    variable.map_or_else(String::new, |variable| variable["value"].as_str().unwrap().to_owned())
}

async fn patch(webhook: &Webhook, client: &reqwest::Client, review: &Value) -> Result<Value, u16> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let response = client.post(webhook.url("/mutate-v1-pod?timeout=5s")).json(review).send().await.unwrap();
    if response.status() != 200 {
        return Err(response.status().as_u16());
    }
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let patch = answer["response"]["patch"].as_str().map(|patch| STANDARD.decode(patch).unwrap());
    Ok(patch.map_or_else(|| json!([]), |patch| serde_json::from_slice(&patch).unwrap()))
}

async fn started(api_server: &ApiServer) -> (Webhook, reqwest::Client) {
    let webhook = Webhook::start(&api_server.kubeconfig()).await;
    webhook.ready().await;
    let client = webhook.client(true);
    (webhook, client)
}

#[tokio::test]
async fn what_was_annotated_a_moment_ago_counts_while_the_watch_is_late() {
    let api_server = ApiServer::start().await;
    api_server.put_account("plain", &json!({}));
    api_server.put_account("relies-on-namespace", &json!({}));
    let (webhook, client) = started(&api_server).await;
    api_server.hold_watches(true);

    api_server.put_account("new", &identity(CLIENT_ID));
    assert_eq!(client_id(&webhook, &client, "new", false).await, CLIENT_ID, "one that the watch has not seen");
    api_server.put_account("plain", &identity(CLIENT_ID));
    assert_eq!(client_id(&webhook, &client, "plain", false).await, CLIENT_ID, "one that had no identity");
    api_server.put_account("till", &identity(CLIENT_ID));
    assert_eq!(client_id(&webhook, &client, "till", false).await, CLIENT_ID, "one that had another");

    assert_eq!(patch(&webhook, &client, &pod("relies-on-namespace", false)).await, Ok(json!([])));
    api_server.put_namespace("shop", &identity(CLIENT_ID));
    assert_eq!(client_id(&webhook, &client, "relies-on-namespace", true).await, CLIENT_ID);
    assert_eq!(patch(&webhook, &client, &pod("relies-on-namespace", false)).await, Ok(json!([])), "not opted in by it");

    api_server.delete_account("new");
    api_server.hold_watches(false);
    api_server.put_account("plain", &identity("00000000-0000-0000-0000-000000000000"));
    let watched =
        async { while client_id(&webhook, &client, "plain", false).await != "00000000-0000-0000-0000-000000000000" {} };
    tokio::time::timeout(Duration::from_secs(10), watched).await.expect("a change that the watch tells");
}

/// Who may write service accounts in one namespace may write many, each with as much text as the API server takes.
#[tokio::test]
async fn long_annotations_of_one_namespace_take_little_memory() {
    const COUNT: usize = 200;
    let api_server = ApiServer::start().await;
    let map = |length: usize| format!("{{{}}}", " ".repeat(length));
    for number in 0..COUNT {
        for (name, length) in [("long", 65_000), ("too-long", 255_000)] {
            let mut annotations = identity(CLIENT_ID);
            annotations["podbadge.io/identity-map"] = map(length).into();
            api_server.put_account(&format!("{name}-{number}"), &annotations);
        }
    }
    let (webhook, client) = started(&api_server).await;
    // All of it would be 64 MiB.
    let most = webhook.most_memory();
    assert!(most < 60, "{most} MiB");
    // What is not kept counts all the same.
    for number in [0, COUNT - 1] {
        assert_eq!(client_id(&webhook, &client, &format!("long-{number}"), true).await, CLIENT_ID);
        let review = pod(&format!("too-long-{number}"), true);
        let answer = client.post(webhook.url("/mutate-v1-pod?timeout=5s")).json(&review).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let told = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(told.contains("must be no longer than 65536 bytes, and has 255002"), "{told}");
    }
}

#[tokio::test]
async fn pods_that_ask_at_once_share_their_reads() {
    let api_server = ApiServer::start().await;
    let (webhook, client) = started(&api_server).await;
    api_server.hold_watches(true);
    api_server.put_account("burst", &identity(CLIENT_ID));
    api_server.be_slow(true);
    let reviews = (0..100).map(|_| client_id(&webhook, &client, "burst", false));
    let reviews = futures_util::future::join_all(reviews);
    let asked = async {
        api_server.asked_for("/serviceaccounts/burst", 1).await;
        api_server.be_slow(false);
    };
    let (answers, ()) = tokio::join!(reviews, asked);
    assert!(answers.iter().all(|answer| answer == CLIENT_ID), "{answers:?}");
    // One, unless the machine is so busy that a read has become old before the last pod asks.
    let reads = api_server.asked("/serviceaccounts/burst");
    assert!(reads <= 5, "{reads}");
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_and_one_that_expired_lists_again() {
    let api_server = ApiServer::start().await;
    let (webhook, client) = started(&api_server).await;
    assert_eq!(api_server.asked("serviceaccounts? sendInitialEvents"), 1);

    api_server.end_watches();
    api_server.asked_for("serviceaccounts? watch=true", 2).await;
    assert_eq!(api_server.asked("sendInitialEvents"), 3, "each kind once");

    api_server.hold_watches(true);
    api_server.delete_account("till");
    api_server.put_account("other", &identity(CLIENT_ID));
    api_server.expire_watches();
    api_server.asked_for("sendInitialEvents", 4).await;
    api_server.hold_watches(false);
    let relisted = async {
        while !webhook.admin("/metrics").await.1.contains(r#"watch_lists_total{kind="service accounts"} 2"#) {}
    };
    tokio::time::timeout(Duration::from_secs(30), relisted).await.expect("not listed again");
    let reads = api_server.asked("/serviceaccounts/other");
    api_server.be_slow(true);
    // From memory, after the confirmation that the slow API server does not give.
    assert_eq!(client_id(&webhook, &client, "other", false).await, CLIENT_ID);
    assert_eq!(api_server.asked("/serviceaccounts/other"), reads + 1);
    // What is gone is gone from memory, too: it would have to be read.
    assert_eq!(patch(&webhook, &client, &pod("till", false)).await, Err(503));
}

#[tokio::test]
async fn an_api_server_that_does_not_stream_lists_is_asked_for_pages() {
    let api_server = ApiServer::start().await;
    api_server.list_in_pages();
    for name in ["a", "b", "c", "d"] {
        api_server.put_account(name, &identity(CLIENT_ID));
    }
    let (webhook, client) = started(&api_server).await;
    assert_eq!(api_server.asked("serviceaccounts? limit=500"), 3, "pages of two");
    api_server.be_slow(true);
    for name in ["till", "a", "d"] {
        assert_ne!(client_id(&webhook, &client, name, false).await, "", "{name}");
    }
    api_server.expire_watches();
    api_server.asked_for("serviceaccounts? limit=500", 3).await;
    assert_eq!(api_server.asked("serviceaccounts? sendInitialEvents"), 1);
}

#[tokio::test]
async fn a_time_out_is_a_failure_and_never_a_wrong_answer() {
    let api_server = ApiServer::start().await;
    api_server.put_account("plain", &json!({}));
    let (webhook, client) = started(&api_server).await;
    api_server.be_slow(true);
    // A pod that says it has an identity waits for it; others go by what was known.
    assert_eq!(client_id(&webhook, &client, "unknown", false).await, "503");
    assert_eq!(client_id(&webhook, &client, "unknown", true).await, "503");
    assert_eq!(client_id(&webhook, &client, "plain", true).await, "503");
    assert_eq!(client_id(&webhook, &client, "plain", false).await, "");
    let known = "11111111-2222-3333-4444-555555555555";
    assert_eq!(client_id(&webhook, &client, "till", true).await, known);
    assert_eq!(client_id(&webhook, &client, "till", false).await, known);
    api_server.be_slow(false);
    api_server.put_account("plain", &identity(CLIENT_ID));
    assert_eq!(client_id(&webhook, &client, "plain", true).await, CLIENT_ID);
}

#[tokio::test]
async fn an_api_server_that_restarts_is_followed_again() {
    let api_server = ApiServer::start().await;
    let (webhook, client) = started(&api_server).await;
    api_server.be_down(true);
    let known = "11111111-2222-3333-4444-555555555555";
    assert_eq!(client_id(&webhook, &client, "till", true).await, known, "what is known is not forgotten");
    let gap =
        async { while !webhook.admin("/metrics").await.1.contains(r#"watch_connected{kind="service accounts"} 0"#) {} };
    tokio::time::timeout(Duration::from_secs(30), gap).await.expect("nobody noticed");
    api_server.put_account("till", &identity(CLIENT_ID));
    api_server.be_down(false);
    let followed = async { while client_id(&webhook, &client, "till", false).await != CLIENT_ID {} };
    tokio::time::timeout(Duration::from_secs(30), followed).await.expect("not followed again");
}

#[tokio::test]
async fn the_sidecar_keeps_within_limit_ranges_as_they_come_and_change() {
    let api_server = ApiServer::start().await;
    api_server.put_limit_range("small", &json!({ "type": "Container", "max": { "memory": "16Mi" } }));
    let (webhook, client) = started(&api_server).await;
    let mut review = pod("till", false);
    review["request"]["object"]["metadata"]["annotations"] = json!({ "podbadge.io/sidecar": "endpoint" });
    let memory = async || {
        let patch = patch(&webhook, &client, &review).await.unwrap().to_string();
        let (_, limits) = patch.split_once(r#""limits":{"cpu":"500m","memory":""#).expect("limits");
        limits.split_once('"').unwrap().0.to_owned()
    };
    assert_eq!(memory().await, "16Mi");
    api_server.put_limit_range("small", &json!({ "type": "Container", "max": { "memory": "24Mi" } }));
    let changed = async { while memory().await != "24Mi" {} };
    tokio::time::timeout(Duration::from_secs(10), changed).await.expect("the change is not seen");
}
