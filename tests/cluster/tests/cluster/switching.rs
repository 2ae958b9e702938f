//! The switch from Azure Workload Identity, by the commands of docs/switching.md, in their order.
//!
//! In its place stands a webhook that adds what version 1.6 adds, under its release, its names and its selector.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::control_plane::Authority;
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT, TENANT};
use podbadge_cluster_tests::install::REGISTRY;
use podbadge_cluster_tests::sandbox::HOST;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use podbadge_runtime::drain::{Trigger, drain};
use podbadge_runtime::serve::{Bound, Limits};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::pods::{USE, container, identity, shell, variable};

const PAGE: &str = include_str!("../../../../docs/switching.md");
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// Where version 1.6 has the token.
const PATH: &str = "/var/run/secrets/azure/wi";
const VOLUME: &str = "azure-workload-identity-reserved-5f4dcc3b5aa765d61d8327deb8";

pub(super) async fn from_azure_workload_identity_as_documented(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let typed = Shell::new(&scope.cluster)?;
    let outcome = switch(&scope, &typed).await;
    let _ = typed.end("helm --namespace azure-workload-identity-system uninstall workload-identity-webhook").await;
    let _ = typed.end(&format!("kubectl delete mutatingwebhookconfiguration {CONFIGURATION} --ignore-not-found")).await;
    let _ = typed.end("helm --namespace podbadge-system uninstall podbadge --wait").await;
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn switch(scope: &Scope, typed: &Shell) -> Result<()> {
    scope.create(&identity()).await?;
    let _upstream = install_upstream(typed).await?;
    until("Azure Workload Identity injects", || async { injected_by(scope, "before", Who::Upstream).await }).await?;

    let [values, beside, look, remove, fail, enable] = commands()[..] else { anyhow::bail!("six steps with commands") };
    typed.run(values).await.context("1")?;
    typed.run(&beside.replace("REGISTRY", REGISTRY)).await.context("2")?;
    let [test, events] = look.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("two commands") };
    until("Podbadge is asked, too", || async { typed.run(test).await }).await.context("3")?;
    until("the other webhook is noticed", || async {
        let told = typed.run(events).await?;
        ensure!(told.contains(CONFIGURATION), "{told}");
        Ok(())
    })
    .await
    .context("3")?;
    // Both are asked, and the pod has each variable once.
    injected_by(scope, "both", Who::Upstream).await.context("with both")?;
    // Who has no label has gained nothing.
    ensure!(create(scope, "unlabelled", false).await?["spec"]["volumes"].to_string().find("azure").is_none());

    typed.run(remove).await.context("5")?;
    until("Podbadge injects", || async { injected_by(scope, "after", Who::Podbadge).await }).await?;
    typed.run(fail).await.context("6")?;
    let policies = "kubectl get mutatingwebhookconfiguration podbadge-webhook -o jsonpath={.webhooks[*].failurePolicy}";
    let policies = typed.run(policies).await?;
    ensure!(policies.contains("Fail"), "{policies}");
    injected_by(scope, "afterwards", Who::Podbadge).await?;
    typed.run(enable).await.context("6")?;
    until("unlabelled pods have their identity", || async {
        let pod = create(scope, "unlabelled", false).await?;
        ensure!(pod["spec"]["volumes"].to_string().contains("azure-identity-token"), "{}", pod["spec"]["volumes"]);
        Ok(())
    })
    .await
}

/// The page's blocks of commands.
fn commands() -> Vec<&'static str> {
    PAGE.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Upstream,
    Podbadge,
}

/// Creates a labelled pod, as far as admission goes, and looks that it has its identity once.
async fn injected_by(scope: &Scope, name: &str, who: Who) -> Result<()> {
    let pod = create(scope, name, true).await?;
    let app = container(&pod, "app").context("app")?;
    let mounts = app["volumeMounts"].as_array().into_iter().flatten().filter(|mount| mount["mountPath"] == PATH);
    ensure!((mounts.count() == 1) == (who == Who::Upstream), "{:#}", app["volumeMounts"]);
    for expected in ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE"] {
        let all = app["env"].as_array().into_iter().flatten().filter(|variable| variable["name"] == expected);
        ensure!(all.count() == 1, "{expected}: {:#}", app["env"]);
    }
    ensure!(variable(app, "AZURE_CLIENT_ID").context("client id")?["value"] == CLIENT);
    let file = variable(app, "AZURE_FEDERATED_TOKEN_FILE").context("file")?["value"].to_string();
    ensure!(file.contains(PATH) == (who == Who::Upstream), "{file}");
    Ok(())
}

async fn create(scope: &Scope, name: &str, labelled: bool) -> Result<Value> {
    let mut pod = shell(name, "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    if labelled {
        pod["metadata"]["labels"] = json!({USE: "true"});
    }
    Ok(scope.objects("v1", "Pod").await?.dry_run(&pod).await?)
}

/// A release of a chart that has the webhook's configuration, and the values that an operator would have set.
async fn install_upstream(typed: &Shell) -> Result<Trigger> {
    let authority = Authority::new("azure workload identity")?;
    let own = authority.server(&[&HOST.to_string()])?;
    let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes())?;
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    let bound = Bound::bind(SocketAddr::from((HOST, 0)))?;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": CONFIGURATION},
        "webhooks": [{
            "name": "mutation.azure-workload-identity.io", "admissionReviewVersions": ["v1", "v1beta1"], "sideEffects": "None",
            "clientConfig": {
                "url": format!("https://{}/mutate-v1-pod", bound.local_addr()), "caBundle": STANDARD.encode(&authority.pem),
            },
            "failurePolicy": "Fail", "matchPolicy": "Equivalent", "reinvocationPolicy": "IfNeeded",
            "objectSelector": {"matchLabels": {USE: "true"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        }],
    });
    let (trigger, drain) = drain();
    let router = Router::new().route("/mutate-v1-pod", post(inject));
    tokio::spawn(bound.serve_tls(Arc::new(tls), router, Limits::default(), drain));
    typed.write("upstream/Chart.yaml", "apiVersion: v2\nname: workload-identity-webhook\nversion: 1.6.0\n")?;
    typed.write("upstream/templates/configuration.yaml", &configuration.to_string())?;
    typed.write(
        "upstream.yaml",
        &format!("azureTenantID: {TENANT}\nreplicaCount: 1\npodDisruptionBudget:\n  minAvailable: 1\n"),
    )?;
    typed
        .run(
            "helm --namespace azure-workload-identity-system install workload-identity-webhook ./upstream --create-namespace \
             --values upstream.yaml",
        )
        .await?;
    Ok(trigger)
}

/// What version 1.6 adds to the pods here: all variables, the volume and its mount, where they are missing.
async fn inject(Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    let mut response = json!({"uid": request["uid"], "allowed": true});
    let pod = &request["object"];
    if container(pod, "app").is_some_and(|app| variable(app, "AZURE_CLIENT_ID").is_none()) {
        let variables = [
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_FEDERATED_TOKEN_FILE", &format!("{PATH}/token/azure-identity-token")),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
        ]
        .map(|(name, value)| json!({"name": name, "value": value}));
        let volume = json!({"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": {
            "audience": "api://AzureADTokenExchange", "expirationSeconds": 3600, "path": "token/azure-identity-token",
        }}]}});
        let mount = json!({"name": VOLUME, "mountPath": PATH, "readOnly": true});
        let mut operations = vec![json!({"op": "add", "path": "/spec/containers/0/env", "value": variables})];
        for (list, item) in [("/spec/volumes", volume), ("/spec/containers/0/volumeMounts", mount)] {
            // The API server adds its own token before it asks anybody.
            operations.push(match pod.pointer(list).and_then(Value::as_array) {
                Some(_) => json!({"op": "add", "path": format!("{list}/-"), "value": item}),
                None => json!({"op": "add", "path": list, "value": [item]}),
            });
        }
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(Value::from(operations).to_string()));
    }
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
}
