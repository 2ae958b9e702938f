use std::sync::{Arc, Mutex};

use tokio::{sync::Barrier, task::JoinHandle, time::Instant};

use super::*;
use crate::{
    fake::{BASE, CONFIGURATION, Cluster, NAMESPACE, SECRET, names},
    material::Authority,
    state::{CA_CERT, TLS_CERT, TLS_KEY},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A life of an hour and a half, so that a test sees whole rotations.
const SHORT: Policy = Policy {
    authority: Duration::from_secs(5400),
    leaf: Duration::from_secs(1200),
    backdate: Duration::from_secs(30),
    overlap: Duration::from_secs(300),
    settle: Duration::from_secs(15),
    poll: Duration::from_secs(30),
    retry: Duration::from_secs(2),
    patience: Duration::from_secs(15),
};

struct Replica {
    serving: Serving,
    events: Arc<Mutex<Vec<Event>>>,
    task: JoinHandle<Infallible>,
}

/// The tests' wall clock: paused, and moved with tokio's.
fn clock(begin: Instant) -> impl Fn() -> OffsetDateTime {
    move || BASE + begin.elapsed()
}

fn start(cluster: &Cluster, policy: Policy, begin: Instant) -> Replica {
    let (serving, events) = (Serving::default(), Arc::new(Mutex::new(Vec::new())));
    let on = {
        let events = Arc::clone(&events);
        move |event| events.lock().unwrap().push(event)
    };
    let managed = SelfManaged {
        client: cluster.client(),
        namespace: NAMESPACE.to_owned(),
        secret: SECRET.to_owned(),
        configurations: vec![Configuration::Mutating(CONFIGURATION.to_owned())],
        names: names(),
        policy,
    };
    let task = tokio::spawn(managed.run(serving.clone(), clock(begin), on));
    Replica { serving, events, task }
}

impl Replica {
    fn saw(&self, event: Event) -> bool {
        assert!(!self.task.is_finished(), "the loop never ends");
        self.events.lock().unwrap().contains(&event)
    }

    fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    fn leaf(&self) -> Option<Certificate> {
        self.serving.current().map(|current| current.material.chain()[0].clone())
    }
}

/// Waits until `condition` holds, an hour at most.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < HOUR, "never: {what}");
        tokio::time::sleep(SECOND).await;
    }
}

/// Whether an API server that reads `caBundle` now accepts what the replica serves now.
fn accepted(cluster: &Cluster, replica: &Replica, now: OffsetDateTime) -> bool {
    let Some(current) = replica.serving.current() else { return false };
    let key = crate::material::Key::new(cluster.secret_field(crate::state::CA_KEY));
    let bundle = cluster.ca_bundle();
    let pem = bundle.to_pem();
    let mut authorities = pem.split_inclusive("-----END CERTIFICATE-----\n").map(|one| {
        let one = Bundle::from_pem(one.as_bytes()).unwrap();
        one.signing().unwrap().clone()
    });
    authorities.any(|authority| {
        // `verify` needs the certificate alone; a retired one's key is gone for good.
        Authority::unchecked(authority, key.clone()).verify(&current.material, &names(), now).is_ok()
    })
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
    let not_after = BASE + Policy::default().leaf;
    let events = replica.events.lock().unwrap().clone();
    let published = Event::Published { generation: 1, not_after };
    assert_eq!(events, [Event::Issued, Event::Injected, published, Event::Ready]);
}

#[tokio::test(start_paused = true)]
async fn when_all_is_well_nothing_is_written() {
    let cluster = Cluster::new();
    let replica = start(&cluster, Policy::default(), Instant::now());
    until("ready", || replica.saw(Event::Ready)).await;
    replica.forget();
    tokio::time::sleep(HOUR).await;
    assert_eq!(cluster.objects().writes.len(), 2);
    assert!(replica.events.lock().unwrap().is_empty());
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
    cluster.objects().hangs = true;
    let replica = start(&cluster, SHORT, Instant::now());
    until("given up", || replica.saw(Event::Failed(Step::Wait))).await;
    cluster.objects().hangs = false;
    until("ready", || replica.saw(Event::Ready)).await;
}

#[tokio::test(start_paused = true)]
async fn through_whole_rotations_every_replica_is_trusted_at_every_moment() {
    let cluster = Cluster::new();
    let begin = Instant::now();
    let replicas = [start(&cluster, SHORT, begin), start(&cluster, SHORT, begin)];
    until("ready", || replicas.iter().all(|replica| replica.saw(Event::Ready))).await;
    let (mut leaves, mut authorities) = (Vec::new(), Vec::new());
    // An authority is replaced after 3,610 seconds (two thirds of 5,400 + 30, less the 30), a leaf after 790.
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
