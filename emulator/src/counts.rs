//! Counts token requests by how they ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How the token requests so far ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanges {
    /// Tokens issued.
    pub issued: u64,
    /// Refusals, by AADSTS code.
    pub refused: BTreeMap<u32, u64>,
    /// Requests that a fault answered, or that it dropped.
    pub faulted: u64,
}

/// The end of one token request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Issued,
    Refused(u32),
    Faulted,
}

/// The counters, shared.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Exchanges>>);

// === impl Exchanges ===

impl Exchanges {
    /// All token requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.issued + self.faulted + self.refused.values().sum::<u64>()
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn add(&self, outcome: Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Issued => counts.issued += 1,
            Outcome::Refused(code) => *counts.refused.entry(code).or_default() += 1,
            Outcome::Faulted => counts.faulted += 1,
        }
    }

    pub(crate) fn read(&self) -> Exchanges {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
