//! More connections than are taken at once.

use crate::{api_server::ApiServer, review, webhook::Webhook};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// As many as are taken, each kept open after its first answer, as the API server does.
const OPEN: usize = 2048;
const BEYOND: usize = 300;

async fn asked(webhook: &Webhook) -> reqwest::Client {
    let client = webhook.client(true);
    let response = client.post(webhook.url("/mutate-v1-pod")).json(&review(&json!({}))).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.bytes().await.unwrap();
    client
}

/// Those beyond wait and are served, none is refused or reset; probes are answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_and_probes_do_not() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    let api_server = ApiServer::start().await;
    let webhook = std::sync::Arc::new(Webhook::start(&api_server.kubeconfig()).await);
    webhook.ready().await;
    let many = |count: usize| {
        let mut all = JoinSet::new();
        for _ in 0..count {
            let webhook = std::sync::Arc::clone(&webhook);
            all.spawn(async move { asked(&webhook).await });
        }
        all
    };
    let mut open = Vec::new();
    while open.len() < OPEN {
        open.append(&mut many(64.min(OPEN - open.len())).join_all().await);
    }
    let mut beyond = many(BEYOND);
    for _ in 0..20 {
        for (path, says) in [("/livez", "ok"), ("/readyz", "ok"), ("/metrics", "podbadge_webhook_admissions_total")] {
            let (status, text) = tokio::time::timeout(Duration::from_secs(2), webhook.admin(path)).await.unwrap();
            assert!(status == 200 && text.contains(says), "{path}: {status} {text}");
        }
    }
    assert!(beyond.try_join_next().is_none(), "one was served beyond the limit, or refused");
    drop(open);
    assert_eq!(beyond.join_all().await.len(), BEYOND);
}
