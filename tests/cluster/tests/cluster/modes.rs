//! From one maker of the webhook's certificate to another, by the commands of docs/chart.md.
//!
//! In the place of cert-manager stands a task that does what it and its CA injector do.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::control_plane::Authority;
use podbadge_cluster_tests::entra::TENANT;
use podbadge_cluster_tests::install::{NAMESPACE, REGISTRY, WEBHOOK};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::creating::{Creating, labelled};
use crate::load::{ca_bundle, configurations};
use crate::pods::identity;
use crate::release::asked;
use crate::strict::with_kinds;

const PAGE: &str = include_str!("../../../../docs/chart.md");
const CONFIGURATIONS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// To cert-manager and back, with pods created all the while, of which none is refused.
pub(super) async fn the_maker_is_changed_as_documented(scope: Scope) -> Result<()> {
    scope.cluster.remove().await?;
    let shell = with_kinds(&scope).await?;
    let outcome = there_and_back(&scope, &shell).await;
    let _ = shell.end(&format!("helm --namespace {NAMESPACE} uninstall podbadge --wait")).await;
    let left = "podbadge-webhook-tls podbadge-webhook-cert-manager-tls podbadge-webhook-ca";
    let _ = shell.end(&format!("kubectl --namespace {NAMESPACE} delete secret {left} --ignore-not-found")).await;
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
    let certificates = Authority::new("cert-manager")?;
    tokio::try_join!(shell.run(change), issue(scope, &certificates))?;
    shell.run(fail).await?;
    // By whoever is trusted now; refused if that were not whom the webhook has its certificate from.
    asked(scope).await?;
    for kind in CONFIGURATIONS {
        let bundle = ca_bundle(&configurations(scope, kind).await?.get(WEBHOOK).await?)?;
        ensure!(bundle.trim() == certificates.pem.trim(), "{kind}: {bundle}");
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

/// What cert-manager does once it is asked: the Secret that the Certificate names, then `caBundle`.
async fn issue(scope: &Scope, authority: &Authority) -> Result<String> {
    let client = &scope.cluster.client;
    let wanted = until("a certificate is asked for", || async {
        let kind = Objects::of(client, "cert-manager.io/v1", "Certificate", NAMESPACE).await?;
        Ok(kind.get(WEBHOOK).await?["spec"].clone())
    })
    .await?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let names = wanted["dnsNames"].as_array().context("no names")?.iter().map(text).collect::<Result<Vec<_>>>()?;
    let own = authority.server(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let secrets = Objects::of(client, "v1", "Secret", NAMESPACE).await?;
    let data = json!({
        "tls.crt": STANDARD.encode(&own.certificate), "tls.key": STANDARD.encode(&own.key),
        "ca.crt": STANDARD.encode(&authority.pem),
    });
    let metadata = json!({"name": text(&wanted["secretName"])?, "namespace": NAMESPACE});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data});
    secrets.create(&secret).await?;
    for kind in CONFIGURATIONS {
        let configurations = configurations(scope, kind).await?;
        until("the annotation is there", || async {
            let mut configuration = configurations.get(WEBHOOK).await?;
            let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
            ensure!(*from == format!("{NAMESPACE}/{WEBHOOK}"), "{from}");
            for entry in configuration["webhooks"].as_array_mut().into_iter().flatten() {
                entry["clientConfig"]["caBundle"] = json!(STANDARD.encode(&authority.pem));
            }
            // At the version that was read: who comes between is not overwritten.
            let version = configuration["metadata"]["resourceVersion"].clone();
            let patch = json!({"metadata": {"resourceVersion": version}, "webhooks": configuration["webhooks"]});
            configurations.merge(WEBHOOK, &patch).await?;
            Ok(())
        })
        .await?;
    }
    Ok(String::new())
}
