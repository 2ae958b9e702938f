//! Which pods to evict now, and what the others wait for.
//!
//! An eviction helps only if the replacement is injected, so each owner and template proves that with one pod at a time.
//! A pod that is found after one of its siblings was evicted was made since: injection did not work for it either, and
//! its owner is left in peace for a while, each time twice as long. What is remembered is the leader's own; a new leader
//! begins anew, and learns from its first eviction.
//!
//! | the pod | |
//! |---|---|
//! | would be refused if it were made again | waits for its author |
//! | belongs to nobody, a Job, or a controller that is not known | waits for whoever made it |
//! | fewer than two replicas of the webhook are ready | waits for them |
//! | its owner's last replacement was found, too | waits for the end of the back-off |
//! | is ready, while a sibling is not | waits for the sibling |
//! | a sibling goes in this round | waits for its turn |
//! | as many as are allowed went within the last minute | waits |
//! | otherwise | is evicted |

use super::{fair::Shares, owner::Health};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroU16,
    time::Duration,
};

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most evictions within any minute, over all namespaces.
    pub per_minute: NonZeroU16,
    /// How many replicas of the webhook must be ready: with one alone, a replacement may be missed again.
    pub replicas: usize,
    /// How long an owner is left in peace after its replacement was missed, too; doubled each time.
    pub first: Duration,
    /// The longest such time.
    pub cap: Duration,
    /// How long an owner is left in peace after an eviction that was accepted, or that a budget forbade.
    pub settle: Duration,
    /// How many owners are remembered, of no namespace more than its share while others go without.
    pub owners: usize,
}

/// An owner and the template that it makes pods by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerKey {
    /// The owner's uid.
    pub uid: Box<str>,
    /// The template's revision; another one is another chance.
    pub revision: Box<str>,
}

/// A pod that was found missed or stale.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pod's namespace.
    pub namespace: Box<str>,
    /// The pod's uid.
    pub uid: Box<str>,
    /// Whether it is ready: one that is not serves nobody.
    pub ready: bool,
    /// Its owner, if that makes pods again.
    pub owner: Option<OwnerKey>,
    /// Whether its replacement would be refused.
    pub refused: bool,
}

/// What to do with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Evict it.
    Evict,
    /// Leave it for now.
    Wait(Wait),
}

/// What an eviction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Its author: its replacement would be refused.
    Refused,
    /// Nobody is known to make it again.
    NoController,
    /// The webhook's replicas.
    Replicas,
    /// The end of a back-off, or of the time after an eviction.
    Owner,
    /// A sibling that is not ready, or an owner that could not be read.
    Siblings,
    /// A sibling that goes in this round.
    Turn,
    /// The next minute.
    Rate,
    /// Room to remember its owner.
    Room,
}

/// What came of an eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API server accepted it.
    Evicted,
    /// A PodDisruptionBudget forbids it now (status 429).
    Budget,
    /// The pod had gone by itself.
    Gone,
    /// The API server refused it otherwise, or did not answer.
    Failed,
}

/// Evictions as they go on.
#[derive(Debug)]
pub struct Evictions {
    limits: Limits,
    /// The evictions of the last minute.
    recent: VecDeque<Duration>,
    owners: HashMap<OwnerKey, Past>,
}

/// What happened to an owner's pods.
#[derive(Debug, Default)]
struct Past {
    namespace: Box<str>,
    /// The pods that were there when it was last evicted from.
    known: HashSet<Box<str>>,
    evicted: bool,
    /// How often a replacement was missed, too.
    failures: u32,
    not_before: Duration,
    last_found: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_minute: NonZeroU16::MIN.saturating_add(9),
            replicas: 2,
            first: 10 * MINUTE,
            cap: 24 * 60 * MINUTE,
            settle: MINUTE / 2,
            owners: 1000,
        }
    }
}

// === impl Evictions ===

impl Evictions {
    /// Nothing has been evicted yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, recent: VecDeque::new(), owners: HashMap::new() }
    }

    /// Takes note of all that a round found, and says whose health has to be known to go on: owners that something may
    /// be evicted from now, no more than the rate allows. `now` is the time since any fixed moment.
    pub fn note(&mut self, now: Duration, candidates: &[Candidate]) -> Vec<OwnerKey> {
        let cap = self.limits.cap;
        self.recent.retain(|then| now.saturating_sub(*then) < MINUTE);
        let mut failed = HashSet::new();
        for candidate in candidates {
            let Some(key) = &candidate.owner else { continue };
            let Some(past) = self.owners.get_mut(key) else { continue };
            past.last_found = now;
            // Before the first eviction a sibling that appears is only one more.
            if past.known.insert(candidate.uid.clone()) && past.evicted && failed.insert(key) {
                past.failures = past.failures.saturating_add(1);
                past.not_before = now + self.limits.peace(past.failures);
            }
        }
        // Long enough that no back-off is forgotten.
        self.owners.retain(|_, past| {
            past.last_found == now || past.counts(now) && now.saturating_sub(past.last_found) <= cap * 2
        });
        self.meet(now, candidates);
        let room = self.room(now);
        let mut seen = HashSet::new();
        let may = candidates.iter().filter(|candidate| !candidate.refused);
        let keys = may.filter_map(|candidate| candidate.owner.as_ref());
        keys.filter(|key| self.owners.get(*key).is_some_and(|past| past.not_before <= now) && seen.insert(*key))
            .take(room)
            .cloned()
            .collect()
    }

    /// Remembers the owners that were not known, as far as there is room: those that something may be evicted from.
    fn meet(&mut self, now: Duration, candidates: &[Candidate]) {
        let mut shares = Shares::default();
        self.owners.values().for_each(|past| shares.take(&past.namespace));
        for candidate in candidates.iter().filter(|candidate| !candidate.refused) {
            let Some(key) = &candidate.owner else { continue };
            if let Some(past) = self.owners.get_mut(key) {
                past.known.insert(candidate.uid.clone());
                continue;
            }
            if self.owners.len() >= self.limits.owners {
                let Some(giver) = shares.giver(&candidate.namespace) else { continue };
                self.forget_one(now, &giver);
                shares.leave(&giver);
            }
            let (namespace, known) = (candidate.namespace.clone(), HashSet::from([candidate.uid.clone()]));
            shares.take(&namespace);
            self.owners.insert(key.clone(), Past { namespace, known, last_found: now, ..Past::default() });
        }
    }

    /// Forgets the owner of that namespace of whom there is least to remember.
    fn forget_one(&mut self, now: Duration, namespace: &str) {
        let theirs = self.owners.iter().filter(|(_, past)| *past.namespace == *namespace);
        let least = theirs.min_by_key(|(key, past)| (past.counts(now), past.last_found, *key));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.owners.remove(&key);
        }
    }

    /// Decides about each candidate of the round that was noted, in their order. `health` holds the owners that were asked
    /// for and could be read, `ready` is the number of the webhook's ready replicas.
    pub fn decide(
        &self,
        now: Duration,
        candidates: &[Candidate],
        health: &HashMap<OwnerKey, Health>,
        ready: usize,
    ) -> Vec<Decision> {
        let mut room = self.room(now);
        let mut going = HashSet::new();
        let mut decide = |candidate: &Candidate| {
            if candidate.refused {
                return Some(Wait::Refused);
            }
            let Some(key) = &candidate.owner else { return Some(Wait::NoController) };
            let Some(past) = self.owners.get(key) else { return Some(Wait::Room) };
            if ready < self.limits.replicas {
                return Some(Wait::Replicas);
            }
            if past.not_before > now {
                return Some(Wait::Owner);
            }
            if going.contains(key) {
                return Some(Wait::Turn);
            }
            if room == 0 {
                return Some(Wait::Rate);
            }
            let whole = |health: &Health| health.ready >= health.wanted || !candidate.ready;
            if !health.get(key).is_some_and(whole) {
                return Some(Wait::Siblings);
            }
            room -= 1;
            going.insert(key.clone());
            None
        };
        candidates.iter().map(|candidate| decide(candidate).map_or(Decision::Evict, Decision::Wait)).collect()
    }

    /// Takes note of what came of an eviction that was decided.
    pub fn done(&mut self, now: Duration, key: &OwnerKey, outcome: Outcome) {
        // What was tried counts: the API server may have done what it did not answer to.
        if outcome != Outcome::Gone {
            self.recent.push_back(now);
        }
        let Some(past) = self.owners.get_mut(key) else { return };
        match outcome {
            Outcome::Evicted => {
                past.evicted = true;
                past.not_before = now + self.limits.settle;
            }
            Outcome::Budget | Outcome::Gone => past.not_before = now + self.limits.settle,
            Outcome::Failed => {
                past.failures = past.failures.saturating_add(1);
                past.not_before = now + self.limits.peace(past.failures);
            }
        }
    }

    /// How many more may go now.
    fn room(&self, now: Duration) -> usize {
        let recent = self.recent.iter().filter(|then| now.saturating_sub(**then) < MINUTE).count();
        usize::from(self.limits.per_minute.get()).saturating_sub(recent)
    }
}

// === impl Limits ===

impl Limits {
    fn peace(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.cap)
    }
}

// === impl Past ===

impl Past {
    /// Whether it says something about later pods of the owner.
    fn counts(&self, now: Duration) -> bool {
        self.evicted || self.failures > 0 || self.not_before > now
    }
}

// === impl Wait ===

impl Wait {
    /// All that may be waited for.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::NoController,
        Self::Replicas,
        Self::Owner,
        Self::Siblings,
        Self::Turn,
        Self::Rate,
        Self::Room,
    ];

    /// A stable name, for labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NoController => "no_controller",
            Self::Replicas => "replicas",
            Self::Owner => "owner",
            Self::Siblings => "siblings",
            Self::Turn => "turn",
            Self::Rate => "rate",
            Self::Room => "room",
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [Self::Evicted, Self::Budget, Self::Gone, Self::Failed];

    /// A stable name, for labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Budget => "budget",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests;
