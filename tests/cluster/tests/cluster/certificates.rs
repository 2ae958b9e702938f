//! The webhook's own certificates: replaced under load, and repaired whatever becomes of them.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_certs::bundle::Bundle;
use podbadge_certs::material::Names;
use podbadge_certs::policy::Policy;
use podbadge_certs::state::{CA_CERT, CA_KEY, Data, State, TLS_CERT, TLS_KEY, Whole};
use podbadge_certs::{issue, now};
use podbadge_cluster_tests::install::{NAMESPACE, WEBHOOK, scale};
use podbadge_cluster_tests::kubectl::Said;
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::load::{self, Load, ca_bundle, configurations};
use crate::outage::{addresses, metrics};
use crate::pods::identity;

/// How many seconds the load of the rotation runs, 60 if unset.
const SECONDS: &str = "PODBADGE_ROTATION_SECONDS";
const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";
const SECRET: &str = "podbadge-webhook-tls";

/// How long the rotation's load runs.
pub(crate) fn rotation() -> Duration {
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// The chart's values for these variables of the webhook.
fn variables(variables: &[(&str, &str)]) -> String {
    let variables: Vec<Value> =
        variables.iter().map(|(name, value)| json!({"name": format!("PODBADGE_TLS_{name}"), "value": value})).collect();
    format!("extraEnv={}", json!(variables))
}

fn quick() -> String {
    variables(&[("OVERLAP", "8"), ("SETTLE", "2"), ("POLL", "1")])
}

/// Authority and leaf are replaced every ten seconds, and the leaf alone in between. Nobody notices: neither who verifies
/// against what `caBundle` held a moment ago, nor the API server.
pub(super) async fn they_are_replaced_every_ten_seconds_under_load(scope: Scope) -> Result<()> {
    let values = variables(&[
        ("AUTHORITY_LIFETIME", "120"),
        ("AUTHORITY_RENEWAL", "10"),
        ("LEAF_LIFETIME", "60"),
        ("LEAF_RENEWAL", "5"),
        ("OVERLAP", "8"),
        ("SETTLE", "2"),
        ("POLL", "1"),
    ]);
    scope.cluster.upgrade(&[&values]).await?;
    let outcome = replaced_under_load(&scope).await;
    // A replica of the usual patience would never see an authority that lasts, and none is to be left that ends soon.
    scale(&scope.cluster.client, 0).await?;
    objects(&scope, "v1", "Secret").await?.delete(SECRET).await?;
    scope.cluster.restore(&[&values]).await?;
    outcome
}

async fn replaced_under_load(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    load::works(scope).await?;
    let webhooks = addresses(scope).await?;
    let before = sum(&webhooks, "podbadge_webhook_certificate_generation").await?;
    let load = Load::start(scope, 120, 80).await?;
    tokio::time::sleep(rotation()).await;
    let done = load.end().await?;
    let leaves = sum(&webhooks, "podbadge_webhook_certificate_generation").await? - before;
    let leaders = sum(&webhooks, "podbadge_webhook_certificate_leader").await?;
    let seconds = done.took.as_secs();
    println!(
        "{} admissions directly and {} through the API server in {seconds} s, {} a second: none failed; \
         {} authorities, {leaves} leaves on two replicas",
        done.direct,
        done.through,
        (done.direct + done.through) / seconds.max(1),
        done.authorities,
    );
    // A round more or less, and the time until what was made is served.
    let least = usize::try_from(seconds / 12)?;
    ensure!(done.authorities >= least, "{} authorities in {seconds} s", done.authorities);
    ensure!(leaves >= 2 * u64::try_from(least)?, "{leaves} leaves in {seconds} s");
    ensure!(leaders == 1, "{leaders} replicas write");
    Ok(())
}

/// Whatever becomes of Secret and rights, what is served is trusted, and in the end all is whole again.
pub(super) async fn each_fault_is_repaired(scope: Scope) -> Result<()> {
    let values = quick();
    scope.cluster.upgrade(&[&values]).await?;
    let outcome = repaired(&scope).await;
    scope.cluster.restore(&[&values]).await?;
    outcome
}

async fn repaired(scope: &Scope) -> Result<()> {
    scope.create(&identity()).await?;
    load::works(scope).await?;
    let fixture = Fixture::of(scope).await?;
    let backup = fixture.whole("at first").await?;
    let load = Load::start(scope, 40, 10).await?;

    fixture.secrets.delete(SECRET).await?;
    let anew = fixture.whole("after the Secret was deleted").await?;
    ensure!(anew.authority.certificate() != backup.authority.certificate(), "the same authority");
    for (key, value) in [(TLS_KEY, "AAAA"), (TLS_CERT, "AAAA"), (CA_KEY, ""), (CA_CERT, "AAAA")] {
        let before = fixture.whole("before").await?;
        fixture.secrets.merge(SECRET, &json!({"data": {key: value}})).await?;
        let after = fixture.whole(&format!("after {key} was spoiled")).await?;
        ensure!(after.leaf.chain() != before.leaf.chain(), "{key}: the same leaf");
    }
    // Everything in it has ended a while ago.
    let names = Names::of_service(WEBHOOK, NAMESPACE)?;
    let then = now() - Duration::from_secs(400 * 24 * 60 * 60);
    let ended = issue::whole(&names, &Policy::default(), &Bundle::default(), then)?;
    fixture.put(&ended).await?;
    fixture.whole("after what had ended was put there").await?;
    fixture.put(&backup).await?;
    let restored = fixture.whole("after a backup was restored").await?;
    ensure!(restored.authority.certificate() == backup.authority.certificate(), "the backup is no fault");

    without_rights(scope, &fixture).await?;
    without_the_right_to_advise(scope, &fixture).await?;
    let done = load.end().await?;
    println!("{} admissions directly, {} through the API server: none failed", done.direct, done.through);
    fixture.whole("at the end").await?;
    ca_bundle_is_put_back(scope, &fixture).await?;
    an_emptied_configuration_is_told(scope, &fixture).await
}

/// A right is taken away, something breaks, the right comes back.
async fn without_rights(scope: &Scope, fixture: &Fixture) -> Result<()> {
    let roles = objects(scope, "rbac.authorization.k8s.io/v1", "Role").await?;
    let rules = roles.get(WEBHOOK).await?["rules"].clone();
    for (resource, step) in [("secrets", "read_secret"), ("leases", "lease")] {
        let before = failures(fixture, step).await?;
        roles.merge(WEBHOOK, &json!({"rules": without(&rules, resource)})).await?;
        fail(fixture, step, before).await?;
        if resource == "leases" {
            // Nobody leads, and still it is repaired.
            fixture.secrets.delete(SECRET).await?;
            fixture.whole("without leases").await?;
        }
        roles.merge(WEBHOOK, &json!({"rules": rules})).await?;
    }
    until("one leads again", async || {
        let leaders = sum(&fixture.webhooks, "podbadge_webhook_certificate_leader").await?;
        ensure!(leaders == 1, "{leaders}");
        Ok(())
    })
    .await?;
    // Nobody ended for that.
    for pod in fixture.pods.list().await? {
        ensure!(pod["status"]["containerStatuses"][0]["restartCount"] == 0, "{}", pod["status"]);
    }
    Ok(())
}

/// The configuration that only gives advice can no longer be read: admission gets its new authority all the same.
async fn without_the_right_to_advise(scope: &Scope, fixture: &Fixture) -> Result<()> {
    let roles = objects(scope, "rbac.authorization.k8s.io/v1", "ClusterRole").await?;
    let rules = roles.get(WEBHOOK).await?["rules"].clone();
    let kept = without(&rules, "validatingwebhookconfigurations");
    ensure!(json!(kept) != rules, "no such right: {rules}");
    let (before, old) = (fixture.whole("before").await?, configurations(scope, VALIDATING).await?.get(WEBHOOK).await?);
    let [told, not_told] = ["read_advice_configuration", "read_configuration"];
    let (advice, admission) = (failures(fixture, told).await?, failures(fixture, not_told).await?);
    roles.merge(WEBHOOK, &json!({"rules": kept})).await?;
    fail(fixture, told, advice).await?;

    fixture.secrets.delete(SECRET).await?;
    let anew = fixture.whole_for(&[MUTATING], "without the right to advise").await?;
    ensure!(anew.authority.certificate() != before.authority.certificate(), "the same authority");
    load::works(scope).await?;
    a_replica_starts(scope, fixture).await?;
    let unadvised = configurations(scope, VALIDATING).await?.get(WEBHOOK).await?;
    ensure!(ca_bundle(&unadvised)? == ca_bundle(&old)?, "the right was not lost");
    let failures = failures(fixture, not_told).await? - admission;
    ensure!(failures == 0, "{failures} failures of {not_told}");

    roles.merge(WEBHOOK, &json!({"rules": rules})).await?;
    let advised = fixture.whole("with the right to advise again").await?;
    ensure!(advised.authority.certificate() == anew.authority.certificate(), "yet another authority");
    Ok(())
}

/// One more becomes ready, and ends again.
async fn a_replica_starts(scope: &Scope, fixture: &Fixture) -> Result<()> {
    scale(&scope.cluster.client, 3).await?;
    for pod in fixture.pods.list().await? {
        let address: Ipv4Addr = pod["status"]["podIP"].as_str().context("podIP")?.parse()?;
        if !fixture.webhooks.contains(&address) {
            let last = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}});
            fixture.pods.merge(pod["metadata"]["name"].as_str().context("name")?, &last).await?;
        }
    }
    scale(&scope.cluster.client, 2).await
}

/// The rules of a role but those for `resource`.
fn without(rules: &Value, resource: &str) -> Vec<Value> {
    let is_for = |rule: &Value| rule["resources"].as_array().into_iter().flatten().any(|one| one == resource);
    rules.as_array().into_iter().flatten().filter(|rule| !is_for(rule)).cloned().collect()
}

/// How often a step has failed.
async fn failures(fixture: &Fixture, step: &str) -> Result<u64> {
    sum(&fixture.webhooks, &format!("podbadge_webhook_certificate_failures_total{{step=\"{step}\"}}")).await
}

/// Waits until a step has failed a few times more.
async fn fail(fixture: &Fixture, step: &str, before: u64) -> Result<()> {
    until(&format!("failures of {step} are counted"), async || {
        let failures = failures(fixture, step).await? - before;
        ensure!(failures >= 4, "{failures}");
        Ok(())
    })
    .await
}

/// Somebody else takes `caBundle` away, or replaces it.
async fn ca_bundle_is_put_back(scope: &Scope, fixture: &Fixture) -> Result<()> {
    let stranger = issue::authority(&Policy::default(), now())?.certificate().to_pem();
    for bundle in [Value::Null, json!(STANDARD.encode(stranger))] {
        for kind in [MUTATING, VALIDATING] {
            let configurations = configurations(scope, kind).await?;
            let mut webhooks = configurations.get(WEBHOOK).await?["webhooks"].clone();
            for entry in webhooks.as_array_mut().into_iter().flatten() {
                entry["clientConfig"]["caBundle"] = bundle.clone();
            }
            configurations.merge(WEBHOOK, &json!({"webhooks": webhooks})).await?;
        }
        fixture.whole("after caBundle was replaced").await?;
        load::works(scope).await?;
    }
    Ok(())
}

/// Somebody empties the configuration, so that pods start without identity: counted, until the entries are back.
async fn an_emptied_configuration_is_told(scope: &Scope, fixture: &Fixture) -> Result<()> {
    let before = failures(fixture, "read_configuration").await?;
    configurations(scope, MUTATING).await?.merge(WEBHOOK, &json!({"webhooks": []})).await?;
    fail(fixture, "read_configuration", before).await?;
    // By whoever installed it: entries that somebody else had put back would be somebody else's from then on.
    scope.cluster.upgrade(&[&quick()]).await?;
    fixture.whole("after the configuration was emptied").await?;
    load::works(scope).await
}

/// GitOps tools and people see no difference between the chart and the cluster, with what the webhook writes.
pub(super) async fn kubectl_sees_no_difference_after_a_rotation(scope: Scope) -> Result<()> {
    let values = quick();
    scope.cluster.upgrade(&[&values]).await?;
    let outcome = no_difference(&scope, &values).await;
    scope.cluster.restore(&[&values]).await?;
    outcome
}

async fn no_difference(scope: &Scope, values: &str) -> Result<()> {
    let fixture = Fixture::of(scope).await?;
    let before = fixture.whole("at first").await?;
    fixture.secrets.delete(SECRET).await?;
    let after = fixture.whole("after a rotation").await?;
    ensure!(after.authority.certificate() != before.authority.certificate(), "the same authority");
    let manifests = scope.cluster.manifests(&[values])?;
    for arguments in [
        &["diff", "--server-side", "--field-manager=helm", "--filename=-"][..],
        &["diff", "--server-side", "--field-manager=argocd-controller", "--force-conflicts", "--filename=-"],
    ] {
        let said = Said::by(&scope.cluster.control_plane, NAMESPACE, arguments, &manifests).await?;
        ensure!(said.success && said.output.is_empty(), "{arguments:?}: {}{}", said.output, said.errors);
    }
    // A difference would be seen.
    let other = manifests.replace("\"timeoutSeconds\":5", "\"timeoutSeconds\":6");
    let arguments = ["diff", "--server-side", "--field-manager=helm", "--filename=-"];
    let said = Said::by(&scope.cluster.control_plane, NAMESPACE, &arguments, &other).await?;
    ensure!(!said.success && said.output.contains("timeoutSeconds: 6"), "{}{}", said.output, said.errors);
    Ok(())
}

/// What the tests look at.
struct Fixture {
    secrets: Objects,
    pods: Objects,
    configurations: [(&'static str, Objects); 2],
    webhooks: Vec<Ipv4Addr>,
    review: Value,
}

impl Fixture {
    async fn of(scope: &Scope) -> Result<Self> {
        Ok(Self {
            secrets: objects(scope, "v1", "Secret").await?,
            pods: objects(scope, "v1", "Pod").await?,
            configurations: [
                (MUTATING, configurations(scope, MUTATING).await?),
                (VALIDATING, configurations(scope, VALIDATING).await?),
            ],
            webhooks: addresses(scope).await?,
            review: load::review("default"),
        })
    }

    async fn put(&self, whole: &Whole) -> Result<()> {
        let data: serde_json::Map<String, Value> =
            whole.to_data().iter().map(|(key, value)| (key.clone(), json!(STANDARD.encode(&**value)))).collect();
        self.secrets.merge(SECRET, &json!({"data": data})).await.map(drop)?;
        Ok(())
    }

    /// Waits until the Secret is without fault, every entry trusts exactly its one authority, and every replica serves a
    /// leaf of that.
    async fn whole(&self, when: &str) -> Result<Whole> {
        self.whole_for(&[MUTATING, VALIDATING], when).await
    }

    /// Likewise, but for these kinds of configurations alone.
    async fn whole_for(&self, kinds: &[&str], when: &str) -> Result<Whole> {
        let names = Names::of_service(WEBHOOK, NAMESPACE)?;
        until(&format!("all is whole {when}"), async || {
            let secret = self.secrets.get(SECRET).await?;
            let mut data = Data::new();
            for (key, value) in secret["data"].as_object().into_iter().flatten() {
                let value = STANDARD.decode(value.as_str().context("data")?)?;
                data.insert(key.clone(), Zeroizing::new(value));
            }
            let State { authority, bundle, leaf } = State::parse(Some(&data), &names, now());
            let whole = Whole { authority: authority?, bundle, leaf: leaf? };
            ensure!(!whole.bundle.has_retired(), "{:?}", whole.bundle);
            for (_, configurations) in self.configurations.iter().filter(|(kind, _)| kinds.contains(kind)) {
                let configuration = configurations.get(WEBHOOK).await?;
                for entry in configuration["webhooks"].as_array().into_iter().flatten() {
                    let trusted = STANDARD.encode(whole.bundle.to_pem());
                    ensure!(entry["clientConfig"]["caBundle"] == trusted, "{}", entry["name"]);
                }
                ensure!(ca_bundle(&configuration)? == whole.bundle.to_pem(), "no entry");
            }
            for replica in &self.webhooks {
                let client = load::client(*replica, &whole.authority.certificate().to_pem())?;
                let url = format!("https://{WEBHOOK}.{NAMESPACE}.svc:9443/mutate-v1-pod?timeout=5s");
                client.post(url).body(self.review.to_string()).send().await?;
            }
            Ok(whole)
        })
        .await
    }
}

async fn objects(scope: &Scope, version: &str, kind: &str) -> Result<Objects> {
    Objects::of(&scope.cluster.client, version, kind, NAMESPACE).await
}

/// A sample, summed over the replicas.
async fn sum(webhooks: &[Ipv4Addr], sample: &str) -> Result<u64> {
    let mut sum = 0;
    for metrics in metrics(webhooks).await? {
        let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let Some(value) = value else { bail!("no {sample}") };
        sum += value.parse::<u64>()?;
    }
    Ok(sum)
}
