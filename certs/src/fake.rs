//! A small API server for tests: one Secret and webhook configurations, with the rules that matter here
//! (`resourceVersion`, server-side apply by entry name, permissions).

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::ByteString;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc2822, macros::datetime};
use tokio::sync::Barrier;

use crate::{bundle::Bundle, material::Names};

/// When all tests begin.
pub(crate) const BASE: OffsetDateTime = datetime!(2030-01-01 00:00 UTC);

pub(crate) const NAMESPACE: &str = "podbadge-system";
pub(crate) const SECRET: &str = "podbadge-webhook-tls";
pub(crate) const CONFIGURATION: &str = "podbadge-webhook";
/// Where the validating configuration of the same name is kept.
pub(crate) const VALIDATING: &str = "validating podbadge-webhook";

pub(crate) fn names() -> Names {
    Names::of_service("podbadge-webhook", NAMESPACE).unwrap()
}

#[derive(Clone)]
pub(crate) struct Cluster(Arc<Mutex<Objects>>);

pub(crate) struct Objects {
    pub(crate) secret: Option<Value>,
    pub(crate) configurations: BTreeMap<String, Value>,
    /// Refused with 403, such as `"PUT secrets"`; the validating configuration is `"advice"`.
    pub(crate) forbidden: BTreeSet<&'static str>,
    /// Calls that begin so are never answered.
    pub(crate) hangs: Option<&'static str>,
    /// Met once by every reader of the Secret, after it was read.
    pub(crate) meet: Option<Arc<Barrier>>,
    /// How long requests take, one after the other, again and again: half of it before something is done.
    pub(crate) delays: Vec<Duration>,
    served: usize,
    /// The API server's own clock; it tells no time without.
    pub(crate) time: Option<Box<dyn Fn() -> OffsetDateTime + Send>>,
    /// Every write, such as `"PUT secrets"`.
    pub(crate) writes: Vec<String>,
    version: u64,
}

impl Cluster {
    /// A cluster with our webhook configuration, two entries, nothing trusted.
    pub(crate) fn new() -> Self {
        let entry = |name: &str, policy: &str| {
            json!({
                "name": name, "failurePolicy": policy, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "podbadge-webhook", "namespace": NAMESPACE, "path": "/mutate-v1-pod"}},
            })
        };
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": CONFIGURATION, "resourceVersion": "1"},
            "webhooks": [entry("label.podbadge.io", "Fail"), entry("annotation.podbadge.io", "Ignore")],
        });
        Self(Arc::new(Mutex::new(Objects {
            secret: None,
            configurations: [(CONFIGURATION.to_owned(), configuration)].into(),
            forbidden: BTreeSet::new(),
            hangs: None,
            meet: None,
            delays: Vec::new(),
            served: 0,
            time: None,
            writes: Vec::new(),
            version: 1,
        })))
    }

    /// Adds the validating configuration of the same name, one entry.
    pub(crate) fn add_validating(&self) {
        let mut objects = self.objects();
        let mut configuration = objects.configurations[CONFIGURATION].clone();
        configuration["kind"] = "ValidatingWebhookConfiguration".into();
        configuration["webhooks"] = json!([configuration["webhooks"][1].clone()]);
        configuration["webhooks"][0]["name"] = "advice.podbadge.io".into();
        configuration["webhooks"][0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        objects.configurations.insert(VALIDATING.to_owned(), configuration);
    }

    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request| {
            let cluster = cluster.clone();
            async move { Ok::<_, Infallible>(cluster.answer(request).await) }
        });
        Client::new(service, NAMESPACE)
    }

    pub(crate) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap()
    }

    /// The bundle of every entry that admission depends on; they must agree.
    pub(crate) fn ca_bundle(&self) -> Bundle {
        self.bundle_of(CONFIGURATION)
    }

    /// The bundle of every entry of this configuration; they must agree.
    pub(crate) fn bundle_of(&self, configuration: &str) -> Bundle {
        let objects = self.objects();
        let bundles: BTreeSet<String> = objects.configurations[configuration]["webhooks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["clientConfig"]["caBundle"].to_string())
            .collect();
        assert_eq!(bundles.len(), 1, "entries differ: {bundles:?}");
        let text: Option<ByteString> = serde_json::from_str(bundles.first().unwrap()).unwrap();
        Bundle::from_pem(&text.unwrap_or_default().0).unwrap()
    }

    pub(crate) fn secret_field(&self, key: &str) -> Vec<u8> {
        let value = self.objects().secret.as_ref().unwrap()["data"][key].clone();
        serde_json::from_value::<ByteString>(value).unwrap().0
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path: Vec<String> = parts.uri.path().split('/').map(str::to_owned).collect();
        let has = |resource: &str| path.iter().any(|part| part == resource);
        let validating = has("validatingwebhookconfigurations");
        let kind = match (has("secrets"), validating) {
            (true, _) => "secrets",
            (false, true) => "advice",
            (false, false) => "configurations",
        };
        let call = format!("{} {kind}", parts.method);
        let name = path.last().unwrap();
        let name = if validating { format!("validating {name}") } else { name.clone() };
        let hangs = self.objects().hangs;
        if hangs.is_some_and(|hangs| call.starts_with(hangs)) {
            std::future::pending::<()>().await;
        }
        let delay = self.objects().delay();
        tokio::time::sleep(delay / 2).await;
        if self.objects().forbidden.contains(call.as_str()) {
            return refusal(StatusCode::FORBIDDEN, "Forbidden", &format!("{kind} is forbidden: no permission"));
        }
        let body = || serde_json::from_slice::<Value>(&body).unwrap();
        let (mut response, meet) = {
            let mut objects = self.objects();
            if parts.method != http::Method::GET {
                objects.writes.push(call.clone());
            }
            let response = match call.as_str() {
                "GET secrets" => objects.secret.clone().map_or_else(not_found, |secret| ok(&secret)),
                "POST secrets" => objects.create(body()),
                "PUT secrets" => objects.replace(body()),
                "GET configurations" | "GET advice" => objects.configurations.get(&name).map_or_else(not_found, ok),
                "PATCH configurations" | "PATCH advice" => {
                    assert_eq!(parts.headers["content-type"], "application/apply-patch+yaml");
                    let query = parts.uri.query().unwrap();
                    assert!(query.contains("fieldManager=podbadge-webhook") && query.contains("force=true"), "{query}");
                    objects.apply(&name, &body())
                }
                _ => panic!("unexpected {} {}", parts.method, parts.uri),
            };
            (response, (call == "GET secrets").then(|| objects.meet.clone()).flatten())
        };
        if let Some(meet) = meet {
            meet.wait().await;
            self.objects().meet = None;
        }
        tokio::time::sleep(delay / 2).await;
        if let Some(time) = &self.objects().time {
            let date = time().format(&Rfc2822).unwrap().parse().unwrap();
            response.headers_mut().insert(http::header::DATE, date);
        }
        response
    }
}

impl Objects {
    fn delay(&mut self) -> Duration {
        self.served += 1;
        self.delays.get(self.served % self.delays.len().max(1)).copied().unwrap_or_default()
    }

    /// As somebody else does.
    pub(crate) fn put_secret(&mut self, secret: Option<Value>) {
        match secret {
            Some(secret) => drop(self.store(secret)),
            None => self.secret = None,
        }
    }

    fn create(&mut self, secret: Value) -> Response<Body> {
        if self.secret.is_some() {
            return refusal(StatusCode::CONFLICT, "AlreadyExists", "secrets already exists");
        }
        self.store(secret)
    }

    fn replace(&mut self, secret: Value) -> Response<Body> {
        let Some(current) = &self.secret else { return not_found() };
        if current["metadata"]["resourceVersion"] != secret["metadata"]["resourceVersion"] {
            return refusal(StatusCode::CONFLICT, "Conflict", "the object has been modified");
        }
        self.store(secret)
    }

    fn store(&mut self, mut secret: Value) -> Response<Body> {
        self.version += 1;
        secret["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.secret = Some(secret.clone());
        ok(&secret)
    }

    fn apply(&mut self, name: &str, patch: &Value) -> Response<Body> {
        self.version += 1;
        let Some(current) = self.configurations.get_mut(name) else { return not_found() };
        assert_eq!(current["kind"], patch["kind"]);
        if current["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"] {
            return refusal(StatusCode::CONFLICT, "Conflict", "the object has been modified");
        }
        current["metadata"]["resourceVersion"] = self.version.to_string().into();
        for applied in patch["webhooks"].as_array().unwrap() {
            let entries = current["webhooks"].as_array_mut().unwrap();
            let Some(entry) = entries.iter_mut().find(|entry| entry["name"] == applied["name"]) else {
                return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", "webhooks: Required value");
            };
            let fields = (applied.as_object().unwrap().len(), applied["clientConfig"].as_object().unwrap().len());
            assert_eq!(fields, (2, 1), "more than the name and caBundle: {applied}");
            entry["clientConfig"]["caBundle"] = applied["clientConfig"]["caBundle"].clone();
        }
        ok(current)
    }
}

fn ok(object: &Value) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(object).unwrap()))
}

fn not_found() -> Response<Body> {
    refusal(StatusCode::NOT_FOUND, "NotFound", "not found")
}

fn refusal(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": message, "code": status.as_u16(),
    });
    let body = Body::from(serde_json::to_vec(&body).unwrap());
    Response::builder().status(status).body(body).unwrap()
}
