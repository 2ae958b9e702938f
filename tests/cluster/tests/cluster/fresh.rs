//! Identities that change a moment before their pods are created: the watch is always a little late, and at times
//! interrupted.

use anyhow::{Context, Result, ensure};
use podbadge_cluster_tests::entra::{ACCOUNT, CLIENT};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::network::CutOff;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};

use crate::outage::{addresses, metrics};
use crate::pods::{CLIENT_ID, USE, account, container, shell, variable};

/// So many accounts, or namespaces, are changed in turn.
const MANY: u32 = 10;
/// And so often each. What was read of one for its last pod no longer counts when its turn comes again.
const ROUNDS: u32 = 5;
/// Both ways to opt in.
const UNLABELLED: bool = false;
const LABELLED: bool = true;

/// What the tests of this file work with.
struct Cluster {
    accounts: Objects,
    pods: Objects,
}

impl Cluster {
    async fn of(scope: &Scope, namespace: &str) -> Result<Self> {
        let objects = async |kind| Objects::of(&scope.cluster.client, "v1", kind, namespace).await;
        Ok(Self { accounts: objects("ServiceAccount").await?, pods: objects("Pod").await? })
    }

    async fn create(&self, name: &str, client_id: Option<&str>) -> Result<()> {
        let annotations = client_id.map_or(json!({}), |client_id| json!({CLIENT_ID: client_id}));
        Ok(self.accounts.create(&account(name, annotations)).await.map(drop)?)
    }

    async fn annotate(&self, name: &str, client_id: Option<&str>) -> Result<()> {
        Ok(self.accounts.merge(name, &annotation(client_id)).await.map(drop)?)
    }

    /// The identity that a pod of the service account gets.
    async fn admit(&self, account: &str, labelled: bool) -> Result<Option<String>> {
        let mut pod = shell("app", "true");
        pod["spec"]["serviceAccountName"] = json!(account);
        if labelled {
            pod["metadata"]["labels"] = json!({USE: "true"});
        }
        let admitted = self.pods.dry_run(&pod).await?;
        let app = container(&admitted, "app").context("app")?;
        Ok(variable(app, "AZURE_CLIENT_ID").and_then(|variable| variable["value"].as_str()).map(str::to_owned))
    }

    async fn gets(&self, account: &str, labelled: bool, client_id: Option<&str>) -> Result<()> {
        let got = self.admit(account, labelled).await?;
        ensure!(got.as_deref() == client_id, "{account}, labelled {labelled}: {got:?} instead of {client_id:?}");
        Ok(())
    }
}

fn annotation(client_id: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {CLIENT_ID: client_id}}})
}

/// Another identity for each number.
fn identity(number: u32) -> String {
    format!("{number:08}-2222-4222-8222-222222222222")
}

/// One that nobody has heard of, and one that was known to have no identity.
pub(super) async fn an_account_annotated_a_moment_before(scope: Scope) -> Result<()> {
    let cluster = Cluster::of(&scope, &scope.namespace).await?;
    for number in 0..MANY * ROUNDS {
        let id = identity(number);
        for labelled in [UNLABELLED, LABELLED] {
            let (new, plain) = (format!("new-{number}-{labelled}"), format!("plain-{number}-{labelled}"));
            cluster.create(&plain, None).await?;
            cluster.create(&new, Some(&id)).await?;
            cluster.gets(&new, labelled, Some(&id)).await?;
            cluster.annotate(&plain, Some(&id)).await?;
            cluster.gets(&plain, labelled, Some(&id)).await?;
        }
    }
    Ok(())
}

/// From one identity to another, or to none.
pub(super) async fn an_account_annotated_again_a_moment_before(scope: Scope) -> Result<()> {
    let cluster = Cluster::of(&scope, &scope.namespace).await?;
    for number in 0..MANY {
        cluster.create(&format!("account-{number}"), Some(CLIENT)).await?;
    }
    for number in 0..2 * MANY * ROUNDS {
        let name = format!("account-{}", number % MANY);
        let id = Some(identity(number)).filter(|_| number % 3 != 0);
        cluster.annotate(&name, id.as_deref()).await?;
        cluster.gets(&name, number % 2 == 0, id.as_deref()).await?;
    }
    Ok(())
}

/// The namespace's default, which labelled pods get.
pub(super) async fn a_namespace_annotated_a_moment_before(scope: Scope) -> Result<()> {
    let namespaces = scope.objects("v1", "Namespace").await?;
    let mut clusters = Vec::new();
    for number in 0..MANY {
        let name = format!("{}-{number}", scope.namespace);
        namespaces.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await?;
        let cluster = Cluster::of(&scope, &name).await?;
        cluster.create(ACCOUNT, None).await?;
        clusters.push((name, cluster));
    }
    for round in 0..ROUNDS {
        for (name, cluster) in &clusters {
            let id = Some(identity(round)).filter(|_| round % 3 != 2);
            namespaces.merge(name, &annotation(id.as_deref())).await?;
            cluster.gets(ACCOUNT, LABELLED, id.as_deref()).await?;
        }
    }
    for (name, _) in clusters {
        namespaces.delete(&name).await?;
    }
    Ok(())
}

/// Nothing comes from the API server for a while. What is known counts meanwhile; what changed meanwhile counts at once
/// when that is over.
pub(super) async fn a_gap_in_the_watch_is_survived(scope: Scope) -> Result<()> {
    let cluster = Cluster::of(&scope, &scope.namespace).await?;
    for name in ["same", "changed"] {
        cluster.create(name, Some(CLIENT)).await?;
    }
    // Long enough for every replica to hear of them.
    for number in 0..MANY {
        for name in ["same", "changed"] {
            cluster.gets(name, number % 2 == 0, Some(CLIENT)).await?;
        }
    }
    let mut cuts = Vec::new();
    for address in addresses(&scope).await? {
        cuts.push(CutOff::from_api_server(address).await?);
    }
    let other = identity(0);
    cluster.annotate("changed", Some(&other)).await?;
    cluster.create("new", Some(&other)).await?;
    for labelled in [UNLABELLED, LABELLED, UNLABELLED, LABELLED] {
        cluster.gets("same", labelled, Some(CLIENT)).await?;
    }
    drop(cuts);

    for labelled in [LABELLED, UNLABELLED] {
        for name in ["new", "changed"] {
            cluster.gets(name, labelled, Some(&other)).await?;
        }
    }
    Ok(())
}

/// All watches break, and go on.
pub(super) async fn the_api_server_restarts(scope: Scope) -> Result<()> {
    let cluster = Cluster::of(&scope, &scope.namespace).await?;
    for name in ["same", "changed", "gone"] {
        cluster.create(name, Some(CLIENT)).await?;
    }
    scope.cluster.control_plane.restart_api_server(&[]).await?;

    let other = identity(0);
    cluster.annotate("changed", Some(&other)).await?;
    cluster.annotate("gone", None).await?;
    cluster.create("new", Some(&other)).await?;
    for labelled in [LABELLED, UNLABELLED] {
        cluster.gets("same", labelled, Some(CLIENT)).await?;
        cluster.gets("changed", labelled, Some(&other)).await?;
        cluster.gets("gone", labelled, None).await?;
        cluster.gets("new", labelled, Some(&other)).await?;
    }
    let webhooks = addresses(&scope).await?;
    until("all watches run again", || async {
        for metrics in metrics(&webhooks).await? {
            let samples = metrics.lines().filter(|line| line.starts_with("podbadge_webhook_watch_connected{"));
            let samples: Vec<_> = samples.collect();
            ensure!(samples.len() == 3 && samples.iter().all(|sample| sample.ends_with(" 1")), "{samples:?}");
        }
        Ok(())
    })
    .await?;
    Ok(())
}
