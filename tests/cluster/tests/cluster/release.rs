//! The chart as Helm itself installs, tests, upgrades and uninstalls it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use podbadge_cluster_tests::entra::{CLIENT, HELM_TEST, TENANT};
use podbadge_cluster_tests::install::REGISTRY;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::shell::Shell;
use podbadge_cluster_tests::wait::until;
use serde_json::json;

use crate::creating::{Creating, labelled};
use crate::pods::{USE, identity, shell};

const NAMESPACE: &str = HELM_TEST.0;
/// How long Helm itself may wait.
const WAIT: &str = "--wait --timeout 100s";

/// With nobody else in the cluster: pods are created without a pause from before the upgrade until after the end, and none is
/// refused; what is there in the end is what was there before.
pub(super) async fn it_is_installed_tested_upgraded_and_uninstalled(scope: Scope) -> Result<()> {
    alone(&scope, lifecycle).await
}

/// A failed test leaves its pod, whose words are those of who refused.
pub(super) async fn the_test_says_why_there_is_no_token(scope: Scope) -> Result<()> {
    alone(&scope, refusals).await
}

/// Takes the suite's own Podbadge away meanwhile.
async fn alone(scope: &Scope, test: impl AsyncFnOnce(&Scope, &Shell) -> Result<()>) -> Result<()> {
    scope.cluster.remove().await?;
    let shell = Shell::new(&scope.cluster)?;
    let outcome = test(scope, &shell).await;
    if outcome.is_err() {
        // What was not uninstalled must not refuse the others' pods.
        let _ = shell.end(&format!("helm --namespace {NAMESPACE} uninstall second --wait")).await;
    }
    let _ = shell.end(&format!("kubectl delete namespace {NAMESPACE} --wait=false")).await;
    scope.cluster.restore(&[]).await?;
    outcome
}

fn install(scope: &Scope, further: &str) -> String {
    let authority = scope.cluster.authority();
    format!(
        "helm --namespace {NAMESPACE} upgrade --install second manifests/chart --create-namespace {WAIT} \
         --set image.registry={REGISTRY},azureTenantID={TENANT},authorityHost={authority} {further}"
    )
}

async fn lifecycle(scope: &Scope, shell: &Shell) -> Result<()> {
    scope.create(&identity()).await?;
    let before = everything(shell, NAMESPACE).await?;
    shell.run(&install(scope, "")).await?;
    asked(scope).await?;
    shell.run(&format!("helm --namespace {NAMESPACE} test second --timeout 60s")).await?;

    let creating = Creating::start(scope, |_| Ok(())).await?;
    shell.run(&install(scope, "--set logLevel=debug --set podAnnotations.changed=yes")).await?;
    shell.run(&format!("helm --namespace {NAMESPACE} uninstall second --wait --timeout 100s")).await?;
    let created = creating.end().await?;
    ensure!(created > 20, "{created} pods are too few to tell anything");

    until("nothing is left behind", || async {
        let left: Vec<_> = everything(shell, NAMESPACE).await?.difference(&before).cloned().collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

async fn refusals(scope: &Scope, shell: &Shell) -> Result<()> {
    let test = format!("helm --namespace {NAMESPACE} test second --timeout 60s");
    let with = |client: &str| format!("--set test.clientId={client} --set test.resource=https://vault.azure.net");
    shell.run(&install(scope, &with(CLIENT))).await?;
    asked(scope).await?;
    // The check has no authority of the emulator's but what its image holds: as an operator would have built it.
    shell.run(&test).await.context("with the identity that trusts it")?;

    shell.run(&install(scope, &with("44444444-4444-4444-8444-444444444444"))).await?;
    ensure!(!shell.end(&test).await?.success, "a token for an application that is not there");
    let said = last_words(scope).await?;
    ensure!(said.contains("no access token for https://vault.azure.net: AADSTS700016"), "{said}");
    ensure!(said.contains(&format!("subject       system:serviceaccount:{NAMESPACE}:{}", HELM_TEST.1)), "{said}");

    // A selector that leaves the namespace out: nobody is asked.
    shell.run(&install(scope, "--set mutatingWebhookNamespaceSelector.matchLabels.served=yes")).await?;
    until("nobody is asked", || async {
        ensure!(!shell.end(&test).await?.success, "still injected");
        let said = last_words(scope).await?;
        ensure!(said.contains("this container has no identity: AZURE_CLIENT_ID"), "{said}");
        Ok(())
    })
    .await?;

    // The policy is a second thing that refuses; API servers look at changes of it once a second, so its end is no instant.
    scope.create(&identity()).await?;
    shell.run(&install(scope, "--set validatingAdmissionPolicy.enabled=true")).await?;
    shell.run(&format!("helm --namespace {NAMESPACE} uninstall second --wait")).await?;
    let pods = scope.objects("v1", "Pod").await?;
    until("labelled pods are refused no more", || async { Ok(pods.dry_run(&labelled()).await?) }).await.map(drop)
}

/// What the failed pod of `helm test` wrote.
async fn last_words(scope: &Scope) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(scope.cluster.client.clone(), NAMESPACE);
    Ok(scope.log(&pods.get(HELM_TEST.1).await?, "check"))
}

/// Waits until the API server asks the webhook about labelled pods.
pub(crate) async fn asked(scope: &Scope) -> Result<()> {
    let pods = Objects::of(&scope.cluster.client, "v1", "Pod", &scope.namespace).await?;
    let mut pod = shell("asks", "true");
    pod["metadata"]["labels"] = json!({USE: "true"});
    pod["metadata"]["annotations"] = json!({"azure.workload.identity/service-account-token-expiration": "1"});
    until("the API server asks the webhook", || async {
        let refused = pods.dry_run(&pod).await.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(refused.contains("denied the request"), "{refused}");
        Ok(())
    })
    .await
}

/// All objects, by kind, namespace and name, but for those that come and go by themselves, and for the namespace itself.
pub(crate) async fn everything(shell: &Shell, namespace: &str) -> Result<BTreeSet<String>> {
    let kinds = "kubectl api-resources --verbs=list -o name | grep -vE '^(events|componentstatuses)' | paste -sd, -";
    let list = format!(
        "kubectl get $({kinds}) --all-namespaces --ignore-not-found \
         -o custom-columns=KIND:.kind,NS:.metadata.namespace,NAME:.metadata.name --no-headers"
    );
    let lines = shell.run(&list).await?;
    let of_others = |line: &&str| {
        // The namespace itself stays, with what every namespace has; nodes' leases and APF's objects come and go.
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[..] {
            ["Namespace", _, name] => name == namespace,
            ["ServiceAccount", of, "default"] | ["ConfigMap", of, "kube-root-ca.crt"] => of == namespace,
            _ => false,
        }
    };
    Ok(lines
        .lines()
        .filter(|line| !of_others(line))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect())
}
