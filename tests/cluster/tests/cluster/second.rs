//! Another webhook, which adds a container after ours has been asked.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::control_plane::Authority;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::images::SHELL;
use podbadge_cluster_tests::sandbox::HOST;
use podbadge_cluster_tests::scope::Scope;
use podbadge_runtime::drain::{Trigger, drain};
use podbadge_runtime::serve::{Bound, Limits};
use podbadge_sidecar_core::contract;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::pods::{CLIENT_ID, account, container, identity, shell, variable};

/// A running webhook. Dropping it ends it.
struct Second {
    address: SocketAddr,
    authority: String,
    /// The pods that it was asked about.
    asked: mpsc::UnboundedReceiver<Value>,
    _trigger: Trigger,
}

impl Second {
    fn start() -> Result<Self> {
        let authority = Authority::new("second webhook")?;
        let identity = authority.server(&[&HOST.to_string()])?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
        let (sender, asked) = mpsc::unbounded_channel();
        let router = Router::new().route("/", post(add_container)).with_state(sender);
        let bound = Bound::bind(SocketAddr::from((HOST, 0)))?;
        let address = bound.local_addr();
        let (trigger, drain) = drain();
        tokio::spawn(bound.serve_tls(Arc::new(tls), router, Limits::default(), drain));
        Ok(Self { address, authority: authority.pem, asked, _trigger: trigger })
    }

    /// Asked about the pods of one namespace; after ours, because the API server asks in the order of names.
    fn configuration(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": format!("second-{namespace}")},
            "webhooks": [{
                "name": "second.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"url": format!("https://{}/", self.address), "caBundle": STANDARD.encode(&self.authority)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }],
        })
    }
}

async fn add_container(State(asked): State<mpsc::UnboundedSender<Value>>, Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    let pod = &request["object"];
    let mut response = json!({"uid": request["uid"], "allowed": true});
    if container(pod, "added").is_none() {
        let added = json!({"name": "added", "image": SHELL, "command": ["sh", "-c", "env"]});
        let patch = json!([{"op": "add", "path": "/spec/containers/-", "value": added}]);
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch.to_string()));
    }
    // The test may have ended.
    let _: Result<_, _> = asked.send(pod.clone());
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}

/// Creates the pod with both webhooks in place; what the second saw first, and what was stored.
async fn create(scope: &Scope, pod: &Value) -> Result<(Value, Value)> {
    let mut second = Second::start()?;
    let configuration = second.configuration(&scope.namespace);
    scope.create(&configuration).await?;
    let pods = scope.objects("v1", "Pod").await?;
    // The API server follows configurations with a little delay.
    podbadge_cluster_tests::wait::until("the second webhook is asked", || async {
        let stored = pods.dry_run(pod).await?;
        container(&stored, "added").map(drop).context("not yet")
    })
    .await?;
    while second.asked.try_recv().is_ok() {}

    let created = pods.create(pod).await?;
    let seen = second.asked.recv().await.context("the second webhook was not asked")?;
    let name = configuration["metadata"]["name"].as_str().context("name")?;
    scope.objects("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration").await?.delete(name).await?;
    Ok((seen, created))
}

/// A container added later gets its identity too: ours is asked again.
pub(super) async fn an_added_container_gets_the_identity(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let mut pod = shell("two", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    let (seen, created) = create(&scope, &pod).await?;

    let app = container(&seen, "app").context("app")?;
    assert!(variable(app, contract::CLIENT_ID).is_some(), "the second webhook was asked first: {seen:#}");
    let [app, added] = ["app", "added"].map(|name| container(&created, name).expect(name));
    let ours = |container: &Value| -> Vec<Value> { container["env"].as_array().cloned().unwrap_or_default() };
    assert_eq!(ours(added), ours(app));
    assert_eq!(variable(added, contract::CLIENT_ID).context("client id")?["value"], CLIENT);
    let volumes = created["spec"]["volumes"].as_array().context("volumes")?;
    assert_eq!(volumes.iter().filter(|volume| volume["name"] == "azure-identity-token").count(), 1);

    let pod = scope.succeeds("two").await?;
    assert!(scope.log(&pod, "added").contains(&format!("{}={CLIENT}\n", contract::CLIENT_ID)));
    Ok(())
}

/// With a sidecar: no second one, and the added container finds the first.
pub(super) async fn an_added_container_finds_the_sidecar(scope: Scope) -> Result<()> {
    scope.create(&account(ACCOUNT, json!({CLIENT_ID: CLIENT, "podbadge.io/sidecar": "endpoint"}))).await?;
    let mut pod = shell("two", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    let (_, created) = create(&scope, &pod).await?;

    let sidecars = created["spec"]["initContainers"].as_array().context("initContainers")?;
    assert_eq!(sidecars.len(), 1, "{sidecars:#?}");
    let added = container(&created, "added").context("added")?;
    assert!(variable(added, contract::IDENTITY_ENDPOINT).is_some(), "{added:#}");
    assert!(variable(added, contract::FEDERATED_TOKEN_FILE).is_none(), "{added:#}");
    scope.succeeds("two").await.map(drop)
}
