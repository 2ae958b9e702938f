//! As much of an API server as the webhook reads, with what real ones do to their clients: watches that are late, end or
//! expire, lists in a stream or in pages, restarts.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use std::{collections::HashMap, convert::Infallible, net::SocketAddr, time::Duration};
use tokio::sync::watch;

const ACCOUNTS: &str = "/api/v1/serviceaccounts";
const NAMESPACES: &str = "/api/v1/namespaces";
const LIMIT_RANGES: &str = "/api/v1/limitranges";

pub(crate) struct ApiServer {
    address: SocketAddr,
    cluster: watch::Sender<Cluster>,
    task: tokio::task::JoinHandle<()>,
}

/// Everything that tests change and watches wait for.
#[derive(Default)]
struct Cluster {
    /// The objects by the path of their list.
    objects: HashMap<&'static str, Vec<Value>>,
    /// Every change, in order; the version after it is its place here, counted from 1.
    changes: Vec<Change>,
    /// Counts up whenever all watches are to end.
    epoch: u32,
    /// No watch can begin from an older version.
    oldest: usize,
    /// Watches tell nothing new.
    held: bool,
    /// Every request fails, as while a process behind a load balancer starts.
    down: bool,
    /// Lists are not streamed, as before Kubernetes 1.32.
    pages_only: bool,
    /// Reads of single objects wait.
    slow: bool,
    /// The requests so far, with their query.
    asked: Vec<String>,
}

#[derive(Clone)]
struct Change {
    list: &'static str,
    event: Value,
}

type Shared = watch::Sender<Cluster>;

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let cluster = watch::Sender::new(Cluster::default());
        let router = Router::new()
            .route("/version", get(version))
            .route(ACCOUNTS, get(async |state: State<Shared>, query: Parameters| list(ACCOUNTS, &state, &query)))
            .route(NAMESPACES, get(async |state: State<Shared>, query: Parameters| list(NAMESPACES, &state, &query)))
            .route(
                LIMIT_RANGES,
                get(async |state: State<Shared>, query: Parameters| list(LIMIT_RANGES, &state, &query)),
            )
            .route("/api/v1/namespaces/{name}", get(namespace))
            .route("/api/v1/namespaces/{namespace}/serviceaccounts/{name}", get(account))
            .layer(middleware::from_fn_with_state(cluster.clone(), note))
            .with_state(cluster.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let server = Self { address, cluster, task };
        server.put_namespace("shop", &json!({}));
        server.put_account("till", &identity("11111111-2222-3333-4444-555555555555"));
        server
    }

    pub(crate) fn kubeconfig(&self) -> String {
        kubeconfig(self.address)
    }

    /// Creates or changes a service account of the namespace `shop`.
    pub(crate) fn put_account(&self, name: &str, annotations: &Value) {
        self.put(ACCOUNTS, json!({ "name": name, "namespace": "shop", "annotations": annotations }), None);
    }

    pub(crate) fn delete_account(&self, name: &str) {
        self.cluster.send_modify(|cluster| {
            let objects = cluster.objects.entry(ACCOUNTS).or_default();
            let index = objects.iter().position(|object| object["metadata"]["name"] == name).unwrap();
            let mut object = objects.remove(index);
            object["metadata"]["resourceVersion"] = (cluster.changes.len() + 1).to_string().into();
            cluster.changes.push(Change { list: ACCOUNTS, event: json!({ "type": "DELETED", "object": object }) });
        });
    }

    pub(crate) fn put_namespace(&self, name: &str, annotations: &Value) {
        self.put(NAMESPACES, json!({ "name": name, "annotations": annotations }), None);
    }

    pub(crate) fn put_limit_range(&self, name: &str, item: &Value) {
        self.put(LIMIT_RANGES, json!({ "name": name, "namespace": "shop" }), Some(json!({ "limits": [item] })));
    }

    fn put(&self, list: &'static str, mut metadata: Value, spec: Option<Value>) {
        self.cluster.send_modify(|cluster| {
            metadata["resourceVersion"] = (cluster.changes.len() + 1).to_string().into();
            let mut object =
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata });
            if let Some(spec) = spec {
                object["spec"] = spec;
            }
            let objects = cluster.objects.entry(list).or_default();
            let same = |other: &&mut Value| {
                ["name", "namespace"].iter().all(|key| other["metadata"][key] == object["metadata"][key])
            };
            let kind = match objects.iter_mut().find(same) {
                Some(old) => {
                    *old = object.clone();
                    "MODIFIED"
                }
                None => {
                    objects.push(object.clone());
                    "ADDED"
                }
            };
            cluster.changes.push(Change { list, event: json!({ "type": kind, "object": object }) });
        });
    }

    pub(crate) fn end_watches(&self) {
        self.cluster.send_modify(|cluster| cluster.epoch += 1);
    }

    /// Ends all watches, and forgets what they would have to tell next.
    pub(crate) fn expire_watches(&self) {
        self.cluster.send_modify(|cluster| {
            cluster.oldest = cluster.changes.len();
            cluster.epoch += 1;
        });
    }

    /// From now on watches tell nothing new, or go on.
    pub(crate) fn hold_watches(&self, held: bool) {
        self.cluster.send_modify(|cluster| cluster.held = held);
    }

    pub(crate) fn list_in_pages(&self) {
        self.cluster.send_modify(|cluster| cluster.pages_only = true);
    }

    /// Reads of single objects wait from now on, or are answered.
    pub(crate) fn be_slow(&self, slow: bool) {
        self.cluster.send_modify(|cluster| cluster.slow = slow);
    }

    /// Goes away with all its watches, or comes back.
    pub(crate) fn be_down(&self, down: bool) {
        self.cluster.send_modify(|cluster| {
            cluster.down = down;
            cluster.epoch += 1;
        });
    }

    /// How many requests held all the words.
    pub(crate) fn asked(&self, words: &str) -> usize {
        self.cluster.borrow().asked(words)
    }

    /// Waits until so many requests have held all the words.
    pub(crate) async fn asked_for(&self, words: &str, times: usize) {
        let mut changes = self.cluster.subscribe();
        let seen = changes.wait_for(|cluster| cluster.asked(words) >= times);
        let waited = tokio::time::timeout(Duration::from_secs(30), seen).await.is_ok();
        assert!(waited, "{words}: {:?}", self.cluster.borrow().asked);
    }
}

impl Cluster {
    fn asked(&self, words: &str) -> usize {
        self.asked.iter().filter(|asked| words.split(' ').all(|word| asked.contains(word))).count()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn identity(client_id: &str) -> Value {
    json!({
        "azure.workload.identity/client-id": client_id,
        "azure.workload.identity/tenant-id": "66666666-7777-8888-9999-000000000000",
    })
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

async fn version() -> Json<Value> {
    Json(json!({
        "major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    }))
}

async fn note(State(cluster): State<Shared>, request: Request, next: Next) -> Response {
    cluster.send_modify(|cluster| cluster.asked.push(request.uri().to_string()));
    if cluster.borrow().down {
        return status(503, "ServiceUnavailable");
    }
    next.run(request).await
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason });
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

async fn account(state: State<Shared>, Path((namespace, name)): Path<(String, String)>) -> Response {
    one(ACCOUNTS, &state, Some(&namespace), &name).await
}

async fn namespace(state: State<Shared>, Path(name): Path<String>) -> Response {
    one(NAMESPACES, &state, None, &name).await
}

async fn one(list: &'static str, cluster: &Shared, namespace: Option<&str>, name: &str) -> Response {
    let cluster = cluster.subscribe().wait_for(|cluster| !cluster.slow).await.map(|cluster| {
        let found =
            cluster.objects.get(list).into_iter().flatten().find(|object| {
                object["metadata"]["name"] == name && object["metadata"]["namespace"].as_str() == namespace
            });
        found.cloned()
    });
    cluster.unwrap().map_or_else(|| status(404, "NotFound"), |object| Json(object).into_response())
}

fn list(list: &'static str, cluster: &Shared, query: &HashMap<String, String>) -> Response {
    if query.contains_key("watch") {
        return watch_from(list, cluster, query);
    }
    let cluster = cluster.borrow();
    let objects = cluster.objects.get(list).cloned().unwrap_or_default();
    let number = |key: &str| query.get(key).and_then(|number| number.parse::<usize>().ok());
    // Smaller than asked for, which is allowed, so that there are several.
    let (start, size) = (number("continue").unwrap_or(0), number("limit").unwrap_or(500).min(2));
    let mut metadata = json!({ "resourceVersion": cluster.changes.len().to_string() });
    if start + size < objects.len() {
        metadata["continue"] = (start + size).to_string().into();
    }
    let items: Vec<_> = objects.into_iter().skip(start).take(size).collect();
    Json(json!({
        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items,
    }))
    .into_response()
}

fn watch_from(list: &'static str, cluster: &Shared, query: &HashMap<String, String>) -> Response {
    let now = cluster.borrow();
    let mut lines = Vec::new();
    let from = if query.contains_key("sendInitialEvents") {
        if now.pages_only {
            return status(422, "Invalid");
        }
        for object in now.objects.get(list).into_iter().flatten() {
            lines.push(json!({ "type": "ADDED", "object": object }));
        }
        let version = now.changes.len();
        lines.push(json!({ "type": "BOOKMARK", "object": {
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": { "resourceVersion": version.to_string(), "annotations": { "k8s.io/initial-events-end": "true" } },
        }}));
        version
    } else {
        query["resourceVersion"].parse().unwrap()
    };
    if from < now.oldest {
        let expired = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version" });
        let line = json!({ "type": "ERROR", "object": expired }).to_string() + "\n";
        return line.into_response();
    }
    let changes = later(list, cluster.subscribe(), now.epoch, from);
    let lines = stream::iter(lines).chain(changes);
    let lines = lines.map(|line| Ok::<_, Infallible>(Bytes::from(line.to_string() + "\n")));
    Body::from_stream(lines).into_response()
}

/// The changes after a version, as they come, until watches are to end.
fn later(list: &'static str, changes: watch::Receiver<Cluster>, epoch: u32, from: usize) -> impl Stream<Item = Value> {
    stream::unfold((changes, from), move |(mut changes, from)| async move {
        let next = |cluster: &Cluster| {
            let news = if cluster.held { &[] } else { &cluster.changes[from..] };
            news.iter()
                .position(|change| change.list == list)
                .map(|index| (from + index + 1, news[index].event.clone()))
        };
        let (version, event) = {
            let moved = changes.wait_for(|cluster| cluster.epoch != epoch || next(cluster).is_some()).await.ok()?;
            if moved.epoch != epoch {
                return None;
            }
            next(&moved)?
        };
        Some((event, (changes, version)))
    })
}
