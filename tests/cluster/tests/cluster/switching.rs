//! The switch from Azure Workload Identity 1.6, which runs here from its own chart, by the commands of docs/switching.md, in
//! their order.

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::entra::{ACCOUNT, TENANT};
use podbadge_cluster_tests::install::REGISTRY;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::creating::{Creating, has_identity, labelled};
use crate::pods::{container, identity, mounts, shell, variable};

const PAGE: &str = include_str!("../../../../docs/switching.md");
const UPSTREAM: &str = "azure-workload-identity-system";
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";
/// Where version 1.6 has the token.
const PATH: &str = "/var/run/secrets/azure/wi";
/// Where Podbadge has it.
const PROMISED: &str = "/var/run/secrets/azure/tokens";
const UNINSTALL: &str = "helm --namespace podbadge-system uninstall podbadge";

/// Labelled pods are created without a pause from before the first step until after the last: none is refused, and none is
/// without its identity.
pub(super) async fn from_azure_workload_identity_as_documented(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let typed = Shell::new(&scope.cluster)?;
    let outcome = switch(&scope, &typed).await;
    let _ = typed.end(&format!("kubectl delete mutatingwebhookconfiguration {CONFIGURATION} --ignore-not-found")).await;
    let _ = typed.end(&format!("helm --namespace {UPSTREAM} uninstall workload-identity-webhook --wait")).await;
    let _ = typed.end(&format!("{UNINSTALL} --wait")).await;
    let _ = typed.end(&format!("kubectl delete namespace {UPSTREAM} --wait=false")).await;
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn switch(scope: &Scope, typed: &Shell) -> Result<()> {
    scope.create(&identity()).await?;
    install_upstream(scope, typed).await?;
    let creating = Creating::start(scope, has_identity).await?;

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
    let pod = injected_by(scope, Who::Upstream).await.context("with both")?;
    ensure!(container(&pod, "app").is_some_and(|app| mounts(app, PROMISED)), "{pod:#}");
    // Who has no label has gained nothing.
    ensure!(unlabelled(scope).await?["spec"]["volumes"].to_string().find("azure").is_none());

    typed.run(remove).await.context("5")?;
    until("Podbadge injects", || async { injected_by(scope, Who::Podbadge).await }).await?;
    typed.run(fail).await.context("6")?;
    let policies = "kubectl get mutatingwebhookconfiguration podbadge-webhook -o jsonpath={.webhooks[*].failurePolicy}";
    let policies = typed.run(policies).await?;
    ensure!(policies.contains("Fail"), "{policies}");
    injected_by(scope, Who::Podbadge).await?;
    typed.run(enable).await.context("6")?;
    until("unlabelled pods have their identity", || async {
        let pod = unlabelled(scope).await?;
        ensure!(pod["spec"]["volumes"].to_string().contains("azure-identity-token"), "{}", pod["spec"]["volumes"]);
        Ok(())
    })
    .await?;
    let created = creating.end().await?;
    println!("{created} labelled pods through the whole switch: none was refused, none was without identity");
    ensure!(created > 100, "{created} pods are too few to tell anything");
    back(scope, typed).await.context("the way back")
}

/// Labelled pods are refused until the other webhook is ready, which is its own way of being installed, and not after that.
async fn back(scope: &Scope, typed: &Shell) -> Result<()> {
    let creating = Creating::start(scope, has_identity).await?;
    install_upstream(scope, typed).await?;
    let refused = creating.end().await.err().context("nobody was refused, as the page has it")?;
    ensure!(format!("{refused:#}").contains("mutation.azure-workload-identity.io"), "{refused:#}");

    let creating = Creating::start(scope, has_identity).await?;
    ensure!(PAGE.contains(UNINSTALL), "the page has another command");
    typed.run(&format!("{UNINSTALL} --wait")).await?;
    injected_by(scope, Who::Upstream).await?;
    creating.end().await.map(drop)
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

/// Creates a labelled pod, as far as admission goes, and looks who gave it its identity.
async fn injected_by(scope: &Scope, who: Who) -> Result<Value> {
    let pod = pods(scope).await?.dry_run(&labelled()).await?;
    has_identity(&pod)?;
    let app = container(&pod, "app").context("app")?;
    ensure!(mounts(app, PATH) == (who == Who::Upstream), "{:#}", app["volumeMounts"]);
    let file = variable(app, "AZURE_FEDERATED_TOKEN_FILE").context("file")?["value"].to_string();
    ensure!(file.contains(PATH) == (who == Who::Upstream), "{file}");
    Ok(pod)
}

async fn unlabelled(scope: &Scope) -> Result<Value> {
    let mut pod = shell("unlabelled", "true");
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    Ok(pods(scope).await?.dry_run(&pod).await?)
}

async fn pods(scope: &Scope) -> Result<Objects> {
    scope.objects("v1", "Pod").await
}

/// From its own chart, with the whole values file of that chart, as many keep it; until its replicas are ready labelled pods
/// are refused.
async fn install_upstream(scope: &Scope, typed: &Shell) -> Result<()> {
    let chart = scope.cluster.peers.azure_workload_identity.join("chart");
    let chart = chart.display();
    typed
        .run(&format!(
            "helm --namespace {UPSTREAM} install workload-identity-webhook {chart} --create-namespace \
             --values {chart}/values.yaml --set azureTenantID={TENANT} --wait --timeout 100s"
        ))
        .await?;
    until("Azure Workload Identity injects", || async { injected_by(scope, Who::Upstream).await }).await.map(drop)
}
