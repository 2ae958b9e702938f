//! The custom token endpoint (identity bindings), and what it is trusted by.

use anyhow::{Context, Result, bail, ensure};
use podbadge_cluster_tests::entra::token_endpoint::{AUDIENCE, NAME, URL};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT, TENANT, start_token_endpoint};
use podbadge_cluster_tests::images::APPLICATION;
use podbadge_cluster_tests::install::restart;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use podbadge_emulator::Running;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};

use crate::pods::{container, identity, shell, variable};

const USE: &str = "azure.workload.identity/use-bindings";
const CA_FILE: &str = "/var/run/secrets/azure/tokens/ca.crt";
const SIGNER: &str = "example.test/bindings";
/// An API server serves them only on demand, and drops them from pods otherwise.
const TRUST_BUNDLES: [&str; 2] = [
    "--feature-gates=ClusterTrustBundle=true,ClusterTrustBundleProjection=true",
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
];

/// The chart's values for the endpoint, and for what it is trusted by.
fn values(trust: &[&str]) -> Vec<String> {
    let endpoint = [
        "annotationSuffix=bindings".to_owned(),
        format!("audience={AUDIENCE}"),
        format!("azureKubernetesTokenProxy={URL}"),
        format!("azureKubernetesSniName={NAME}"),
    ];
    let trust = trust.iter().map(|&value| value.to_owned());
    endpoint.into_iter().chain(trust).map(|value| format!("customTokenEndpoint.{value}")).collect()
}

/// The application sees all that an SDK needs, by file; and the certificates are these.
fn by_file(endpoint: &Running) -> Value {
    let script = format!(
        "test \"$(cat $AZURE_KUBERNETES_CA_FILE)\" = '{}'; test -s $AZURE_FEDERATED_TOKEN_FILE",
        endpoint.ca_pem().trim()
    );
    let mut pod = shell("by-file", &script);
    pod["metadata"]["annotations"] = json!({USE: "true"});
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod
}

/// The application knows nothing but the sidecar, which goes to the endpoint.
fn by_sidecar() -> Value {
    let mut pod = shell("by-sidecar", "");
    pod["metadata"]["annotations"] = json!({USE: "true", "podbadge.io/sidecar": "endpoint"});
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod["spec"]["containers"] = json!([{
        "name": "app", "image": APPLICATION,
        "command": ["python", "/application/imds_token.py", "https://vault.azure.net"],
    }]);
    pod
}

/// The token volume's sources as stored.
fn sources(pod: &Value) -> Result<&Vec<Value>> {
    let volumes = pod["spec"]["volumes"].as_array().context("volumes")?;
    let volume = volumes.iter().find(|volume| volume["name"] == "azure-identity-token").context("the token volume")?;
    volume["projected"]["sources"].as_array().context("sources")
}

/// Both pods get their token from the endpoint, whose certificate only `source` can have made them trust.
async fn both_are_served(scope: &Scope, endpoint: &Running, source: &Value) -> Result<()> {
    let pods = scope.objects("v1", "Pod").await?;
    // Replicas that are on their way out answer for a moment still.
    let created = until("the endpoint is injected", || async {
        let admitted = pods.dry_run(&by_file(endpoint)).await?;
        let sources = sources(&admitted)?;
        ensure!(sources.get(1) == Some(source), "{sources:?}");
        Ok(pods.create(&by_file(endpoint)).await?)
    })
    .await?;
    assert_eq!(sources(&created)?[0]["serviceAccountToken"]["audience"], AUDIENCE);
    let app = container(&created, "app").context("app")?;
    for (name, value) in [
        (contract::TOKEN_PROXY, URL),
        (contract::SNI_NAME, NAME),
        (contract::TOKEN_PROXY_CA_FILE, CA_FILE),
        (contract::CLIENT_ID, CLIENT),
    ] {
        assert_eq!(variable(app, name).context(name)?["value"], value);
    }
    scope.succeeds("by-file").await?;

    let before = endpoint.exchanges().total();
    let created = scope.create(&by_sidecar()).await?;
    let app = container(&created, "app").context("app")?;
    assert!(variable(app, contract::TOKEN_PROXY).is_none(), "{app:#}");
    let pod = scope.succeeds("by-sidecar").await?;
    let claims: Value = serde_json::from_str(&scope.log(&pod, "app"))?;
    assert_eq!((&claims["appid"], &claims["tid"]), (&json!(CLIENT), &json!(TENANT)));
    assert_eq!(endpoint.exchanges().total(), before + 1, "the endpoint was not asked");
    Ok(())
}

/// By a ConfigMap in the pod's namespace.
pub(super) async fn trusted_by_a_config_map(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let endpoint = start_token_endpoint(&scope.cluster.control_plane, &scope.namespace).await?;
    scope
        .create(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bindings-ca"},
            "data": {"ca.crt": endpoint.ca_pem(), "other": "of no interest"},
        }))
        .await?;
    let source = json!({"configMap": {
        "name": "bindings-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": false,
    }});
    let values = values(&["azureKubernetesCAConfigMapName=bindings-ca"]);
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    scope.cluster.upgrade(&values).await?;
    let outcome = both_are_served(&scope, &endpoint, &source).await;
    scope.cluster.restore(&values).await?;
    endpoint.stop().await;
    outcome
}

/// By ClusterTrustBundles of a signer; where the API server has none the pod is refused, for it would never start.
pub(super) async fn trusted_by_trust_bundles(scope: Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let endpoint = start_token_endpoint(&scope.cluster.control_plane, &scope.namespace).await?;
    let values = values(&[&format!("azureKubernetesCACTBSignerName={SIGNER}")]);
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    scope.cluster.upgrade(&values).await?;
    let outcome = without_and_with_bundles(&scope, &endpoint).await;
    scope.cluster.control_plane.restart_api_server(&[]).await?;
    scope.cluster.restore(&values).await?;
    endpoint.stop().await;
    outcome
}

async fn without_and_with_bundles(scope: &Scope, endpoint: &Running) -> Result<()> {
    let pods = scope.objects("v1", "Pod").await?;
    let refusal = until("the pod is refused", || async {
        match pods.dry_run(&by_file(endpoint)).await {
            Err(kube::Error::Api(status)) => Ok(status.message),
            answer => bail!("{answer:?}"),
        }
    })
    .await?;
    for part in [USE, SIGNER, "denied the request", "this API server has none", "name a ConfigMap instead"] {
        assert!(refusal.contains(part), "{part} is not in: {refusal}");
    }

    scope.cluster.control_plane.restart_api_server(&TRUST_BUNDLES).await?;
    restart(&scope.cluster.client).await?;
    let bundles = scope.objects("certificates.k8s.io/v1beta1", "ClusterTrustBundle").await?;
    bundles
        .create(&json!({
            "apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
            "metadata": {"name": "example.test:bindings:1"},
            "spec": {"signerName": SIGNER, "trustBundle": endpoint.ca_pem()},
        }))
        .await?;
    // Without a selector no bundle would be meant, and with an empty one all of the signer's.
    let source = json!({"clusterTrustBundle": {
        "signerName": SIGNER, "labelSelector": {}, "path": "ca.crt", "optional": false,
    }});
    let outcome = both_are_served(scope, endpoint, &source).await;
    bundles.delete("example.test:bindings:1").await?;
    outcome
}
