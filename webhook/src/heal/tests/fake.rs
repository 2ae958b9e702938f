//! As much of an API server as the rounds ask for, without a socket, so that time can be paused.

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use podbadge_webhook_core::contract;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::time::Instant;

pub(super) const NAMESPACE: &str = "podbadge-system";

/// The state, shared by all its clients.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

pub(super) struct State {
    /// By namespace and name.
    pub(super) pods: BTreeMap<(String, String), Value>,
    pub(super) lease: Option<Value>,
    pub(super) configuration: Value,
    /// Of others.
    pub(super) configurations: Vec<Value>,
    pub(super) ready_replicas: usize,
    /// Whether a PodDisruptionBudget forbids evictions.
    pub(super) budget: bool,
    /// Whether the pods' controller makes them again, injected or not.
    pub(super) recreates: Option<Injected>,
    /// Whether everything is refused.
    pub(super) broken: bool,
    /// The owners' own word on ready pods, by name.
    pub(super) health: HashMap<String, Value>,
    pub(super) events: Vec<Value>,
    pub(super) evictions: Vec<(Instant, String, Value)>,
    /// Who asked for what, and when.
    pub(super) log: Vec<(Instant, &'static str, String)>,
    counter: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Injected {
    Yes,
    No,
}

/// A running pod of service account `till`, which a ReplicaSet made.
pub(super) fn pod(namespace: &str, name: &str, uid: &str, owner: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": uid, "creationTimestamp": "2026-01-03T00:00:00Z",
            "labels": { "app": "till", "pod-template-hash": "1" },
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true },
            ],
        },
        "spec": { "serviceAccountName": "till", "containers": [{ "name": "app", "image": "i" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn injected(mut pod: Value) -> Value {
    pod["spec"]["volumes"] = json!([{ "name": contract::VOLUME, "projected": { "sources": [
        { "serviceAccountToken": { "audience": "api://AzureADTokenExchange", "path": contract::TOKEN_FILE } },
    ] } }]);
    pod
}

impl Fake {
    pub(super) fn new() -> Self {
        let entry = |name: &str, operator: &str, values: Value| {
            json!({
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {},
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
                "matchConditions": [{ "name": "not-our-own-pod", "expression": "true" }],
                "namespaceSelector": { "matchExpressions": [
                    { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"] },
                ] },
                "objectSelector": { "matchExpressions": [
                    { "key": contract::USE, "operator": operator, "values": values },
                ] },
            })
        };
        let configuration = json!({
            "metadata": { "name": "podbadge-webhook", "creationTimestamp": "2026-01-02T00:00:00Z" },
            "webhooks": [
                entry("annotated.podbadge.io", "NotIn", json!(["true", "false"])),
                entry("labelled.podbadge.io", "In", json!(["true"])),
                {
                    "name": "ephemeral.podbadge.io", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                    "clientConfig": {},
                    "rules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                        "resources": ["pods/ephemeralcontainers"],
                    }],
                    "matchConditions": [{ "name": "has-an-identity", "expression": "true" }],
                },
            ],
        });
        Self(Arc::new(Mutex::new(State {
            pods: BTreeMap::new(),
            lease: None,
            configuration,
            configurations: Vec::new(),
            ready_replicas: 2,
            budget: false,
            recreates: None,
            broken: false,
            health: HashMap::new(),
            events: Vec::new(),
            evictions: Vec::new(),
            log: Vec::new(),
            counter: 0,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn add(&self, pod: &Value) {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
        self.state().pods.insert((text("namespace"), text("name")), pod.clone());
    }

    /// A client of that name.
    pub(super) fn client(&self, who: &'static str) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let (status, answer) = fake.state().answer(who, &parts.method, &parts.uri, body);
                let answer = axum::body::Body::from(answer.to_string());
                Ok::<_, std::io::Error>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }
}

impl State {
    fn answer(&mut self, who: &'static str, method: &Method, uri: &http::Uri, body: Value) -> (StatusCode, Value) {
        self.log.push((Instant::now(), who, format!("{method} {uri}")));
        if self.broken {
            return refusal(500, "broken");
        }
        let query: HashMap<String, String> = serde_json::from_value(query(uri.query().unwrap_or_default())).unwrap();
        let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        match (method.as_str(), path.as_slice()) {
            ("GET", ["apis", "admissionregistration.k8s.io", "v1", _, "podbadge-webhook"]) => {
                ok(self.configuration.clone())
            }
            ("GET", ["apis", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"]) => {
                let items: Vec<_> = self.configurations.iter().chain([&self.configuration]).collect();
                ok(json!({ "metadata": {}, "items": items }))
            }
            ("GET", ["api", "v1", "namespaces", name]) => ok(json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
            })),
            ("GET", ["api", "v1", "namespaces", _, "serviceaccounts", name]) => ok(json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": { "name": name, "annotations": {
                    contract::CLIENT_ID: "11111111-2222-3333-4444-555555555555",
                    contract::TENANT_ID: "66666666-7777-8888-9999-000000000000",
                } },
            })),
            ("GET", ["api", "v1", "pods"]) => self.list(None, &query),
            ("GET", ["api", "v1", "namespaces", namespace, "pods"]) => self.list(Some(namespace), &query),
            ("GET", ["apis", "apps", "v1", "namespaces", _, "replicasets", name]) => ok(json!({
                "metadata": { "name": name, "uid": name },
                "spec": { "replicas": 1, "template": { "spec": { "containers": [{ "name": "app" }] } } },
                "status": self.health.get(*name).cloned().unwrap_or_else(|| json!({ "readyReplicas": 1 })),
            })),
            ("GET", ["apis", "discovery.k8s.io", "v1", "namespaces", NAMESPACE, "endpointslices"]) => self.slices(),
            ("POST", ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]) => {
                self.evict(namespace, name, &body)
            }
            // What was told a short while ago is told again by a patch.
            ("POST" | "PATCH", ["apis", "events.k8s.io", "v1", "namespaces", _, "events", ..]) => {
                self.events.push(body.clone());
                ok(body)
            }
            (_, ["apis", "coordination.k8s.io", "v1", "namespaces", NAMESPACE, "leases", ..]) => {
                self.lease(method, body)
            }
            (_, _) => panic!("nobody should ask for {method} {uri}"),
        }
    }

    fn list(&self, namespace: Option<&&str>, query: &HashMap<String, String>) -> (StatusCode, Value) {
        let labelled = query["labelSelector"].ends_with("=true");
        let (limit, from) =
            (query["limit"].parse::<usize>().unwrap(), query.get("continue").map_or("0", String::as_str));
        let from = from.parse::<usize>().unwrap();
        assert_eq!(query["fieldSelector"], "status.phase!=Succeeded,status.phase!=Failed");
        let pods = self.pods.values().filter(|pod| {
            let value = pod["metadata"]["labels"][contract::USE].as_str();
            let within = namespace.is_none_or(|namespace| pod["metadata"]["namespace"] == **namespace);
            within && if labelled { value == Some("true") } else { !matches!(value, Some("true" | "false")) }
        });
        let mut items: Vec<&Value> = pods.skip(from).take(limit + 1).collect();
        let next = if items.len() > limit { (from + limit).to_string() } else { String::new() };
        items.truncate(limit);
        ok(json!({ "kind": "PodList", "apiVersion": "v1", "metadata": { "continue": next }, "items": items }))
    }

    fn slices(&self) -> (StatusCode, Value) {
        // Each replica has an address of both families; one more is not ready.
        let endpoints = |family: &str| -> Vec<Value> {
            (0..=self.ready_replicas)
                .map(|replica| {
                    json!({
                        "addresses": [format!("{family}-{replica}")], "targetRef": { "uid": replica.to_string() },
                        "conditions": { "ready": replica < self.ready_replicas },
                    })
                })
                .collect()
        };
        let slices = ["4", "6"].map(|family| json!({ "addressType": "IPv4", "endpoints": endpoints(family) }));
        ok(json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": {}, "items": slices }))
    }

    fn evict(&mut self, namespace: &str, name: &str, body: &Value) -> (StatusCode, Value) {
        self.evictions.push((Instant::now(), name.to_owned(), body.clone()));
        let key = (namespace.to_owned(), name.to_owned());
        let Some(pod) = self.pods.get(&key) else { return refusal(404, "NotFound") };
        if body["deleteOptions"]["preconditions"]["uid"] != pod["metadata"]["uid"] {
            return refusal(409, "Conflict");
        }
        if self.budget {
            return refusal(429, "TooManyRequests");
        }
        let gone = self.pods.remove(&key).unwrap();
        if let Some(made) = self.recreates {
            self.counter += 1;
            let name = format!("again-{}", self.counter);
            let owner = gone["metadata"]["ownerReferences"][0]["name"].as_str().unwrap();
            let fresh = pod_of(&gone, namespace, &name, owner);
            let fresh = if made == Injected::Yes { injected(fresh) } else { fresh };
            self.pods.insert((namespace.to_owned(), name), fresh);
        }
        (StatusCode::CREATED, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
    }

    fn lease(&mut self, method: &Method, mut body: Value) -> (StatusCode, Value) {
        match (method, &self.lease) {
            (&Method::GET, Some(lease)) => ok(lease.clone()),
            (&Method::GET, None) => refusal(404, "NotFound"),
            (&Method::POST, Some(_)) => refusal(409, "AlreadyExists"),
            (&Method::PUT, Some(lease))
                if lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] =>
            {
                refusal(409, "Conflict")
            }
            _ => {
                self.counter += 1;
                body["metadata"]["resourceVersion"] = self.counter.to_string().into();
                self.lease = Some(body.clone());
                ok(body)
            }
        }
    }
}

fn pod_of(gone: &Value, namespace: &str, name: &str, owner: &str) -> Value {
    let mut fresh = pod(namespace, name, name, owner);
    fresh["metadata"]["labels"] = gone["metadata"]["labels"].clone();
    fresh
}

fn ok(answer: Value) -> (StatusCode, Value) {
    (StatusCode::OK, answer)
}

fn refusal(code: u16, reason: &str) -> (StatusCode, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason });
    (StatusCode::from_u16(code).unwrap(), status)
}

fn query(query: &str) -> Value {
    let url = reqwest::Url::parse(&format!("http://fake/?{query}")).unwrap();
    url.query_pairs().map(|(key, value)| (key.into_owned(), Value::from(value.into_owned()))).collect()
}
