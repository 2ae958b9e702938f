//! As much of an API server as the webhook reads, with one annotated service account.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::sync::watch;

pub(crate) struct ApiServer {
    address: SocketAddr,
    watches: Arc<Watches>,
    task: tokio::task::JoinHandle<()>,
}

struct Watches {
    /// Counts up whenever all watches are to end.
    epoch: watch::Sender<u32>,
    /// The epochs in which watches began.
    begun: watch::Sender<Vec<u32>>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let watches = Arc::new(Watches { epoch: watch::Sender::new(0), begun: watch::Sender::new(Vec::new()) });
        let router = Router::new()
            .route(
                "/version",
                get(async || {
                    Json(json!({
                        "major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "", "gitTreeState": "",
                        "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
                    }))
                }),
            )
            .route("/api/v1/serviceaccounts", get(accounts))
            .route("/api/v1/namespaces", get(namespaces))
            .with_state(Arc::clone(&watches));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, watches, task }
    }

    pub(crate) fn kubeconfig(&self) -> String {
        kubeconfig(self.address)
    }

    pub(crate) fn end_watches(&self) {
        self.watches.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Waits until a watch begins after the last end.
    pub(crate) async fn watched_again(&self) {
        let epoch = *self.watches.epoch.borrow();
        self.watches.begun.subscribe().wait_for(|begun| begun.contains(&epoch)).await.unwrap();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn kubeconfig(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
    })
    .to_string()
}

type Parameters = Query<HashMap<String, String>>;

async fn accounts(State(watches): State<Arc<Watches>>, Query(query): Parameters) -> Response {
    let annotations = json!({
        "azure.workload.identity/client-id": "11111111-2222-3333-4444-555555555555",
        "azure.workload.identity/tenant-id": "66666666-7777-8888-9999-000000000000",
    });
    answer(&watches, &query, &[json!({ "name": "till", "namespace": "shop", "annotations": annotations })])
}

async fn namespaces(State(watches): State<Arc<Watches>>, Query(query): Parameters) -> Response {
    answer(&watches, &query, &[json!({ "name": "shop" })])
}

fn answer(watches: &Watches, query: &HashMap<String, String>, objects: &[Value]) -> Response {
    if query.contains_key("watch") {
        let mut epochs = watches.epoch.subscribe();
        let epoch = *epochs.borrow_and_update();
        watches.begun.send_modify(|begun| begun.push(epoch));
        let ended = async move { drop(epochs.changed().await) };
        let quiet = futures_util::stream::pending::<Result<Bytes, Infallible>>().take_until(Box::pin(ended));
        return Body::from_stream(quiet).into_response();
    }
    let kind = |metadata: &Value| {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        })
    };
    let items: Vec<_> = objects.iter().map(kind).collect();
    Json(json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": { "resourceVersion": "7" }, "items": items,
    }))
    .into_response()
}
