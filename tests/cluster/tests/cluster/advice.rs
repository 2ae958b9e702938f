//! What people read when they type `kubectl apply`, by the manifests that the webhook's core is tested with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::kubectl::Said;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pods::{CLIENT_ID, USE, account};

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../webhook/core/tests/advice");
const MISPLACED: &str = "label azure.workload.identity/use belongs on the pod template, not on the Deployment";

/// One of the files.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(skip)]
    name: String,
    /// What is there before.
    #[serde(default)]
    before: Vec<Value>,
    /// What is applied.
    object: Value,
    expected: Expected,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    mistakes: Vec<String>,
    notes: Vec<String>,
}

fn cases() -> Result<Vec<Case>> {
    let mut files: Vec<_> = fs::read_dir(MANIFESTS)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let read = |file: &Path| -> Result<Case> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let case: Case = serde_norway::from_str(&fs::read_to_string(file)?).with_context(|| name.clone())?;
        Ok(Case { name, ..case })
    };
    files.iter().map(|file| read(file)).collect()
}

/// Types kubectl, which must succeed; what it warned of.
async fn kubectl(scope: &Scope, namespace: &str, arguments: &[&str], input: &Value) -> Result<Vec<String>> {
    let said = Said::by(&scope.cluster.control_plane, namespace, arguments, &input.to_string()).await?;
    ensure!(said.success, "kubectl {}: {said:?}", arguments.join(" "));
    Ok(said.warnings)
}

/// Waits until the API server asks for advice: `caBundle` of that configuration may be written half a minute late.
async fn advised(scope: &Scope) -> Result<()> {
    let odd = account("asks", json!({"podbadge.io/nonsense": ""}));
    until("the API server asks for advice", || async {
        let warnings = kubectl(scope, &scope.namespace, &["apply", "--dry-run=server", "--filename=-"], &odd).await?;
        ensure!(!warnings.is_empty(), "no warning");
        Ok(())
    })
    .await
}

/// A namespace for all manifests with the same objects before them: the webhook may know a changed one a little late.
async fn namespace(scope: &Scope, before: &[Value], groups: &mut Vec<(Vec<Value>, String)>) -> Result<String> {
    if let Some((_, name)) = groups.iter().find(|(group, _)| group == before) {
        return Ok(name.clone());
    }
    let name = format!("{}-{}", scope.namespace, groups.len());
    scope.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await?;
    for object in before {
        kubectl(scope, &name, &["create", "--filename=-"], object).await?;
    }
    groups.push((before.to_owned(), name.clone()));
    Ok(name)
}

pub(super) async fn manifests_are_advised_on(scope: Scope) -> Result<()> {
    advised(&scope).await?;
    let cases = cases()?;
    assert!(cases.len() > 40, "{} manifests", cases.len());
    let (mut groups, mut wrong) = (Vec::new(), Vec::new());
    for Case { name, before, object, expected } in &cases {
        let namespace = namespace(&scope, before, &mut groups).await?;
        let arguments = ["apply", "--dry-run=server", "--filename=-"];
        let warnings = kubectl(&scope, &namespace, &arguments, object).await.with_context(|| name.clone())?;
        let expected: Vec<_> = expected.mistakes.iter().chain(&expected.notes).cloned().collect();
        if warnings != expected {
            wrong.push(format!("{name}\n  expected {expected:#?}\n  read {warnings:#?}"));
        }
    }
    let namespaces = scope.objects("v1", "Namespace").await?;
    for (_, name) in &groups {
        namespaces.delete(name).await?;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A Deployment without pods, its label where it does nothing.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "till", "labels": {USE: "true"}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "till"}},
            "template": {
                "metadata": {"labels": {"app": "till"}},
                "spec": {"containers": [{"name": "app", "image": "example.test/till:1"}]},
            },
        },
    })
}

/// The same advice at every scale, status and rollout would be noise, and work for nothing.
pub(super) async fn only_changes_that_matter_are_reviewed(scope: Scope) -> Result<()> {
    advised(&scope).await?;
    let mut deployment = deployment();
    let apply = ["apply", "--filename=-"];
    assert_eq!(kubectl(&scope, &scope.namespace, &apply, &deployment).await?, [MISPLACED]);

    deployment["spec"]["paused"] = json!(true);
    deployment["metadata"]["annotations"] = json!({"example.com/note": "1"});
    assert_eq!(kubectl(&scope, &scope.namespace, &apply, &deployment).await?, [""; 0]);

    deployment["spec"]["template"]["metadata"]["annotations"] = json!({"example.com/note": "1"});
    assert_eq!(kubectl(&scope, &scope.namespace, &apply, &deployment).await?, [MISPLACED]);

    let till = account("till", json!({CLIENT_ID: "11111111-2222-3333-4444-555555555555"}));
    assert_eq!(kubectl(&scope, &scope.namespace, &apply, &till).await?, [""; 0]);
    // A value of nothing is a change, too.
    let tenant = "azure.workload.identity/tenant-id";
    let annotate = ["annotate", "serviceaccount/till", &format!("{tenant}=")];
    let text = format!("annotation {tenant} is empty; the tenant of the namespace or of the installation counts");
    assert_eq!(kubectl(&scope, &scope.namespace, &annotate, &Value::Null).await?, [text]);
    let remove = ["annotate", "serviceaccount/till", &format!("{CLIENT_ID}-")];
    assert_eq!(kubectl(&scope, &scope.namespace, &remove, &Value::Null).await?.len(), 2);
    Ok(())
}
