//! All that is rendered or shipped beside the chart, taken by the real API server with strict field validation.

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::cert_manager;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// Values that together switch on all there is, the chart's own tests have them too.
const SETS: [(&str, &str); 5] = [
    ("default.yaml", ""),
    ("everything.yaml", include_str!("../../../chart/fixtures/everything.yaml")),
    ("cert-manager.yaml", include_str!("../../../chart/fixtures/cert-manager.yaml")),
    ("files.yaml", include_str!("../../../chart/fixtures/files-on-host-network.yaml")),
    ("upstream.yaml", include_str!("../../../chart/fixtures/azure-workload-identity-1.6.yaml")),
];

/// As much of the kinds of the Prometheus operator as the chart uses; what these do not name is refused. Those of cert-manager
/// are its own.
const KINDS: &str = include_str!("../../fixtures/kinds.yaml");

/// A misspelt field is an error, in hooks too. The pod of `helm test` is created for real elsewhere.
pub(super) async fn all_that_is_rendered_is_accepted(scope: Scope) -> Result<()> {
    let shell = with_kinds(&scope).await?;
    for (name, values) in SETS {
        shell.write(name, values)?;
        let rendered = shell
            .run(&format!(
                "helm template strict manifests/chart --namespace {} --kube-version 1.36.0 --values {name} \
                 --set image.registry=registry.example",
                scope.namespace
            ))
            .await?;
        let mut count = 0;
        let mut text = String::new();
        for document in serde_norway::Deserializer::from_str(&rendered) {
            let object = Value::deserialize(document)?;
            if !object.is_null() && object["kind"] != "Pod" {
                count += 1;
                text += &format!("---\n{object}\n");
            }
        }
        ensure!(count > 8, "{name}: {count} objects");
        shell.write("rendered.yaml", &text)?;
        accepted(&shell, "--filename rendered.yaml").await.with_context(|| name.to_owned())?;
    }
    // The validation itself must be able to fail.
    let misspelt = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "misspelt", "namespace": scope.namespace},
        "spec": {"ports": [{"port": 443, "tragetPort": 1}]},
    });
    shell.write("misspelt.yaml", &misspelt.to_string())?;
    let refusal = accepted(&shell, "--filename misspelt.yaml").await.err().context("not refused")?.to_string();
    ensure!(refusal.contains("tragetPort"), "{refusal}");
    Ok(())
}

/// The plain manifests, the overlay on them, the alerts, and the policies for namespaces of applications.
pub(super) async fn overlays_and_policies_are_accepted(scope: Scope) -> Result<()> {
    let shell = with_kinds(&scope).await?;
    for file in ["manifests/rendered/podbadge.yaml", "manifests/monitoring/alerts.yaml"] {
        accepted(&shell, &format!("--filename {file}")).await.context(file)?;
    }
    accepted(&shell, "--kustomize examples/kustomize").await.context("the overlay")?;
    let overlay = shell.run("kubectl kustomize examples/kustomize").await?;
    for put_in in [
        "image: registry.example/podbadge/webhook@sha256:",
        "value: registry.example/podbadge/sidecar@sha256:",
        "name: AZURE_TENANT_ID",
    ] {
        ensure!(overlay.contains(put_in), "no {put_in}\n{overlay}");
    }
    accepted(&shell, &format!("--namespace {} --filename manifests/policies", scope.namespace))
        .await
        .context("policies")
}

async fn with_kinds(scope: &Scope) -> Result<Shell> {
    let shell = Shell::new(&scope.cluster)?;
    cert_manager::define(&scope.cluster).await?;
    shell.write("kinds.yaml", KINDS)?;
    shell.run("kubectl apply --server-side --filename kinds.yaml").await?;
    shell.run("kubectl wait --for=condition=Established --timeout=60s --filename kinds.yaml").await?;
    Ok(shell)
}

async fn accepted(shell: &Shell, what: &str) -> Result<()> {
    let apply =
        "kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict --field-manager=strict";
    // Another test may have made the kinds a moment ago, and their schemas spread with a delay.
    let answer = until("the API server knows the kinds", || async {
        let ended = shell.end(&format!("{apply} {what}")).await?;
        ensure!(!ended.output.contains("no matches for kind"), "{}", ended.output);
        Ok(ended)
    })
    .await?;
    ensure!(answer.success, "{}", answer.output);
    Ok(())
}
