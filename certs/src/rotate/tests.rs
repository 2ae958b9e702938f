use std::sync::{Arc, Mutex};

use tokio::{sync::Barrier, task::JoinHandle};

use super::*;
use crate::{
    fake::{BASE, CONFIGURATION, Cluster, NAMESPACE, SECRET, names},
    log::Lines,
    policy::Lifetime,
    state::{CA_CERT, TLS_CERT, TLS_KEY},
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A life of an hour and a half, so that a test sees whole rotations.
pub(super) const SHORT: Policy = Policy {
    authority: Lifetime { valid: Duration::from_secs(5400), renewed_after: Duration::from_secs(3600) },
    leaf: Lifetime { valid: Duration::from_secs(1200), renewed_after: Duration::from_secs(800) },
    backdate: Duration::from_secs(30),
    overlap: Duration::from_secs(300),
    settle: Duration::from_secs(15),
    poll: Duration::from_secs(30),
    retry: Duration::from_secs(2),
    patience: Duration::from_secs(15),
};

pub(super) struct Replica {
    pub(super) serving: Serving,
    events: Arc<Mutex<Vec<Event>>>,
    pub(super) part: watch::Sender<Part>,
    pub(super) task: JoinHandle<Infallible>,
}

/// The tests' wall clock: paused, and moved with tokio's.
pub(super) fn clock(begin: Instant) -> impl Fn() -> OffsetDateTime {
    move || BASE + begin.elapsed()
}

/// One that writes without an election.
pub(super) fn start(cluster: &Cluster, policy: Policy, begin: Instant) -> Replica {
    start_as(Part::Unled, cluster, policy, clock(begin))
}

pub(super) fn start_as(
    part: Part,
    cluster: &Cluster,
    policy: Policy,
    clock: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
) -> Replica {
    let (part, parts) = watch::channel(part);
    let (serving, events) = (Serving::default(), Arc::new(Mutex::new(Vec::new())));
    let on = {
        let events = Arc::clone(&events);
        move |event| events.lock().unwrap().push(event)
    };
    let managed = SelfManaged {
        client: cluster.client(),
        namespace: NAMESPACE.to_owned(),
        secret: SECRET.to_owned(),
        configuration: CONFIGURATION.to_owned(),
        advice: Some(CONFIGURATION.to_owned()),
        names: names(),
        policy,
    };
    let task = tokio::spawn(managed.run(serving.clone(), clock, parts, on));
    Replica { serving, events, part, task }
}

impl Replica {
    pub(super) fn saw(&self, event: Event) -> bool {
        assert!(!self.task.is_finished(), "the loop never ends");
        self.events.lock().unwrap().contains(&event)
    }

    pub(super) fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    pub(super) fn leaf(&self) -> Option<Certificate> {
        self.serving.current().map(|current| current.material.chain()[0].clone())
    }
}

/// Waits until `condition` holds, an hour at most.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < HOUR, "never: {what}");
        tokio::time::sleep(SECOND).await;
    }
}

/// Whether an API server that reads `caBundle` now accepts what the replica serves now.
pub(super) fn accepted(cluster: &Cluster, replica: &Replica, now: OffsetDateTime) -> bool {
    let Some(current) = replica.serving.current() else { return false };
    cluster.ca_bundle().signer_of(&current.material, &names(), now).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_first_start_makes_stores_injects_and_serves() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replica = start(&cluster, Policy::default(), begin);
    until("ready", || replica.saw(Event::Ready)).await;
    assert!(begin.elapsed() <= SECOND, "a start waits for nothing");
    assert_eq!(cluster.ca_bundle(), Bundle::from_pem(&cluster.secret_field(CA_CERT)).unwrap());
    assert!(accepted(&cluster, &replica, BASE));
    assert_eq!(cluster.objects().writes, ["POST secrets", "PATCH configurations"]);
    let not_after = BASE + Policy::default().leaf.valid;
    let mut events = replica.events.lock().unwrap().clone();
    events.retain(|event| *event != Event::Failed(Step::Lease));
    let published = Event::Published { generation: 1, not_after };
    assert_eq!(events, [Event::Issued, Event::Injected, published, Event::Ready]);
}

#[tokio::test(start_paused = true)]
async fn log_lines_tell_times_by_rfc_3339() {
    let (lines, cluster) = (Lines::kept(), Cluster::new());
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    for (message, field) in [("Stored certificates", "until"), ("Serving a self-managed certificate", "not_after")] {
        let lines = lines.with(message);
        assert!(lines[0].contains(&format!(r#""{field}":"2030-01-01T00:20:00Z""#)), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_is_well_nothing_is_written() {
    let cluster = Cluster::new();
    let replica = start(&cluster, Policy::default(), Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    replica.forget();
    tokio::time::sleep(HOUR).await;
    assert_eq!(cluster.objects().writes.len(), 2);
    assert!(replica.events.lock().unwrap().iter().all(|event| *event == Event::Failed(Step::Lease)));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_agree() {
    let cluster = Cluster::new();
    // All three see that there is no Secret before any of them makes it.
    cluster.objects().meet = Some(Arc::new(Barrier::new(3)));
    let begin = Instant::now();
    let replicas = [(); 3].map(|()| start(&cluster, Policy::default(), begin));
    for replica in &replicas {
        until("ready", || replica.saw(Event::Ready)).await;
        assert_eq!(replica.leaf(), replicas[0].leaf());
        assert!(accepted(&cluster, replica, BASE));
    }
    let issued = replicas.iter().filter(|replica| replica.saw(Event::Issued)).count();
    assert_eq!(issued, 1, "one made it, the others followed");
    assert!(!cluster.ca_bundle().has_retired());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_made_anew_and_trust_overlaps() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let (one, two) = (start(&cluster, SHORT, begin), start(&cluster, SHORT, begin));
    until("ready", || one.saw(Event::Ready) && two.saw(Event::Ready)).await;
    let (before, old) = (one.leaf(), cluster.ca_bundle());
    cluster.objects().secret = None;
    until("repaired", || one.leaf() != before && two.leaf() == one.leaf()).await;
    let bundle = cluster.ca_bundle();
    assert!(bundle.has_retired() && bundle.contains(old.signing().unwrap()));
    assert!(accepted(&cluster, &one, clock(begin)()));
}

#[tokio::test(start_paused = true)]
async fn a_corrupted_leaf_is_made_anew_by_the_same_authority() {
    let cluster = Cluster::new();
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    let (before, bundle) = (replica.leaf(), cluster.ca_bundle());
    for field in [TLS_KEY, TLS_CERT] {
        cluster.objects().secret.as_mut().unwrap()["data"][field] = "AAAA".into();
        let before = replica.leaf();
        until("repaired", || replica.leaf() != before).await;
    }
    assert_ne!(replica.leaf(), before);
    assert_eq!(cluster.ca_bundle(), bundle);
}

#[tokio::test(start_paused = true)]
async fn a_lost_ca_bundle_is_written_again() {
    let cluster = Cluster::new();
    let replica = start(&cluster, SHORT, Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    let bundle = cluster.ca_bundle();
    // As `helm upgrade --force` leaves it.
    for entry in 0..2 {
        cluster.objects().configurations.get_mut(CONFIGURATION).unwrap()["webhooks"][entry]["clientConfig"]["caBundle"] =
            serde_json::Value::Null;
    }
    until("written", || cluster.ca_bundle() == bundle).await;
}

#[tokio::test(start_paused = true)]
async fn without_permission_the_last_good_certificate_stays() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replica = start(&cluster, SHORT, begin);
    until("ready", || replica.saw(Event::Ready)).await;
    let before = replica.leaf();
    cluster.objects().forbidden = ["PUT secrets"].into();
    until("a renewal is due and refused", || replica.saw(Event::Failed(Step::WriteSecret))).await;
    assert_eq!(replica.leaf(), before);
    assert!(!replica.saw(Event::Recovered));
    cluster.objects().forbidden = ["GET secrets"].into();
    until("nothing can be read", || replica.saw(Event::Failed(Step::ReadSecret))).await;
    assert_eq!(replica.leaf(), before);
    cluster.objects().forbidden.clear();
    until("recovered", || replica.saw(Event::Recovered)).await;
    assert_ne!(replica.leaf(), before);
    assert!(accepted(&cluster, &replica, clock(begin)()));
}

#[tokio::test(start_paused = true)]
async fn without_trust_a_certificate_is_served_but_the_replica_is_not_ready() {
    let cluster = Cluster::new();
    cluster.objects().forbidden = ["PATCH configurations"].into();
    let replica = start(&cluster, SHORT, Instant::now());
    until("refused", || replica.saw(Event::Failed(Step::WriteConfiguration))).await;
    assert!(replica.leaf().is_some() && !replica.saw(Event::Ready));
    cluster.objects().forbidden = ["GET configurations"].into();
    until("unreadable", || replica.saw(Event::Failed(Step::ReadConfiguration))).await;
    assert!(!replica.saw(Event::Ready));
    cluster.objects().forbidden.clear();
    until("ready", || replica.saw(Event::Ready)).await;
    assert!(replica.saw(Event::Recovered));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_given_up_and_asked_again() {
    let cluster = Cluster::new();
    cluster.objects().hangs = Some("");
    let replica = start(&cluster, SHORT, Instant::now());
    until("given up", || replica.saw(Event::Failed(Step::Wait))).await;
    cluster.objects().hangs = None;
    until("ready", || replica.saw(Event::Ready)).await;
}

#[tokio::test(start_paused = true)]
async fn through_whole_rotations_every_replica_is_trusted_at_every_moment() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replicas = [start(&cluster, SHORT, begin), start(&cluster, SHORT, begin)];
    until("ready", || replicas.iter().all(|replica| replica.saw(Event::Ready))).await;
    let (mut leaves, mut authorities) = (Vec::new(), Vec::new());
    // An authority is replaced after 3,600 seconds, a leaf after 800.
    let mut seen = None;
    while begin.elapsed() < 2 * HOUR + HOUR / 2 {
        let now = clock(begin)();
        let current = (replicas.each_ref().map(Replica::leaf), cluster.ca_bundle());
        // Checking signatures is dear; dates are looked at every time.
        for (replica, leaf) in replicas.iter().zip(&current.0) {
            assert!(leaf.as_ref().unwrap().validity().contains(now), "expired after {:?}", begin.elapsed());
            let checked = seen.as_ref() == Some(&current);
            assert!(checked || accepted(&cluster, replica, now), "after {:?}", begin.elapsed());
        }
        seen = Some(current);
        leaves.push(replicas[0].leaf());
        authorities.push(cluster.ca_bundle());
        tokio::time::sleep(SECOND).await;
    }
    leaves.dedup();
    authorities.dedup();
    assert!(leaves.len() > 9, "{} leaves", leaves.len());
    // One; one and its successor; the successor alone; and once more.
    let retired: Vec<bool> = authorities.iter().map(Bundle::has_retired).collect();
    assert_eq!(retired, [false, true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn one_writes_and_the_others_follow() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let [one, two] = [Part::Follows, Part::Unknown].map(|part| start_as(part, &cluster, SHORT, clock(begin)));
    tokio::time::sleep(60 * SECOND).await;
    assert!(cluster.objects().writes.is_empty() && one.leaf().is_none(), "nobody leads");
    two.part.send_replace(Part::Leads);
    until("ready", || one.saw(Event::Ready) && two.saw(Event::Ready)).await;
    assert!(two.saw(Event::Leads(true)) && two.saw(Event::Issued) && !one.saw(Event::Issued));

    // The next one to lead repairs at once, and what follows has nothing to do.
    let (before, writes) = (two.leaf(), cluster.objects().writes.len());
    two.part.send_replace(Part::Follows);
    cluster.objects().secret = None;
    tokio::time::sleep(60 * SECOND).await;
    assert!(two.saw(Event::Leads(false)) && cluster.objects().writes.len() == writes && two.leaf() == before);
    one.part.send_replace(Part::Leads);
    until("written", || cluster.objects().secret.is_some()).await;
    until("followed", || two.leaf() != before && one.leaf() == two.leaf()).await;
    assert!(one.saw(Event::Issued) && accepted(&cluster, &two, clock(begin)()));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_late_is_not_asked_before_api_servers_trust_what_it_serves() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let one = start(&cluster, SHORT, begin);
    until("ready", || one.saw(Event::Ready)).await;
    let before = cluster.ca_bundle();
    until("the authority is replaced", || cluster.ca_bundle() != before).await;
    let (started, two) = (Instant::now(), start(&cluster, SHORT, begin));
    until("ready", || two.saw(Event::Ready)).await;
    assert!(started.elapsed() >= SHORT.settle, "{:?}", started.elapsed());
    until("followed", || one.leaf() == two.leaf()).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_backup_is_taken_over_while_what_is_served_stays_trusted() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replicas = [start(&cluster, SHORT, begin), start(&cluster, SHORT, begin)];
    until("ready", || replicas.iter().all(|replica| replica.saw(Event::Ready))).await;
    let backup = cluster.objects().secret.clone();
    let old = cluster.ca_bundle();
    cluster.objects().secret = None;
    until("retired", || cluster.ca_bundle() != old && !cluster.ca_bundle().has_retired()).await;
    cluster.objects().put_secret(backup);
    let restored = Instant::now();
    while restored.elapsed() < 20 * SHORT.settle {
        assert!(replicas.iter().all(|replica| accepted(&cluster, replica, clock(begin)())), "{:?}", restored.elapsed());
        tokio::time::sleep(SECOND / 4).await;
    }
    assert!(replicas.iter().all(|replica| {
        old.signer_of(&replica.serving.current().unwrap().material, &names(), clock(begin)()).is_some()
    }));
    until("retired", || cluster.ca_bundle() == old).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_deleted_over_and_over_has_no_authority_more_than_replicas_serve() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replicas = [start(&cluster, SHORT, begin), start(&cluster, SHORT, begin)];
    until("ready", || replicas.iter().all(|replica| replica.saw(Event::Ready))).await;
    while begin.elapsed() < HOUR / 6 {
        cluster.objects().secret = None;
        for _ in 0..12 {
            tokio::time::sleep(SECOND / 4).await;
            assert!(replicas.iter().all(|replica| accepted(&cluster, replica, clock(begin)())));
        }
    }
    until("at rest", || !cluster.ca_bundle().has_retired()).await;
    assert_eq!(replicas[0].leaf(), replicas[1].leaf());
}

#[tokio::test(start_paused = true)]
async fn the_api_servers_time_counts() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    cluster.objects().time = Some(Box::new(clock(begin)));
    let wrong = Arc::new(Mutex::new(time::Duration::days(-20_000)));
    let replica = {
        let (wrong, right) = (Arc::clone(&wrong), clock(begin));
        start_as(Part::Leads, &cluster, SHORT, move || right() + *wrong.lock().unwrap())
    };
    until("ready", || replica.saw(Event::Ready)).await;
    assert!(replica.saw(Event::Skewed(20_000 * 24 * 60 * 60)));
    let (leaf, writes) = (replica.leaf(), cluster.objects().writes.len());
    for days in [20_000, -3, 400, 0] {
        *wrong.lock().unwrap() = time::Duration::days(days);
        tokio::time::sleep(100 * SECOND).await;
        assert!(accepted(&cluster, &replica, clock(begin)()));
    }
    assert!(replica.saw(Event::Skewed(0)));
    assert_eq!((replica.leaf(), cluster.objects().writes.len()), (leaf, writes), "no jump made anything new");
}
