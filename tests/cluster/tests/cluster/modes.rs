//! From one maker of the webhook's certificate to another, by the commands of docs/chart.md.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::cert_manager::CertManager;
use podbadge_cluster_tests::entra::TENANT;
use podbadge_cluster_tests::install::{NAMESPACE, REGISTRY, WEBHOOK};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;

use crate::creating::{Creating, labelled};
use crate::load::{ca_bundle, configurations};
use crate::pods::identity;
use crate::release::asked;

const PAGE: &str = include_str!("../../../../docs/chart.md");
const CONFIGURATIONS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// To cert-manager and back, with pods created all the while, of which none is refused.
pub(super) async fn the_maker_is_changed_as_documented(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let mut cert_manager = CertManager::start(&scope.cluster).await?;
    let shell = Shell::new(&scope.cluster)?;
    let left = "podbadge-webhook-tls podbadge-webhook-cert-manager-tls podbadge-webhook-ca";
    let clean = format!("kubectl --namespace {NAMESPACE} delete secret {left} --ignore-not-found");
    shell.run(&clean).await?;
    let outcome = there_and_back(&scope, &shell).await.and(cert_manager.check());
    let _ = shell.end(&format!("helm --namespace {NAMESPACE} uninstall podbadge --wait")).await;
    let _ = shell.end(&clean).await;
    scope.cluster.restore(&[]).await?;
    outcome
}

async fn there_and_back(scope: &Scope, shell: &Shell) -> Result<()> {
    scope.create(&identity()).await?;
    let authority = scope.cluster.authority();
    let install = format!(
        "helm --namespace {NAMESPACE} upgrade --install podbadge manifests/chart --create-namespace --wait --timeout 100s \
         --set image.registry={REGISTRY},azureTenantID={TENANT},authorityHost={authority}"
    );
    shell.run(&install).await?;
    asked(scope).await?;
    let [ignore, change, fail] = commands()[..] else { anyhow::bail!("three commands") };

    shell.run(ignore).await?;
    let creating = Creating::start(scope, |_| Ok(())).await?;
    shell.run(change).await?;
    shell.run(fail).await?;
    // By whoever is trusted now; refused if that were not whom the webhook has its certificate from.
    asked(scope).await?;
    let secrets = Objects::of(&scope.cluster.client, "v1", "Secret", NAMESPACE).await?;
    let authority = secrets.get("podbadge-webhook-cert-manager-tls").await?["data"]["ca.crt"].clone();
    for kind in CONFIGURATIONS {
        let bundle = STANDARD.encode(ca_bundle(&configurations(scope, kind).await?.get(WEBHOOK).await?)?);
        ensure!(authority == bundle, "{kind}: {bundle}");
    }

    shell.run(ignore).await?;
    shell.run(&change.replace("cert-manager", "self-managed")).await?;
    shell.run(fail).await?;
    asked(scope).await?;
    let created = creating.end().await?;
    ensure!(created > 20, "{created} pods are too few to tell anything");
    let pods = scope.objects("v1", "Pod").await?;
    let pod = pods.dry_run(&labelled()).await?;
    ensure!(pod["spec"]["volumes"].to_string().contains("azure-identity-token"), "{}", pod["spec"]["volumes"]);
    Ok(())
}

/// The commands of the page's section, one a line.
fn commands() -> Vec<&'static str> {
    let section = PAGE.split("### From one mode to another").nth(1).unwrap_or_default();
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("\n```").next());
    block.unwrap_or_default().lines().collect()
}
