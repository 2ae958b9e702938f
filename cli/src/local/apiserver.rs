//! The API server's part in a pod's creation: the review, the webhook's patch, and the uid.

use http::{StatusCode, header};
use json_patch::Patch;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// How long the webhook may take, as the chart's strictest entry has it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A pod that was admitted.
#[derive(Clone, Debug)]
pub struct Pod {
    /// As it would be stored: patched, with its uid.
    pub object: Value,
    /// What the webhook added; empty where nothing.
    pub patch: Patch,
    /// What the webhook tells the pod's author.
    pub warnings: Vec<String>,
}

/// Why there is no pod.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The webhook refused it; the text is for the pod's author.
    #[error("admission webhook denied the request: {0}")]
    Denied(String),
    /// The webhook did not answer.
    #[error("the webhook at {url} does not answer")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The webhook answered with another status than 200.
    #[error("the webhook answered {status}: {text}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The body, for people.
        text: String,
    },
    /// The webhook's answer is no AdmissionReview.
    #[error("the webhook's answer is not usable: {0}")]
    Answer(&'static str),
    /// The patch is not one, or points at what the pod does not have.
    #[error("the webhook's patch does not fit the pod: {0}")]
    Patch(String),
}

/// The review of a pod's creation, as the API server writes it (admission.k8s.io/v1).
#[must_use]
pub fn review(uid: Uuid, pod: &Value) -> Value {
    let (kind, resource) = (
        json!({ "group": "", "version": "v1", "kind": "Pod" }),
        json!({ "group": "", "version": "v1", "resource": "pods" }),
    );
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid.to_string(),
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "operation": "CREATE",
            "userInfo": { "username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"] },
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": { "apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions" },
        },
    })
}

/// Creates a pod: asks the webhook, applies its patch and gives the pod its uid, in this order, as the API server does.
///
/// # Errors
///
/// The webhook denies, fails, or answers what cannot be used.
pub async fn create(client: &reqwest::Client, webhook: &str, pod: Value) -> Result<Pod, Error> {
    let id = Uuid::new_v4();
    let unreachable = |source: reqwest::Error| Error::Unreachable { url: webhook.to_owned(), source };
    let request = client
        .post(format!("{webhook}?timeout={}s", TIMEOUT.as_secs()))
        .timeout(TIMEOUT)
        .header(header::CONTENT_TYPE, "application/json")
        .body(review(id, &pod).to_string());
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(Error::Status { status, text });
    }
    admit(id, pod, &body)
}

fn admit(id: Uuid, pod: Value, body: &[u8]) -> Result<Pod, Error> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| Error::Answer("it is not JSON"))?;
    let response = &answer["response"];
    if response["uid"] != id.to_string() {
        return Err(Error::Answer("it has not the uid of the request"));
    }
    if response["allowed"] != json!(true) {
        let message = response["status"]["message"].as_str().unwrap_or("without a message");
        return Err(Error::Denied(message.to_owned()));
    }
    let patch = patch(response)?;
    let mut object = pod;
    json_patch::patch(&mut object, &patch).map_err(|error| Error::Patch(error.to_string()))?;
    object["metadata"]["uid"] = Uuid::new_v4().to_string().into();
    let warnings = response["warnings"].as_array().into_iter().flatten();
    Ok(Pod { object, patch, warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect() })
}

fn patch(response: &Value) -> Result<Patch, Error> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let Some(text) = response["patch"].as_str() else {
        return Ok(Patch::default());
    };
    if response["patchType"] != json!("JSONPatch") {
        return Err(Error::Answer("its patchType is not JSONPatch"));
    }
    let text = STANDARD.decode(text).map_err(|_| Error::Answer("its patch is not Base64"))?;
    serde_json::from_slice(&text).map_err(|error| Error::Patch(error.to_string()))
}
