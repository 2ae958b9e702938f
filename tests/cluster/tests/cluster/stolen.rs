//! What whoever has the webhook's token can do by its strongest right.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::install::{NAMESPACE, WEBHOOK};
use podbadge_cluster_tests::kubectl::Said;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::load::{self, ca_bundle, configurations};
use crate::pods::identity;

const POLICY: &str = "caBundlePolicy.enabled=true";
const KINDS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The policy takes nothing from the webhook itself, which goes on replacing its certificates, nor from anybody else.
pub(super) async fn a_stolen_token_writes_ca_bundle_only(scope: Scope) -> Result<()> {
    // Without it, RBAC allows all of this.
    let said = patched(&scope, KINDS[0], &widened(), &[&thief()]).await?;
    ensure!(said.success, "{}{}", said.output, said.errors);
    scope.cluster.upgrade(&[POLICY]).await?;
    let outcome = limited(&scope).await;
    scope.cluster.restore(&[POLICY]).await?;
    outcome
}

async fn limited(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    let (thief, widened) = (thief(), widened());
    until("the policy is in force", async || {
        let said = patched(scope, KINDS[0], &widened, &[&thief]).await?;
        ensure!(!said.success, "{}", said.output);
        Ok(())
    })
    .await?;
    let elsewhere = json!({"url": "https://elsewhere.example/"});
    for patch in [
        widened.clone(),
        json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["*"]}]),
        json!([{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": {}}]),
        json!([{"op": "remove", "path": "/webhooks/0/matchConditions"}]),
        json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]),
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig", "value": elsewhere}]),
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/service/path", "value": "/other"}]),
        json!([{"op": "remove", "path": "/webhooks/0"}]),
        json!([{"op": "replace", "path": "/webhooks/1/name", "value": "other.podbadge.io"}]),
        json!([{"op": "add", "path": "/metadata/annotations", "value": {"cert-manager.io/inject-ca-from": "a/b"}}]),
        json!([{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]}]),
    ] {
        refused(&patched(scope, KINDS[0], &patch, &[&thief]).await?).with_context(|| patch.to_string())?;
    }
    refused(&patched(scope, KINDS[1], &widened, &[&thief]).await?).context("advice")?;
    for kind in KINDS {
        let object = configurations(scope, kind).await?.get(WEBHOOK).await?;
        let bundle = ca_bundle(&object)?;
        let twice = STANDARD.encode(format!("{bundle}{bundle}"));
        let patch = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": twice}]);
        let said = patched(scope, kind, &patch, &[&thief]).await?;
        ensure!(said.success && said.output.contains("patched"), "{kind}: {}{}", said.output, said.errors);
        let said = patched(scope, kind, &widened, &[]).await?;
        ensure!(said.success, "somebody else: {}{}", said.output, said.errors);
    }
    replaced(scope).await
}

fn thief() -> String {
    format!("--as=system:serviceaccount:{NAMESPACE}:{WEBHOOK}")
}

fn widened() -> Value {
    json!([{"op": "replace", "path": "/webhooks/0/rules/0/resources", "value": ["*"]}])
}

/// A new authority, which the webhook has to tell the API server.
async fn replaced(scope: &Scope) -> Result<()> {
    let mut before = Vec::new();
    for kind in KINDS {
        let live = configurations(scope, kind).await?;
        let bundle = ca_bundle(&live.get(WEBHOOK).await?)?;
        before.push((live, bundle));
    }
    let secrets = Objects::of(&scope.cluster.client, "v1", "Secret", NAMESPACE).await?;
    secrets.delete("podbadge-webhook-tls").await?;
    until("both configurations trust the new authority", async || {
        for (live, bundle) in &before {
            let now = ca_bundle(&live.get(WEBHOOK).await?)?;
            ensure!(!now.is_empty() && now != *bundle, "as before");
        }
        Ok(())
    })
    .await?;
    load::works(scope).await
}

/// As the API server would take it, less the storing.
async fn patched(scope: &Scope, kind: &str, patch: &Value, further: &[&str]) -> Result<Said> {
    let patch = format!("--patch={patch}");
    let arguments = [&["patch", kind, WEBHOOK, "--type=json", "--dry-run=server", &patch][..], further].concat();
    Said::by(&scope.cluster.control_plane, NAMESPACE, &arguments, "").await
}

fn refused(said: &Said) -> Result<()> {
    let by_us = said.errors.contains("the webhook may change nothing of its");
    ensure!(!said.success && by_us, "{}{}", said.output, said.errors);
    Ok(())
}
