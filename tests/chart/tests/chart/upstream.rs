//! Values files that were written for Azure Workload Identity's chart.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::render::Helm;

const FIXTURE: &str = include_str!("../../fixtures/azure-workload-identity-1.6.yaml");

/// The file as it is, as well as the one that names a tenant.
pub(crate) fn its_values_file_is_accepted(helm: &Helm) -> Result<()> {
    helm.lint(FIXTURE)?;
    let rendered = helm.render(FIXTURE)?;
    let ours = helm.render("")?;
    // It differs from our own defaults in nothing but these.
    ensure!(*rendered.at("PodDisruptionBudget/spec/minAvailable")? == 1);
    ensure!(rendered.at("PodDisruptionBudget/spec/maxUnavailable")?.is_null());
    for path in [
        "Deployment/spec/template",
        "Deployment/spec/replicas",
        "Service/spec",
        "MutatingWebhookConfiguration/webhooks",
    ] {
        ensure!(rendered.at(path)? == ours.at(path)?, "{path} differs");
    }
    Ok(())
}

/// Each of its keys, set to another value than the default, and where that is seen. A key of the file that is missing here is a
/// failure.
pub(crate) fn each_of_its_values_has_its_effect(helm: &Helm) -> Result<()> {
    const POD: &str = "Deployment/spec/template/spec";
    let container = format!("{POD}/containers/0");
    let seen: Vec<(&str, &str, String, Value)> = vec![
        ("replicaCount", "replicaCount: 3", "Deployment/spec/replicas".into(), json!(3)),
        (
            "image.repository",
            "image: {repository: mine/webhook}",
            format!("{container}/image"),
            json!("registry.example.com/mine/webhook:v0.1.0"),
        ),
        ("image.pullPolicy", "image: {pullPolicy: Always}", format!("{container}/imagePullPolicy"), json!("Always")),
        (
            "image.release",
            "image: {release: v9}",
            format!("{container}/image"),
            json!("registry.example.com/podbadge/webhook:v9"),
        ),
        (
            "imagePullSecrets",
            "imagePullSecrets: [{name: s}]",
            format!("{POD}/imagePullSecrets"),
            json!([{"name": "s"}]),
        ),
        ("nodeSelector", "nodeSelector: {a: b}", format!("{POD}/nodeSelector/a"), json!("b")),
        (
            "resources",
            "resources: {limits: {cpu: 2, memory: 99Mi}, requests: {cpu: 1, memory: 98Mi}}",
            format!("{container}/resources"),
            json!({"limits": {"cpu": 2, "memory": "99Mi"}, "requests": {"cpu": 1, "memory": "98Mi"}}),
        ),
        (
            "tolerations",
            "tolerations: [{operator: Exists}]",
            format!("{POD}/tolerations"),
            json!([{"operator": "Exists"}]),
        ),
        ("affinity", "affinity: {nodeAffinity: {}}", format!("{POD}/affinity"), json!({"nodeAffinity": {}})),
        (
            "topologySpreadConstraints",
            "topologySpreadConstraints: [{topologyKey: rack}]",
            format!("{POD}/topologySpreadConstraints"),
            json!([{"topologyKey": "rack"}]),
        ),
        ("service.type", "service: {type: NodePort}", "Service/spec/type".into(), json!("NodePort")),
        ("service.port", "service: {port: 444}", "Service/spec/ports/0/port".into(), json!(444)),
        (
            "service.targetPort",
            "service: {targetPort: 10250}",
            format!("{container}/ports/0/containerPort"),
            json!(10250),
        ),
        ("metricsAddr", "metricsAddr: ':9000'", format!("{container}/ports/1/containerPort"), json!(9000)),
        ("priorityClassName", "priorityClassName: high", format!("{POD}/priorityClassName"), json!("high")),
        (
            "mutatingWebhookAnnotations",
            "mutatingWebhookAnnotations: {admissions.enforcer/disabled: 'true'}",
            "MutatingWebhookConfiguration/metadata/annotations/admissions.enforcer~1disabled".into(),
            json!("true"),
        ),
        ("podLabels", "podLabels: {team: x}", "Deployment/spec/template/metadata/labels/team".into(), json!("x")),
        (
            "podAnnotations",
            "podAnnotations: {note: x}",
            "Deployment/spec/template/metadata/annotations/note".into(),
            json!("x"),
        ),
        (
            "mutatingWebhookNamespaceSelector",
            "mutatingWebhookNamespaceSelector: {matchLabels: {a: b}}",
            "MutatingWebhookConfiguration/webhooks/1/namespaceSelector".into(),
            json!({"matchLabels": {"a": "b"}}),
        ),
        (
            "podDisruptionBudget.minAvailable",
            "podDisruptionBudget: {minAvailable: 50%}",
            "PodDisruptionBudget/spec/minAvailable".into(),
            json!("50%"),
        ),
        ("extraVolumes", "extraVolumes: [{name: v, emptyDir: {}}]", format!("{POD}/volumes/0/name"), json!("v")),
        (
            "extraVolumeMounts",
            "extraVolumeMounts: [{name: v, mountPath: /v}]",
            format!("{container}/volumeMounts/0/mountPath"),
            json!("/v"),
        ),
    ];
    let arguments = [
        ("azureEnvironment", "azureEnvironment: azurechinacloud", "--cloud=azurechinacloud"),
        ("azureTenantID", "azureTenantID: contoso.example", "--tenant-id=contoso.example"),
        ("logLevel", "logLevel: debug", "--log-level=debug"),
        ("logLevel", "logLevel: all", "--log-level=trace"),
        ("logLevel", "logLevel: ''", "--log-level=info"),
        (
            "customTokenEndpoint.annotationSuffix",
            "customTokenEndpoint: {annotationSuffix: bindings}",
            "--custom-token-endpoint-annotation-suffix=bindings",
        ),
        ("customTokenEndpoint.audience", "customTokenEndpoint: {audience: a}", "--custom-token-endpoint-audience=a"),
    ];
    let variables = [
        (
            "customTokenEndpoint.azureKubernetesCaData",
            "customTokenEndpoint: {azureKubernetesCaData: v}",
            "AZURE_KUBERNETES_CA_DATA",
        ),
        (
            "customTokenEndpoint.azureKubernetesSniName",
            "customTokenEndpoint: {azureKubernetesSniName: v}",
            "AZURE_KUBERNETES_SNI_NAME",
        ),
        (
            "customTokenEndpoint.azureKubernetesTokenProxy",
            "customTokenEndpoint: {azureKubernetesTokenProxy: v}",
            "AZURE_KUBERNETES_TOKEN_PROXY",
        ),
        (
            "customTokenEndpoint.azureKubernetesCAConfigMapName",
            "customTokenEndpoint: {azureKubernetesCAConfigMapName: v}",
            "AZURE_KUBERNETES_CA_CONFIGMAP_NAME",
        ),
        (
            "customTokenEndpoint.azureKubernetesCACTBSignerName",
            "customTokenEndpoint: {azureKubernetesCACTBSignerName: v}",
            "AZURE_KUBERNETES_CA_CTB_SIGNER_NAME",
        ),
        (
            "customTokenEndpoint.azureKubernetesCACTBLabelSelector",
            "customTokenEndpoint: {azureKubernetesCACTBLabelSelector: v}",
            "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR",
        ),
        ("extraEnv", "extraEnv: [{name: EXTRA, value: v}]", "EXTRA"),
    ];
    for (_, values, path, expected) in &seen {
        let rendered = helm.render(values).context(*values)?;
        let found = rendered.at(path)?;
        ensure!(found == expected, "{values}: {path} is {found}");
    }
    for (_, values, argument) in arguments {
        ensure!(helm.render(values).context(values)?.has_argument(argument)?, "{values}: no {argument}");
    }
    for (_, values, variable) in variables {
        ensure!(
            helm.render(values).context(values)?.variable(variable)? == Some(&json!("v")),
            "{values}: no {variable}"
        );
    }
    // There is one backend, and its name is all that can be said of it.
    let without_effect = ["metricsBackend"];
    let covered: Vec<&str> = seen
        .iter()
        .map(|(key, ..)| *key)
        .chain(arguments.map(|(key, ..)| key))
        .chain(variables.map(|(key, ..)| key))
        .chain(without_effect)
        .collect();
    for key in keys() {
        ensure!(covered.contains(&key.as_str()), "{key} of its values file is not looked at");
    }
    Ok(())
}

/// Its own image and its own limits.
pub(crate) fn what_means_nothing_here_is_said(helm: &Helm) -> Result<()> {
    let notes = helm.notes(FIXTURE)?;
    for said in [
        "image.repository mcr.microsoft.com/oss/azure/workload-identity/webhook and image.release are Azure Workload Identity's",
        "resources are those of Azure Workload Identity's own values file",
    ] {
        ensure!(notes.contains(said), "not said: {said}\n{notes}");
    }
    ensure!(!helm.notes("")?.contains("Workload Identity's own"));
    let mirrored = "image: {repository: registry.example/azure/workload-identity/webhook, release: v1.6.0}";
    let image = helm.render(mirrored)?.container()?["image"].clone();
    ensure!(image == "registry.example.com/podbadge/webhook:v0.1.0", "{image}");
    Ok(())
}

/// The file's keys: the first level, and the second where the first has one of its own meaning.
fn keys() -> Vec<String> {
    let file: Value = serde_norway::from_str(FIXTURE).expect("the fixture");
    let mut keys = Vec::new();
    for (key, value) in file.as_object().expect("a map") {
        match value.as_object() {
            Some(inner)
                if ["image", "service", "podDisruptionBudget", "customTokenEndpoint"].contains(&key.as_str()) =>
            {
                keys.extend(inner.keys().map(|inner| format!("{key}.{inner}")));
            }
            _ => keys.push(key.clone()),
        }
    }
    keys
}
