#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod budget;
mod fake;
mod foreign;

use super::*;
use crate::args::Args;
use clap::Parser as _;
use fake::{Fake, Injected, pod};
use podbadge_runtime::{drain, metrics::Metrics};
use podbadge_webhook_core::{contract, identity::ServiceAccount};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A replica that runs.
struct Replica {
    task: JoinHandle<()>,
    trigger: Option<drain::Trigger>,
    metrics: Metrics,
}

impl Replica {
    fn start(fake: &Fake, who: &'static str, flags: &[&str]) -> Self {
        let index = Index::default();
        let identity = [
            (contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555"),
            (contract::TENANT_ID, "66666666-7777-8888-9999-000000000000"),
        ];
        for namespace in ["shop", "many", "kube-system", fake::NAMESPACE] {
            index.insert_account(namespace, "till", ServiceAccount::from_annotations(identity));
        }
        // More than is kept of a namespace.
        let map = " ".repeat(contract::longest(contract::IDENTITY_MAP));
        let mapped = || ServiceAccount::from_annotations(identity.into_iter().chain([(contract::IDENTITY_MAP, &*map)]));
        for account in ["a", "b", "c", "d", "till"] {
            index.insert_account("full", account, mapped());
        }
        index.insert_account("plain", "till", ServiceAccount::default());
        let name = format!("--pod-name={who}");
        let args = Args::try_parse_from(["podbadge-webhook", name.as_str()].iter().chain(flags)).unwrap();
        let config = config::Config::try_from(args).unwrap();
        let mut registry = Registry::default();
        let readiness = Readiness::default();
        let healer = Healer::new(&config, fake.client(who), Arc::new(index), &readiness, &mut registry).unwrap();
        let (trigger, draining) = drain::drain();
        let (known, asked) = oneshot::channel();
        known.send(Arc::new(config.settings)).unwrap();
        let task = tokio::spawn(healer.run(asked, draining));
        Self { task, trigger: Some(trigger), metrics: Metrics::from(registry) }
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        sample.map_or(0, |value| value.parse().unwrap())
    }

    async fn stop(&mut self) {
        drop(self.trigger.take());
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn notes(fake: &Fake) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let state = fake.state();
    let events = state
        .events
        .iter()
        .map(|event| (text(&event["regarding"]["name"]), text(&event["reason"]), text(&event["note"])));
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_left_behind_is_told_once() {
    let fake = Fake::new();
    fake.add(&pod("shop", "missed", "1", "set"));
    fake.add(&pod("kube-system", "excluded", "2", "set"));
    fake.add(&pod(fake::NAMESPACE, "ours", "3", "set"));
    fake.add(&pod("plain", "plain", "4", "set"));
    let mut labelled = pod("plain", "labelled", "5", "set");
    labelled["metadata"]["labels"] = json!({ contract::USE: "true" });
    fake.add(&labelled);
    let mut stale = pod("shop", "stale", "6", "set");
    stale["spec"]["containers"][0]["env"] = json!([
        { "name": "AZURE_CLIENT_ID", "value": "99999999-2222-3333-4444-555555555555" },
        { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/token" },
    ]);
    fake.add(&stale);

    let replica = Replica::start(&fake, "a", &["--heal-interval=300"]);
    sleep(16 * MINUTE).await;
    assert_eq!((replica.metric("missed_pods"), replica.metric("stale_pods")), (2, 1));
    assert_eq!((replica.metric("heal_leader"), replica.metric("heal_rounds_total")), (1, 4));
    let told = notes(&fake);
    let [labelled, missed, stale] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((labelled.0.as_str(), labelled.1.as_str()), ("labelled", "IdentityMissing"));
    assert!(labelled.2.contains("would be refused") && labelled.2.contains("no tenant id"), "{}", labelled.2);
    assert_eq!((missed.0.as_str(), missed.1.as_str()), ("missed", "IdentityMissing"));
    assert!(missed.2.contains("restart what owns it"), "{}", missed.2);
    assert_eq!((stale.0.as_str(), stale.1.as_str()), ("stale", "IdentityOutdated"));
    assert!(stale.2.contains("is 99999999-2222-3333-4444-555555555555, and would be 11111111-"), "{}", stale.2);
    assert!(fake.state().evictions.is_empty(), "it only reports");

    // Once it is over it is told no more, and nothing is counted.
    fake.state().pods.clear();
    sleep(5 * MINUTE).await;
    assert_eq!((replica.metric("missed_pods"), replica.metric("stale_pods")), (0, 0));
    // Should it come back, it is news.
    fake.add(&pod("shop", "missed", "1", "set"));
    sleep(5 * MINUTE).await;
    assert_eq!(notes(&fake).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn pods_are_read_page_by_page() {
    let fake = Fake::new();
    for number in 0..250 {
        fake.add(&pod("shop", &format!("pod-{number:03}"), &number.to_string(), "set"));
    }
    let replica = Replica::start(&fake, "a", &[]);
    sleep(MINUTE).await;
    assert_eq!(replica.metric("missed_pods"), 250);
    let state = fake.state();
    let pages = state.log.iter().filter(|(_, _, what)| what.contains("/namespaces/shop/pods?"));
    assert_eq!(pages.clone().count(), 3);
    assert!(pages.clone().all(|(_, _, what)| what.contains("limit=100")));
}

#[tokio::test(start_paused = true)]
async fn pods_are_replaced_one_by_one() {
    let fake = Fake::new();
    for number in 0..3 {
        fake.add(&pod("shop", &format!("pod-{number}"), &number.to_string(), "set"));
    }
    fake.state().recreates = Some(Injected::Yes);
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(MINUTE / 4).await;
    assert_eq!((replica.metric("missed_pods"), fake.state().evictions.len()), (3, 1));
    assert_eq!(replica.metric("heal_waiting_pods{reason=\"turn\"}"), 2);
    sleep(5 * MINUTE).await;
    let mut evicted: Vec<_> = fake.state().evictions.iter().map(|(_, name, _)| name.clone()).collect();
    evicted.sort_unstable();
    assert_eq!(evicted, ["pod-0", "pod-1", "pod-2"]);
    assert_eq!((replica.metric("missed_pods"), replica.metric("heal_evictions_total{outcome=\"evicted\"}")), (0, 3));
    let told = notes(&fake).into_iter().filter(|(_, reason, _)| reason == "EvictedForIdentity").count();
    assert_eq!(told, 3);
    sleep(60 * MINUTE).await;
    assert_eq!(fake.state().evictions.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_kept_is_read_once_a_round() {
    let fake = Fake::new();
    for number in 0..3 {
        fake.add(&pod("full", &format!("pod-{number}"), &number.to_string(), "set"));
    }
    let replica = Replica::start(&fake, "a", &["--heal-interval=300"]);
    sleep(MINUTE).await;
    assert_eq!(replica.metric("missed_pods"), 3);
    let reads = fake.state().log.iter().filter(|(_, _, what)| what.ends_with("/serviceaccounts/till")).count();
    assert_eq!(reads, 1);
}

/// A namespace that comes first, in the list and by its name, with more than is remembered of a round, and evicts nothing.
#[tokio::test(start_paused = true)]
async fn a_namespace_with_many_pods_silences_no_other() {
    let fake = Fake::new();
    for number in 0..2_100 {
        fake.add(&pod("many", &format!("pod-{number}"), &format!("many-{number}"), &format!("set-{number}")));
    }
    fake.add(&pod("shop", "pod", "1", "set"));
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(MINUTE / 4).await;
    assert_eq!(replica.metric("missed_pods"), 2_101);
    assert!(notes(&fake).iter().any(|(name, ..)| name == "pod"), "the other namespace's pod has its event");
    assert!(fake.state().evictions.iter().any(|(_, name, _)| name == "pod"), "{:?}", fake.state().evictions);
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_is_missed_too_is_left_in_peace() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    fake.state().recreates = Some(Injected::No);
    let _replica = Replica::start(&fake, "a", &["--heal=evict", "--heal-interval=10"]);
    let start = Instant::now();
    sleep(32 * MINUTE).await;
    let evicted: Vec<_> = fake.state().evictions.iter().map(|(then, _, _)| (*then - start).as_secs() / 60).collect();
    // At once, after 10 minutes, after 20 more.
    assert_eq!(evicted, [0, 10, 30]);
    assert_eq!(
        notes(&fake).iter().filter(|(_, reason, _)| reason == "IdentityMissing").count(),
        4,
        "each is another pod"
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_waited_for() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    (fake.state().budget, fake.state().recreates) = (true, Some(Injected::Yes));
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(3 * MINUTE).await;
    let refused = replica.metric("heal_evictions_total{outcome=\"budget\"}");
    assert!((3..=7).contains(&refused), "{refused}");
    assert_eq!(replica.metric("heal_evictions_total{outcome=\"evicted\"}"), 0);
    fake.state().budget = false;
    sleep(MINUTE).await;
    assert_eq!(replica.metric("heal_evictions_total{outcome=\"evicted\"}"), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_evicted_without_two_replicas_or_with_a_sibling_that_is_not_ready() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    fake.state().ready_replicas = 1;
    fake.state().health.insert("set".to_owned(), json!({ "readyReplicas": 0 }));
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(5 * MINUTE).await;
    assert_eq!(replica.metric("heal_waiting_pods{reason=\"replicas\"}"), 1);
    fake.state().ready_replicas = 2;
    sleep(5 * MINUTE).await;
    assert_eq!(replica.metric("heal_waiting_pods{reason=\"siblings\"}"), 1);
    assert!(fake.state().evictions.is_empty());
    fake.state().health.clear();
    sleep(MINUTE).await;
    assert_eq!(fake.state().evictions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_makes_again_stays() {
    let fake = Fake::new();
    let mut job = pod("shop", "job", "1", "work");
    job["metadata"]["ownerReferences"][0] =
        json!({ "apiVersion": "batch/v1", "kind": "Job", "name": "work", "uid": "work", "controller": true });
    let mut bare = pod("shop", "bare", "2", "");
    bare["metadata"]["ownerReferences"] = json!([]);
    [&job, &bare].into_iter().for_each(|pod| fake.add(pod));
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(MINUTE).await;
    assert_eq!(replica.metric("heal_waiting_pods{reason=\"no_controller\"}"), 2);
    assert!(fake.state().evictions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_condition_may_exclude_is_only_counted() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    let conditions = json!([{ "name": "team", "expression": "object.metadata.labels.team != 'batch'" }]);
    fake.state().configuration["webhooks"][0]["matchConditions"] = conditions;
    let counted = |replica: &Replica| ["missed_pods", "stale_pods", "uncertain_pods"].map(|name| replica.metric(name));
    let replica = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(10 * MINUTE).await;
    assert_eq!(counted(&replica), [0, 0, 1]);
    assert!(fake.state().evictions.is_empty() && notes(&fake).is_empty(), "{:?}", notes(&fake));

    // Without conditions it is known to have been missed.
    fake.state().configuration["webhooks"][0]["matchConditions"].take();
    sleep(10 * MINUTE).await;
    assert_eq!((counted(&replica)[2], notes(&fake)[0].1.as_str()), (0, "IdentityMissing"));
    assert_eq!(fake.state().evictions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_in_trouble_is_waited_for() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    fake.state().broken = true;
    let replica = Replica::start(&fake, "a", &[]);
    sleep(5 * MINUTE).await;
    assert_eq!(replica.metric("heal_leader"), 0);
    fake.state().broken = false;
    sleep(MINUTE).await;
    assert_eq!((replica.metric("heal_leader"), replica.metric("missed_pods")), (1, 1));
    // Without the API server nobody leads: the lease runs out.
    fake.state().broken = true;
    sleep(MINUTE).await;
    assert_eq!((replica.metric("heal_leader"), replica.metric("missed_pods")), (0, 0));
}

/// When each replica looked at pods, in turns: who, from, to.
fn reigns(fake: &Fake) -> Vec<(&'static str, Instant, Instant)> {
    let mut reigns: Vec<(&'static str, Instant, Instant)> = Vec::new();
    for (then, who, what) in &fake.state().log {
        if !what.contains("/pods?") {
            continue;
        }
        match reigns.last_mut() {
            Some((last, _, to)) if last == who => *to = *then,
            _ => reigns.push((who, *then, *then)),
        }
    }
    reigns
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads() {
    let fake = Fake::new();
    let mut first = Replica::start(&fake, "a", &["--heal-interval=5"]);
    sleep(SECOND).await;
    let second = Replica::start(&fake, "b", &["--heal-interval=5"]);
    sleep(10 * MINUTE).await;
    assert_eq!((first.metric("heal_leader"), second.metric("heal_leader")), (1, 0));

    // One that stops in order gives the lease back.
    let stopped = Instant::now();
    first.stop().await;
    sleep(5 * SECOND).await;
    assert_eq!(second.metric("heal_leader"), 1);
    let [("a", _, to), ("b", from, _)] = reigns(&fake)[..] else { panic!("{:?}", reigns(&fake)) };
    assert!(to <= stopped && from - stopped <= 3 * SECOND, "{:?}", from - stopped);

    // One that dies leaves it to run out.
    let mut third = Replica::start(&fake, "c", &["--heal-interval=5"]);
    sleep(MINUTE).await;
    second.task.abort();
    let died = Instant::now();
    sleep(MINUTE).await;
    assert_eq!(third.metric("heal_leader"), 1);
    let [.., ("b", _, to), ("c", from, _)] = reigns(&fake)[..] else { panic!("{:?}", reigns(&fake)) };
    assert!(to <= died && (12 * SECOND..=18 * SECOND).contains(&(from - died)), "{:?}", from - died);
    let lease = fake.state().lease.clone().unwrap();
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&json!("c"), &json!(2)));
    third.stop().await;
    assert!(fake.state().lease.as_ref().unwrap()["spec"]["holderIdentity"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_tells_again_and_evicts_again() {
    let fake = Fake::new();
    fake.add(&pod("shop", "pod", "1", "set"));
    fake.state().budget = true;
    let mut first = Replica::start(&fake, "a", &["--heal=evict"]);
    sleep(SECOND).await;
    first.stop().await;
    let _second = Replica::start(&fake, "b", &["--heal=evict"]);
    sleep(SECOND).await;
    let tellers: Vec<_> = fake.state().events.iter().map(|event| event["reportingInstance"].clone()).collect();
    assert_eq!((tellers, fake.state().evictions.len()), (vec![json!("a"), json!("b")], 2));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_believed_to_be_good_for_ever() {
    let fake = Fake::new();
    fake.state().lease = Some(json!({
        "metadata": { "name": "podbadge-webhook-heal", "resourceVersion": "1" },
        "spec": { "holderIdentity": "gone", "leaseDurationSeconds": i32::MAX, "leaseTransitions": 7 },
    }));
    let replica = Replica::start(&fake, "a", &[]);
    sleep(55 * SECOND).await;
    assert_eq!(replica.metric("heal_leader"), 0);
    sleep(15 * SECOND).await;
    assert_eq!(replica.metric("heal_leader"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_own_configuration_that_asks_about_no_pods_is_a_failure() {
    let fake = Fake::new();
    let replica = Replica::start(&fake, "a", &["--heal-interval=300"]);
    sleep(MINUTE).await;
    assert_eq!((replica.metric("heal_rounds_total"), replica.metric("heal_failures_total")), (1, 0));
    let webhooks = fake.state().configuration["webhooks"].take();
    sleep(5 * MINUTE).await;
    let failures = replica.metric("heal_failures_total");
    assert!(failures > 0 && replica.metric("heal_rounds_total") == 1, "{failures} failures");
    fake.state().configuration["webhooks"] = webhooks;
    sleep(MINUTE).await;
    assert_eq!((replica.metric("heal_rounds_total"), replica.metric("heal_failures_total")), (2, failures));
}
