//! Replicas of one cluster through whatever may happen to them, in virtual time: no certificate is served to an API server
//! that does not trust it.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    Part,
    tests::{Replica, SHORT, clock, start_as},
};
use crate::{
    bundle::Bundle,
    event::Event,
    fake::{BASE, CONFIGURATION, Cluster, VALIDATING, names},
    material::Certificate,
    state::{CA_CERT, CA_KEY, TLS_CERT, TLS_KEY},
};

const SECOND: Duration = Duration::from_secs(1);
const FIELDS: [&str; 4] = [CA_CERT, CA_KEY, TLS_CERT, TLS_KEY];
/// So old is what an API server knows of `caBundle` at most; shorter than the settling time by what a look takes.
const LAG: usize = 10;
const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
enum Fault {
    Delete,
    Spoil(usize),
    /// What the Secret held before some earlier fault.
    Backup(usize),
    /// A replica dies, and another one starts in its place.
    Replace(usize),
    /// Nobody, one, several or, without an election, all write: what is believed for a while may be wrong.
    Parts([Part; REPLICAS]),
    /// The clock of one replica is so many seconds off.
    Jump(usize, i64),
    /// Refused for a while.
    Forbid(&'static str, u64),
    /// Refused until all others have come together: what only gives advice stops nobody.
    Unadvised(&'static str),
    /// Nothing is answered for a while.
    Hang(u64),
    /// Requests take so many milliseconds.
    Delays(Vec<u64>),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![Just(Part::Follows), Just(Part::Leads), Just(Part::Unled), Just(Part::Unknown)]
}

fn fault() -> impl Strategy<Value = Fault> {
    let years = 3 * 365 * 24 * 60 * 60_i64;
    prop_oneof![
        3 => Just(Fault::Delete),
        3 => (0..FIELDS.len()).prop_map(Fault::Spoil),
        3 => (0..10_usize).prop_map(Fault::Backup),
        2 => (0..REPLICAS).prop_map(Fault::Replace),
        3 => [part(), part(), part()].prop_map(Fault::Parts),
        2 => (0..REPLICAS, prop_oneof![-years..years, -5000..5000_i64]).prop_map(|(who, off)| Fault::Jump(who, off)),
        1 => (prop_oneof![Just("PUT secrets"), Just("POST secrets"), Just("PATCH configurations"), Just("GET secrets"),
            Just("GET configurations"), Just("GET advice"), Just("PATCH advice")], 1..300_u64)
            .prop_map(|(what, seconds)| Fault::Forbid(what, seconds)),
        1 => prop_oneof![Just("GET advice"), Just("PATCH advice")].prop_map(Fault::Unadvised),
        1 => (1..60_u64).prop_map(Fault::Hang),
        1 => prop::collection::vec(0..1500_u64, 0..7).prop_map(Fault::Delays),
    ]
}

/// Faults, each with the seconds until the next: at once, or when all is quiet again, or in between.
fn story() -> impl Strategy<Value = Vec<(Fault, u64)>> {
    prop::collection::vec((fault(), prop_oneof![0..4_u64, 5..40_u64, 100..900_u64]), 1..25)
}

/// One cluster and what its API server may know.
struct World {
    cluster: Cluster,
    begin: Instant,
    replicas: Vec<Replica>,
    offsets: Vec<std::sync::Arc<std::sync::atomic::AtomicI64>>,
    backups: Vec<Option<Value>>,
    /// The bundles of the last seconds.
    known: VecDeque<Bundle>,
    version: Value,
    /// Who signed what, as far as it was looked at.
    signers: Vec<(Certificate, Certificate)>,
}

impl World {
    fn new() -> Self {
        let (cluster, begin) = (Cluster::new(), Instant::now());
        cluster.objects().time = Some(Box::new(clock(begin)));
        cluster.add_validating();
        let mut world = Self {
            cluster,
            begin,
            replicas: Vec::new(),
            offsets: Vec::new(),
            backups: Vec::new(),
            known: VecDeque::new(),
            version: Value::Null,
            signers: Vec::new(),
        };
        for who in 0..REPLICAS {
            world.offsets.push(Default::default());
            let part = if who == 0 { Part::Leads } else { Part::Follows };
            let replica = world.start(who, part);
            world.replicas.push(replica);
        }
        world
    }

    fn start(&self, who: usize, part: Part) -> Replica {
        let (right, offset) = (clock(self.begin), self.offsets[who].clone());
        let wrong = move || right() + time::Duration::seconds(offset.load(std::sync::atomic::Ordering::Relaxed));
        start_as(part, &self.cluster, SHORT, wrong)
    }

    /// Lets so many seconds pass and looks after each.
    async fn pass(&mut self, seconds: u64) -> Result<(), TestCaseError> {
        for _ in 0..seconds {
            sleep(SECOND).await;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), TestCaseError> {
        let now = self.begin.elapsed();
        let version = self.cluster.objects().configurations[CONFIGURATION]["metadata"]["resourceVersion"].clone();
        let bundle = match self.known.front() {
            Some(bundle) if self.version == version => bundle.clone(),
            _ => self.cluster.ca_bundle(),
        };
        self.version = version;
        self.known.push_front(bundle);
        self.known.truncate(LAG);
        for replica in self.replicas.iter().filter(|replica| replica.saw(Event::Ready)) {
            let current =
                replica.serving.current().ok_or_else(|| TestCaseError::fail("ready without a certificate"))?;
            let leaf = &current.material.chain()[0];
            let signer = match self.signers.iter().find(|(known, _)| known == leaf) {
                Some((_, signer)) => signer.clone(),
                None => {
                    // While it is trusted it is found.
                    let at = leaf.validity().not_before + SECOND;
                    let mut found =
                        self.known.iter().filter_map(|bundle| bundle.signer_of(&current.material, &names(), at));
                    let signer = found.next().cloned();
                    let signer =
                        signer.ok_or_else(|| TestCaseError::fail(format!("not trusted at all after {now:?}")))?;
                    self.signers.push((leaf.clone(), signer.clone()));
                    signer
                }
            };
            prop_assert!(
                self.known.iter().all(|bundle| bundle.contains(&signer)),
                "after {now:?} an API server does not trust {signer:?}"
            );
            prop_assert!(leaf.validity().contains(BASE + now), "after {now:?} an expired leaf is served");
        }
        Ok(())
    }

    async fn meet(&mut self, fault: Fault) -> Result<(), TestCaseError> {
        let secret = self.cluster.objects().secret.clone();
        match fault {
            Fault::Delete => self.cluster.objects().secret = None,
            Fault::Spoil(field) => {
                if let Some(secret) = &mut self.cluster.objects().secret {
                    secret["data"][FIELDS[field]] = "AAAA".into();
                }
            }
            Fault::Backup(number) => {
                let backup = self.backups.get(number % self.backups.len().max(1)).cloned().flatten();
                self.cluster.objects().put_secret(backup);
            }
            Fault::Replace(who) => {
                let part = *self.replicas[who].part.borrow();
                self.replicas[who].task.abort();
                self.replicas[who] = self.start(who, part);
            }
            Fault::Parts(parts) => {
                for (replica, part) in self.replicas.iter().zip(parts) {
                    replica.part.send_replace(part);
                }
                // A lease runs out, and somebody takes it.
                if !parts.iter().any(|part| matches!(part, Part::Leads | Part::Unled)) {
                    self.pass(20).await?;
                    self.replicas[0].part.send_replace(Part::Leads);
                }
            }
            Fault::Jump(who, off) => self.offsets[who].store(off, std::sync::atomic::Ordering::Relaxed),
            Fault::Forbid(what, seconds) => {
                self.cluster.objects().forbidden.insert(what);
                self.pass(seconds).await?;
                self.cluster.objects().forbidden.remove(what);
            }
            Fault::Unadvised(what) => drop(self.cluster.objects().forbidden.insert(what)),
            Fault::Hang(seconds) => {
                self.cluster.objects().hangs = Some("");
                self.pass(seconds).await?;
                self.cluster.objects().hangs = None;
            }
            Fault::Delays(delays) => {
                self.cluster.objects().delays = delays.into_iter().map(Duration::from_millis).collect();
            }
        }
        self.backups.push(secret);
        Ok(())
    }

    /// In the end there is one leader, and everybody serves what it made; once it may be, the advice is right as well.
    async fn settles(&mut self) -> Result<(), TestCaseError> {
        self.cluster.objects().delays.clear();
        for (who, replica) in self.replicas.iter().enumerate() {
            replica.part.send_replace(if who == 1 { Part::Leads } else { Part::Follows });
        }
        for _ in 0..30 {
            self.pass(30).await?;
            let leaf = self.replicas[0].leaf();
            let now = BASE + self.begin.elapsed();
            let is_whole = |replica: &Replica| {
                let valid = replica.leaf().is_some_and(|leaf| leaf.validity().contains(now));
                replica.saw(Event::Ready) && replica.leaf() == leaf && valid
            };
            if self.replicas.iter().all(is_whole) {
                self.cluster.objects().forbidden.clear();
                self.pass(2 * SHORT.poll.as_secs()).await?;
                prop_assert_eq!(self.cluster.bundle_of(VALIDATING), self.cluster.ca_bundle());
                return Ok(());
            }
        }
        Err(TestCaseError::fail("replicas do not come together"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn whatever_happens_what_is_served_is_trusted(story in story()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            world.pass(5).await?;
            for (fault, seconds) in story {
                world.meet(fault).await?;
                world.pass(seconds).await?;
            }
            world.settles().await
        })?;
    }
}
