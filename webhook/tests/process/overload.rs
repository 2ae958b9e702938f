//! More connections than are taken at once.

use crate::{api_server::ApiServer, review, webhook::Webhook};
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout},
};

/// As many as are taken, each kept open after its first answer, as the API server does.
const OPEN: usize = 2048;
const BEYOND: usize = 300;
const SENT: usize = (8 << 20) - 100;
const PATIENCE: Duration = Duration::from_secs(60);

async fn asked(webhook: &Webhook) -> reqwest::Client {
    let client = webhook.client(true);
    let response = client.post(webhook.url("/mutate-v1-pod")).json(&review(&json!({}))).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.bytes().await.unwrap();
    client
}

/// Idle connections make room for those beyond, none of which is refused or reset; and probes are answered, however many
/// connections there are to their own port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_lock_nobody_out() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    let api_server = ApiServer::start().await;
    let webhook = Arc::new(Webhook::start(&api_server.kubeconfig()).await);
    webhook.ready().await;
    let many = |count: usize| {
        let mut all = JoinSet::new();
        for _ in 0..count {
            let webhook = Arc::clone(&webhook);
            all.spawn(async move { asked(&webhook).await });
        }
        all
    };
    let mut open = Vec::new();
    while open.len() < OPEN {
        open.append(&mut many(64.min(OPEN - open.len())).join_all().await);
    }
    let mut silent = Vec::new();
    for _ in 0..OPEN {
        silent.push(TcpStream::connect(webhook.admin_address()).await.unwrap());
    }
    let beyond = many(BEYOND);
    for _ in 0..20 {
        for (path, says) in [("/livez", "ok"), ("/readyz", "ok"), ("/metrics", "podbadge_webhook_admissions_total")] {
            let (status, text) = timeout(PATIENCE, webhook.admin(path)).await.unwrap();
            assert!(status == 200 && text.contains(says), "{path}: {status} {text}");
        }
    }
    let beyond = timeout(PATIENCE, beyond.join_all()).await.unwrap();
    assert_eq!(beyond.len(), BEYOND);
    let (_, metrics) = webhook.admin("/metrics").await;
    assert!(metrics.contains(&format!("podbadge_webhook_connections {OPEN}\n")), "{metrics}");
    assert!(metrics.contains(&format!("podbadge_webhook_connections_evicted_total {BEYOND}\n")), "{metrics}");
    drop((open, silent, beyond));
}

/// Bodies that do not end take no more memory than is set aside for all, and small ones have room beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_take_no_more_than_their_share() {
    let api_server = ApiServer::start().await;
    let webhook = Arc::new(Webhook::start(&api_server.kubeconfig()).await);
    webhook.ready().await;
    let before = webhook.most_memory();
    let mut stalled = JoinSet::new();
    for _ in 0..80 {
        let webhook = Arc::clone(&webhook);
        stalled.spawn(async move {
            let url = webhook.url("/mutate-v1-pod?timeout=30s");
            let body = reqwest::Body::wrap(Stalled(Some(Bytes::from_static(&[b' '; SENT]))));
            let answer = webhook.client(true).post(url).body(body).send().await;
            // Who is refused while it sends may not get to read why.
            answer.ok().map(|answer| answer.status().as_u16())
        });
    }
    let (mut statuses, mut meanwhile, began) = (Vec::new(), 0, Instant::now());
    while !stalled.is_empty() {
        asked(&webhook).await;
        meanwhile += 1;
        while let Some(ended) = stalled.try_join_next() {
            statuses.push(ended.unwrap());
        }
        assert!(began.elapsed() < PATIENCE, "{statuses:?}");
    }
    let most = webhook.most_memory();
    assert!(most - before < 150, "{most} MiB, {before} before");
    assert!(statuses.contains(&Some(408)), "{statuses:?}");
    assert!(meanwhile > 10, "{meanwhile}");
    let (_, metrics) = webhook.admin("/metrics").await;
    let full = r#"podbadge_webhook_admissions_total{outcome="fail",reason="no_room"} "#;
    assert!(metrics.contains(full), "{metrics}");
}

/// Announces 8 MiB, sends nearly all of them, and never ends.
struct Stalled(Option<Bytes>);

impl HttpBody for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(8 << 20)
    }
}
