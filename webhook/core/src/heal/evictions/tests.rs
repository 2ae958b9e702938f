#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

const WELL: Health = Health { wanted: 3, ready: 3 };

fn key(owner: &str) -> OwnerKey {
    let (uid, revision) = owner.split_once('@').unwrap_or((owner, "1"));
    OwnerKey { uid: uid.into(), revision: revision.into() }
}

/// A ready pod; an owner of no name is none.
fn pod(uid: &str, owner: &str) -> Candidate {
    let owner = (!owner.is_empty()).then(|| key(owner));
    Candidate { namespace: "shop".into(), uid: uid.into(), ready: true, owner, refused: false }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One round of a cluster where all is well.
fn round(evictions: &mut Evictions, now: Duration, candidates: &[Candidate]) -> Vec<Decision> {
    let wanted = evictions.note(now, candidates);
    let health = wanted.into_iter().map(|key| (key, WELL)).collect();
    evictions.decide(now, candidates, &health, 2)
}

fn evict(evictions: &mut Evictions, now: Duration, candidates: &[Candidate]) -> Vec<Decision> {
    let decisions = round(evictions, now, candidates);
    for (candidate, decision) in candidates.iter().zip(&decisions) {
        if *decision == Decision::Evict {
            evictions.done(now, candidate.owner.as_ref().unwrap(), Outcome::Evicted);
        }
    }
    decisions
}

#[test]
fn what_waits_says_why() {
    let well = WELL;
    let ill = Health { wanted: 3, ready: 2 };
    let unready = Candidate { ready: false, ..pod("a", "set") };
    let refused = Candidate { refused: true, ..pod("a", "set") };
    for (candidate, health, ready, expected) in [
        (pod("a", "set"), Some(well), 2, Decision::Evict),
        (pod("a", "set"), Some(well), 5, Decision::Evict),
        (pod("a", "set"), Some(well), 1, Decision::Wait(Wait::Replicas)),
        (pod("a", "set"), Some(ill), 2, Decision::Wait(Wait::Siblings)),
        (unready.clone(), Some(ill), 2, Decision::Evict),
        (unready, None, 2, Decision::Wait(Wait::Siblings)),
        (pod("a", ""), Some(well), 2, Decision::Wait(Wait::NoController)),
        (refused, Some(well), 2, Decision::Wait(Wait::Refused)),
    ] {
        let mut evictions = Evictions::new(Limits::default());
        let candidates = [candidate];
        evictions.note(Duration::ZERO, &candidates);
        let health = health.map(|health| (key("set"), health)).into_iter().collect();
        let decisions = evictions.decide(Duration::ZERO, &candidates, &health, ready);
        assert_eq!(decisions, [expected], "{candidates:?}");
    }
}

#[test]
fn an_owner_proves_that_it_helps_with_one_pod_at_a_time() {
    use Decision::{Evict, Wait as W};
    let mut evictions = Evictions::new(Limits::default());
    let (a, b, c) = (pod("a", "set"), pod("b", "set"), pod("c", "other"));
    assert_eq!(evict(&mut evictions, seconds(0), &[a, b.clone(), c]), [Evict, W(Wait::Turn), Evict]);
    assert_eq!(evict(&mut evictions, seconds(29), std::slice::from_ref(&b)), [W(Wait::Owner)]);
    assert_eq!(evict(&mut evictions, seconds(30), &[b]), [Evict]);
}

#[test]
fn a_replacement_that_is_missed_too_backs_off() {
    let mut evictions = Evictions::new(Limits::default());
    let mut now = Duration::ZERO;
    assert_eq!(evict(&mut evictions, now, &[pod("0", "set")]), [Decision::Evict]);
    for (generation, minutes) in
        [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 640), (8, 1280), (9, 1440)]
    {
        let replacement = [pod(&generation.to_string(), "set")];
        let found = now + seconds(60);
        assert_eq!(evict(&mut evictions, found, &replacement), [Decision::Wait(Wait::Owner)], "{generation}");
        now = found + minutes * MINUTE;
        assert_eq!(
            evict(&mut evictions, now - seconds(1), &replacement),
            [Decision::Wait(Wait::Owner)],
            "{generation}"
        );
        assert_eq!(evict(&mut evictions, now, &replacement), [Decision::Evict], "{generation}");
    }
    // A new template is another chance.
    assert_eq!(evict(&mut evictions, now + seconds(1), &[pod("10", "set@2")]), [Decision::Evict]);
}

#[test]
fn siblings_that_appear_before_an_eviction_are_no_failure() {
    let mut evictions = Evictions::new(Limits::default());
    let candidates = [pod("a", "set"), pod("b", "set")];
    evictions.note(seconds(0), &candidates[..1]);
    assert_eq!(evict(&mut evictions, seconds(1), &candidates)[0], Decision::Evict);
}

#[test]
fn outcomes_decide_when_it_is_tried_again() {
    for (outcome, wait) in [(Outcome::Evicted, 30), (Outcome::Budget, 30), (Outcome::Gone, 30), (Outcome::Failed, 600)]
    {
        let mut evictions = Evictions::new(Limits::default());
        let candidates = [pod("a", "set")];
        assert_eq!(round(&mut evictions, seconds(0), &candidates), [Decision::Evict]);
        evictions.done(seconds(0), &key("set"), outcome);
        let waits = round(&mut evictions, seconds(wait - 1), &candidates);
        assert_eq!(waits, [Decision::Wait(Wait::Owner)], "{outcome:?}");
        assert_eq!(round(&mut evictions, seconds(wait), &candidates), [Decision::Evict], "{outcome:?}");
    }
}

#[test]
fn only_owners_that_may_go_are_asked_for() {
    let limits = Limits { per_minute: NonZeroU16::new(2).unwrap(), owners: 2, ..Limits::default() };
    let mut evictions = Evictions::new(limits);
    let refused = Candidate { refused: true, ..pod("r", "refused") };
    let all = [refused, pod("a", "a"), pod("a2", "a"), pod("b", "b"), pod("c", "c"), pod("n", "")];
    assert_eq!(evictions.note(seconds(0), &all), [key("a"), key("b")]);
    let decisions = evict(&mut evictions, seconds(0), &all);
    assert_eq!(decisions[4], Decision::Wait(Wait::Room), "no more than two owners are remembered");
    assert_eq!(evictions.note(seconds(59), &all), []);
}

fn of(namespace: &str, owner: &str) -> Candidate {
    Candidate { namespace: namespace.into(), ..pod(&format!("{namespace}-{owner}"), &format!("{namespace}-{owner}")) }
}

fn few_owners() -> Evictions {
    Evictions::new(Limits { per_minute: NonZeroU16::new(100).unwrap(), owners: 4, ..Limits::default() })
}

#[test]
fn owners_of_refused_pods_take_no_room() {
    let refused = |number: usize| Candidate { refused: true, ..of("many", &number.to_string()) };
    let mut all: Vec<_> = (0..10).map(refused).collect();
    all.extend(["a", "b", "c", "d"].map(|owner| of("few", owner)));
    let decisions = evict(&mut few_owners(), seconds(0), &all);
    assert_eq!(decisions.iter().filter(|decision| **decision == Decision::Evict).count(), 4, "{decisions:?}");
}

#[test]
fn one_namespace_does_not_take_all_the_room() {
    let mut evictions = few_owners();
    // Evicted from: they are remembered for days.
    let many: Vec<_> = (0..10).map(|number| of("many", &number.to_string())).collect();
    let decisions = evict(&mut evictions, seconds(0), &many);
    assert_eq!(decisions.iter().filter(|decision| **decision == Decision::Evict).count(), 4, "{decisions:?}");
    // Others of that namespace wait, and of another as many go as are fair.
    let others: Vec<_> = [of("many", "x"), of("few", "a"), of("few", "b"), of("few", "c")].into();
    let decisions = evict(&mut evictions, seconds(60), &others);
    use Decision::{Evict, Wait as W};
    assert_eq!(decisions, [W(Wait::Room), Evict, Evict, W(Wait::Room)]);
}

#[test]
fn owners_that_nothing_was_evicted_from_are_not_remembered() {
    let mut evictions = few_owners();
    let round = |number: usize| (0..4).map(|owner| of("many", &format!("{number}-{owner}"))).collect::<Vec<_>>();
    evictions.note(seconds(0), &round(0));
    evictions.note(seconds(1), &round(1));
    assert_eq!(evictions.note(seconds(2), &round(2)).len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Pods of owners whose replacements are missed or not, in rounds at any distance.
    #[test]
    fn limits_hold(
        owners in prop::collection::vec((1..5_usize, any::<bool>()), 1..6),
        pauses in prop::collection::vec(1..900_u64, 1..80),
        per_minute in 1..5_u16,
    ) {
        let mut evictions = Evictions::new(Limits {
            per_minute: NonZeroU16::new(per_minute).unwrap(),
            ..Limits::default()
        });
        let mut next = 0_u32;
        let mut fresh = |owner: usize| { next += 1; pod(&next.to_string(), &owner.to_string()) };
        let mut pods: Vec<Candidate> = owners
            .iter()
            .enumerate()
            .flat_map(|(owner, (count, _))| vec![owner; *count])
            .map(&mut fresh)
            .collect();
        let (mut now, mut log) = (Duration::ZERO, Vec::new());
        let mut of_owner = vec![0_usize; owners.len()];
        for pause in pauses {
            now += seconds(pause);
            let decisions = evict(&mut evictions, now, &pods);
            let mut round = HashSet::new();
            for (index, _) in decisions.iter().enumerate().filter(|(_, decision)| **decision == Decision::Evict) {
                let owner: usize = pods[index].owner.as_ref().unwrap().uid.parse().unwrap();
                prop_assert!(round.insert(owner), "two siblings in one round");
                log.push(now);
                of_owner[owner] += 1;
            }
            let mut kept = Vec::new();
            for (candidate, decision) in pods.into_iter().zip(decisions) {
                let owner: usize = candidate.owner.as_ref().unwrap().uid.parse().unwrap();
                match decision {
                    Decision::Evict if owners[owner].1 => kept.push(fresh(owner)),
                    Decision::Evict => {}
                    Decision::Wait(_) => kept.push(candidate),
                }
            }
            pods = kept;
        }
        for (index, from) in log.iter().enumerate() {
            let minute = log[index..].iter().filter(|then| **then - *from < MINUTE).count();
            prop_assert!(minute <= usize::from(per_minute), "{log:?}");
        }
        for (owner, (count, missed_again)) in owners.iter().enumerate() {
            if *missed_again {
                // 10 minutes after the first, 20 after the second, and so on.
                let most = 1 + (0..).take_while(|n| seconds(600) * ((1 << (n + 1)) - 1) <= now).count();
                prop_assert!(of_owner[owner] <= most, "{} evictions in {now:?}", of_owner[owner]);
            } else {
                prop_assert!(of_owner[owner] <= *count);
            }
        }
    }
}
