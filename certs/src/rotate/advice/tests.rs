use tokio::time::Instant;

use super::*;
use crate::{
    fake::{Cluster, VALIDATING},
    log::Lines,
    rotate::tests::{Replica, SECOND, SHORT, accepted, clock, start, until},
};

/// What can be amiss with it.
struct Fault {
    call: &'static str,
    /// With a refusal, or not at all.
    is_answered: bool,
    /// Told to fail.
    step: Step,
}

const FAULTS: [Fault; 4] = [
    Fault { call: "GET advice", is_answered: true, step: Step::ReadAdvice },
    Fault { call: "PATCH advice", is_answered: true, step: Step::WriteAdvice },
    Fault { call: "GET advice", is_answered: false, step: Step::ReadAdvice },
    Fault { call: "PATCH advice", is_answered: false, step: Step::WriteAdvice },
];

impl Fault {
    fn befall(&self, cluster: &Cluster) {
        if self.is_answered {
            cluster.objects().forbidden = [self.call].into();
        } else {
            cluster.objects().hangs = Some(self.call);
        }
    }
}

fn cluster() -> Cluster {
    let cluster = Cluster::new();
    cluster.add_validating();
    cluster
}

fn repair(cluster: &Cluster) {
    let mut objects = cluster.objects();
    objects.forbidden.clear();
    objects.hangs = None;
}

/// No step of what admission depends on was told to fail.
fn assert_only_advice_fails(replica: &Replica, call: &str) {
    for step in [Step::ReadConfiguration, Step::WriteConfiguration, Step::WriteSecret, Step::Wait] {
        assert!(!replica.saw(Event::Failed(step)), "{call}: {step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_gets_the_bundle_and_has_it_put_back() {
    let cluster = cluster();
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    until("advised", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
    assert_eq!(cluster.objects().writes, ["POST secrets", "PATCH configurations", "PATCH advice"]);
    cluster.objects().configurations.get_mut(VALIDATING).unwrap()["webhooks"][0]["clientConfig"]["caBundle"] =
        serde_json::Value::Null;
    until("put back", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_depend_on_it() {
    for fault @ Fault { call, step, .. } in &FAULTS {
        let (cluster, begin) = (cluster(), Instant::now());
        fault.befall(&cluster);
        let replica = start(&cluster, SHORT, begin);
        until(call, || replica.saw(Event::Failed(*step))).await;
        assert!(replica.saw(Event::Ready) && accepted(&cluster, &replica, clock(begin)()), "{call}");
        assert!(begin.elapsed() < SHORT.patience, "{call}");
        assert_only_advice_fails(&replica, call);
        repair(&cluster);
        until("recovered", || replica.saw(Event::Recovered)).await;
        assert_eq!(cluster.bundle_of(VALIDATING), cluster.ca_bundle(), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_secret_is_made_anew_without_it_and_it_gets_the_joined_bundle_when_it_can() {
    for fault @ Fault { call, step, .. } in &FAULTS {
        let (cluster, begin) = (cluster(), Instant::now());
        let replicas = [start(&cluster, SHORT, begin), start(&cluster, SHORT, begin)];
        until("ready", || replicas.iter().all(|replica| replica.saw(Event::Ready))).await;
        until("advised", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
        replicas.iter().for_each(Replica::forget);
        let (leaf, old) = (replicas[0].leaf(), cluster.ca_bundle());
        fault.befall(&cluster);
        cluster.objects().secret = None;
        until("the new leaf is served", || replicas.iter().all(|replica| replica.leaf() != leaf)).await;
        for replica in &replicas {
            assert!(accepted(&cluster, replica, clock(begin)()), "{call}");
            assert_only_advice_fails(replica, call);
        }
        assert!(replicas.iter().any(|replica| replica.saw(Event::Failed(*step))), "{call}");
        assert_eq!(cluster.bundle_of(VALIDATING), old, "{call}");

        repair(&cluster);
        until("repaired", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
        assert!(cluster.ca_bundle().has_retired(), "{call}: the old one is trusted beside the new one");
        until("retired", || !cluster.ca_bundle().has_retired()).await;
        until("retired here, too", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_authority_is_retired_without_it_and_none_is_adopted_from_it() {
    let (cluster, begin) = (cluster(), Instant::now());
    let replica = start(&cluster, SHORT, begin);
    until("ready", || replica.saw(Event::Ready)).await;
    until("advised", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
    let old = cluster.ca_bundle();
    cluster.objects().forbidden = ["PATCH advice"].into();
    cluster.objects().secret = None;
    until("replaced", || cluster.ca_bundle() != old).await;
    until("retired", || !cluster.ca_bundle().has_retired()).await;
    assert_eq!(cluster.bundle_of(VALIDATING), old);
    // The right comes back: what it still trusts is replaced, not taken in.
    let new = cluster.ca_bundle();
    repair(&cluster);
    until("repaired", || cluster.bundle_of(VALIDATING) == new).await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(cluster.ca_bundle(), new);
}

#[tokio::test(start_paused = true)]
async fn while_what_admission_trusts_is_unknown_it_keeps_what_it_has() {
    let cluster = cluster();
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    until("advised", || cluster.bundle_of(VALIDATING) == cluster.ca_bundle()).await;
    let old = cluster.bundle_of(VALIDATING);
    cluster.objects().forbidden = ["GET configurations"].into();
    cluster.objects().secret = None;
    until("a Secret is made", || cluster.objects().secret.is_some()).await;
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(cluster.bundle_of(VALIDATING), old, "the old leaf is served");
    repair(&cluster);
    until("joined", || cluster.bundle_of(VALIDATING).has_retired()).await;
    assert!(cluster.bundle_of(VALIDATING).contains(old.signing().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn its_trouble_is_logged_once_and_as_its_own() {
    let (lines, cluster) = (Lines::kept(), cluster());
    cluster.objects().forbidden = ["GET advice"].into();
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    tokio::time::sleep(100 * SECOND).await;
    let warnings = lines.with(r#""level":"WARN","fields":{"message":"The caBundle for advice"#);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains(r#""step":"read_advice_configuration""#), "{warnings:?}");
    assert_eq!(lines.with("Certificates cannot be kept up to date"), [""; 0]);
}
