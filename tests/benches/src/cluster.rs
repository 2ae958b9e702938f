//! As much of an API server as the webhook reads: lists, in a stream or in pages, and watches of service accounts,
//! namespaces and LimitRanges.
//!
//! It is here so that a measurement needs nothing but the webhook; what the webhook does with a real one is shown by the
//! cluster tests.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Segments, Query, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The service account of the pod in `review.json`.
const NAMESPACE: &str = "payments-prod";
const ACCOUNT: &str = "payments-api";
/// The identity that it carries, to be found in the patch.
pub(crate) const CLIENT_ID: &str = "8c7f4a51-0f0c-4d4e-9f3c-1f1f2b0c9a77";
/// The tenant beside it.
pub(crate) const TENANT_ID: &str = "3d1e8f60-6a3f-4c2b-8f5f-9a1c7d2e4b10";

/// A running stand-in; it ends with this value.
pub(crate) struct Cluster {
    task: tokio::task::JoinHandle<()>,
    /// A kubeconfig that leads here.
    pub(crate) kubeconfig: PathBuf,
}

/// How an API server gives its first list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// As the beginning of a watch.
    Streamed,
    /// In pages alone.
    Paged,
}

#[derive(Debug, Clone, Copy)]
struct Site {
    /// How many further annotated service accounts there are.
    others: usize,
    lists: Lists,
}

/// Objects that are written into a stream at a time.
const CHUNK: usize = 500;

#[derive(Debug, Deserialize)]
struct ListQuery {
    #[serde(default)]
    watch: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    /// Ours is the index of the next object.
    #[serde(default, rename = "continue")]
    next: Option<usize>,
    #[serde(default, rename = "sendInitialEvents")]
    initial: Option<String>,
}

impl Cluster {
    /// Serves the account of the review, and `others` more, 50 to a namespace.
    pub(crate) async fn start(others: usize, lists: Lists, directory: &Path) -> Result<Self> {
        let app = Router::new()
            .route("/version", get(version))
            .route("/api/v1/serviceaccounts", get(accounts))
            .route("/api/v1/namespaces", get(namespaces))
            .route("/api/v1/limitranges", get(limit_ranges))
            .route("/api/v1/namespaces/{namespace}/serviceaccounts/{name}", get(account))
            .with_state(Site { others, lists });
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot bind the stand-in API server")?;
        let address = listener.local_addr()?;
        let kubeconfig = directory.join(format!("kubeconfig-{others}"));
        std::fs::write(&kubeconfig, config(&format!("http://{address}"))).context("cannot write the kubeconfig")?;
        let task = tokio::spawn(async move {
            // It serves until it is dropped; a failed accept is retried inside.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { task, kubeconfig })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\n\
         clusters: [{{name: bench, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: bench, user: {{}}}}]\n\
         contexts: [{{name: bench, context: {{cluster: bench, user: bench}}}}]\n"
    )
}

async fn version() -> Response {
    json(r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"clean","buildDate":"2026-01-01T00:00:00Z","goVersion":"go1.26","compiler":"gc","platform":"linux/amd64"}"#.to_owned())
}

async fn accounts(State(site): State<Site>, Query(query): Query<ListQuery>) -> Response {
    list(site.lists, &query, site.others + 1, |index, text| match index {
        0 => write_account(text, NAMESPACE, ACCOUNT, CLIENT_ID),
        _ => {
            let (namespace, name) = (format!("team-{}", index / 50), format!("service-{index}"));
            write_account(text, &namespace, &name, &format!("00000000-0000-4000-8000-{index:012}"));
        }
    })
}

async fn namespaces(State(site): State<Site>, Query(query): Query<ListQuery>) -> Response {
    list(site.lists, &query, site.others / 50 + 2, |index, text| match index {
        0 => write_namespace(text, NAMESPACE),
        _ => write_namespace(text, &format!("team-{}", index - 1)),
    })
}

async fn limit_ranges(State(site): State<Site>, Query(query): Query<ListQuery>) -> Response {
    list(site.lists, &query, 0, |_, _| {})
}

async fn account(Segments((namespace, name)): Segments<(String, String)>) -> Response {
    if (namespace.as_str(), name.as_str()) != (NAMESPACE, ACCOUNT) {
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"serviceaccounts not found","code":404}"#;
        return (StatusCode::NOT_FOUND, json(status.to_owned())).into_response();
    }
    let mut text = String::new();
    write_account(&mut text, &namespace, &name, CLIENT_ID);
    json(text)
}

/// The bookmark that ends a streamed list.
const LIST_ENDS: &str = concat!(
    r#"{"type":"BOOKMARK","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"#,
    r#""resourceVersion":"1000","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
    "\n"
);

/// A page of a list, or a watch in which nothing happens after its list.
fn list(lists: Lists, query: &ListQuery, total: usize, write: fn(usize, &mut String)) -> Response {
    if query.watch.is_none() {
        return page(query, total, write);
    }
    if query.initial.is_some() && lists == Lists::Paged {
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","message":"sendInitialEvents is forbidden","code":422}"#;
        return (StatusCode::UNPROCESSABLE_ENTITY, json(status.to_owned())).into_response();
    }
    let total = query.initial.as_ref().map(|_| total);
    let chunks = total.into_iter().flat_map(move |total| {
        let starts = (0..total).step_by(CHUNK);
        starts.map(move |start| events(start..total.min(start + CHUNK), write)).chain([LIST_ENDS.to_owned()])
    });
    let chunks = futures_util::stream::iter(chunks.map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))));
    let quiet = futures_util::stream::pending();
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(chunks.chain(quiet))).into_response()
}

fn events(objects: Range<usize>, write: fn(usize, &mut String)) -> String {
    let mut text = String::new();
    for index in objects {
        text.push_str(r#"{"type":"ADDED","object":"#);
        write(index, &mut text);
        text.push_str("}\n");
    }
    text
}

fn page(query: &ListQuery, total: usize, write: fn(usize, &mut String)) -> Response {
    let start = query.next.unwrap_or(0);
    let end = query.limit.map_or(total, |limit| total.min(start + limit));
    let next = if end < total { format!(r#","continue":"{end}""#) } else { String::new() };
    let mut text = format!(
        r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"1000"{next}}},"items":["#
    );
    for index in start..end {
        if index > start {
            text.push(',');
        }
        write(index, &mut text);
    }
    text.push_str("]}");
    json(text)
}

/// About what a service account that Helm installed weighs, 1.3 KB.
fn write_account(text: &mut String, namespace: &str, name: &str, client_id: &str) {
    let _ = write!(
        text,
        r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{"name":"{name}","namespace":"{namespace}","uid":"1f0c9f1c-7b1e-4d1a-a1de-3a9f5d5f6c11","resourceVersion":"900","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"app.kubernetes.io/name":"{name}","app.kubernetes.io/instance":"{namespace}","app.kubernetes.io/version":"2.14.3","app.kubernetes.io/managed-by":"Helm","app.kubernetes.io/part-of":"payments","helm.sh/chart":"{name}-2.14.3"}},"annotations":{{"azure.workload.identity/client-id":"{client_id}","azure.workload.identity/tenant-id":"{TENANT_ID}","meta.helm.sh/release-name":"{name}","meta.helm.sh/release-namespace":"{namespace}"}},"managedFields":[{{"manager":"helm","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:azure.workload.identity/client-id":{{}},"f:azure.workload.identity/tenant-id":{{}},"f:meta.helm.sh/release-name":{{}},"f:meta.helm.sh/release-namespace":{{}}}},"f:labels":{{".":{{}},"f:app.kubernetes.io/instance":{{}},"f:app.kubernetes.io/managed-by":{{}},"f:app.kubernetes.io/name":{{}},"f:app.kubernetes.io/part-of":{{}},"f:app.kubernetes.io/version":{{}},"f:helm.sh/chart":{{}}}}}}}}}}]}}}}"#
    );
}

fn write_namespace(text: &mut String, name: &str) {
    let _ = write!(
        text,
        r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{{"name":"{name}","uid":"2f0c9f1c-7b1e-4d1a-a1de-3a9f5d5f6c11","resourceVersion":"900","creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"kubernetes.io/metadata.name":"{name}"}}}}}}"#
    );
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
