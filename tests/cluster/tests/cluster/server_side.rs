//! What server-side apply, as GitOps tools do it, makes of entries that the webhook owns a part of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use podbadge_cluster_tests::install::{NAMESPACE, WEBHOOK};
use podbadge_cluster_tests::kubectl::Said;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::creating::{Creating, has_identity, labelled};
use crate::load::configurations;
use crate::pods::identity;

const KIND: &str = "MutatingWebhookConfiguration";
const DISABLED: &str = "annotatedServiceAccounts=disabled";

/// Each change is accepted and has its effect. The Deployment stays as it is: whoever is asked would inject, so it is the
/// configuration alone that decides.
pub(super) async fn the_annotated_entry_is_switched(scope: Scope) -> Result<()> {
    let outcome = there_and_back(&scope).await;
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn there_and_back(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let live = configurations(scope, KIND).await?;
    let pods = scope.objects("v1", "Pod").await?;

    let enabled = rendered(scope, &[])?;
    apply(scope, &enabled).await?;
    trusted(&live).await?;
    until("an annotated account is enough", async || has_identity(&pods.dry_run(&unlabelled()).await?)).await?;

    // Left out, the entry would be a name and a caBundle: this is why it stays.
    let mut without = enabled.clone();
    without["webhooks"].as_array_mut().context("no entries")?.retain(|entry| entry["name"] != "annotated.podbadge.io");
    let refusal = applied(scope, &without).await?;
    ensure!(!refusal.success && refusal.errors.contains("sideEffects"), "{}{}", refusal.output, refusal.errors);

    apply(scope, &rendered(scope, &[DISABLED])?).await?;
    until("an annotated account is not enough", async || {
        ensure!(has_identity(&pods.dry_run(&unlabelled()).await?).is_err(), "it still has its identity");
        Ok(())
    })
    .await?;
    has_identity(&pods.dry_run(&labelled()).await?).context("a labelled pod")?;
    // Its caBundle is kept beside the others', so it works at once when it is wanted again.
    trusted(&live).await?;

    apply(scope, &enabled).await?;
    until("an annotated account is enough again", async || has_identity(&pods.dry_run(&unlabelled()).await?)).await
}

/// By waves as Argo CD goes through them, up at an installation and down at a removal, with labelled pods created all the
/// while: none is refused. Not that tool itself, but its order.
pub(super) async fn waves_come_and_go(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let outcome = up_and_down(&scope).await;
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn up_and_down(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let manifests: Value = serde_json::from_str(&scope.cluster.manifests(&[])?)?;
    let mut waves = BTreeMap::<i32, Vec<Value>>::new();
    for object in manifests["items"].as_array().context("no items")? {
        let wave = object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].as_str().unwrap_or("0");
        waves.entry(wave.parse()?).or_default().push(object.clone());
    }
    ensure!(waves.len() == 3, "{} waves", waves.len());
    for objects in waves.values() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        apply(scope, &list).await?;
        if objects.iter().any(|object| object["kind"] == "Deployment") {
            let healthy = ["rollout", "status", "--timeout=60s", "deployment", WEBHOOK];
            let said = Said::by(&scope.cluster.control_plane, NAMESPACE, &healthy, "").await?;
            ensure!(said.success, "{}{}", said.output, said.errors);
        }
    }
    let pods = scope.objects("v1", "Pod").await?;
    until("pods get their identity", async || has_identity(&pods.dry_run(&labelled()).await?)).await?;

    let creating = Creating::start(scope, |_| Ok(())).await?;
    for objects in waves.values().rev() {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let delete = ["delete", "--cascade=foreground", "--wait", "--timeout=100s", "--filename=-"];
        let said = Said::by(&scope.cluster.control_plane, NAMESPACE, &delete, &list).await?;
        ensure!(said.success, "{}{}", said.output, said.errors);
    }
    let created = creating.end().await?;
    ensure!(created > 20, "{created} pods are too few to tell anything");
    ensure!(has_identity(&pods.dry_run(&labelled()).await?).is_err(), "somebody is still asked");
    Ok(())
}

fn rendered(scope: &Scope, values: &[&str]) -> Result<Value> {
    scope.cluster.rendered(values, KIND)?.into_iter().next().context("no configuration")
}

async fn apply(scope: &Scope, object: &Value) -> Result<()> {
    let said = applied(scope, object).await?;
    ensure!(said.success, "{}{}", said.output, said.errors);
    Ok(())
}

/// By the manager that has installed it here, as one GitOps tool does from the first commit to the last.
async fn applied(scope: &Scope, object: &Value) -> Result<Said> {
    let arguments = ["apply", "--server-side", "--field-manager=helm", "--force-conflicts", "--filename=-"];
    Said::by(&scope.cluster.control_plane, NAMESPACE, &arguments, &object.to_string()).await
}

/// Waits until every entry has the one caBundle, written by the webhook.
async fn trusted(live: &Objects) -> Result<()> {
    until("each entry has its caBundle", async || {
        let configuration = live.get(WEBHOOK).await?;
        let entries = configuration["webhooks"].as_array().context("no entries")?;
        ensure!(entries.len() == 3, "{} entries", entries.len());
        let first = &entries[0]["clientConfig"]["caBundle"];
        let all = entries.iter().all(|entry| entry["clientConfig"]["caBundle"] == *first);
        ensure!(first.is_string() && all, "not each has it");
        Ok(())
    })
    .await
}

fn unlabelled() -> Value {
    let mut pod = labelled();
    pod["metadata"]["labels"] = json!({});
    pod
}
