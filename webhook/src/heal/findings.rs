//! What a round found: of each pod only what reports and evictions need, and of no more pods than a fixed number.

use podbadge_webhook_core::{
    heal::{
        Change, Verdict,
        evictions::{Candidate, OwnerKey},
        fair::Fair,
        owner::Controller,
        view::Live,
    },
    value::cut,
};

/// The most pods that are remembered of a round, of no namespace more than its share while others go without; what is
/// beyond is counted, and its turn comes.
const MOST: usize = 2000;

/// A pod that was left behind.
pub(super) struct Finding {
    pub(super) name: Box<str>,
    pub(super) candidate: Candidate,
    /// Kind and name of the owner, for those that are read.
    pub(super) owner: Option<(Controller, Box<str>)>,
    pub(super) what: What,
    /// Why a replacement would be refused.
    pub(super) refused: Option<Box<str>>,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It has no identity.
    Missed,
    /// It has another one.
    Stale(Change),
}

/// All of a round.
pub(super) struct Findings {
    /// In each namespace pods without an identity come before those with an old one.
    pub(super) kept: Fair<Finding>,
    pub(super) missed: usize,
    pub(super) stale: usize,
    /// Those that only the API server can judge: neither reported nor evicted, for all may be well.
    pub(super) uncertain: usize,
}

// === impl Findings ===

impl Default for Findings {
    fn default() -> Self {
        Self { kept: Fair::new(MOST), missed: 0, stale: 0, uncertain: 0 }
    }
}

impl Findings {
    /// Keeps what is wrong.
    pub(super) fn add(&mut self, live: &Live<'_>, verdict: Verdict) {
        let (what, refused) = match verdict {
            Verdict::NotOurs | Verdict::Fine | Verdict::Suspect => return,
            Verdict::Uncertain => {
                tracing::debug!(namespace = live.namespace(), pod = live.name(), "Without identity, or excluded");
                self.uncertain += 1;
                return;
            }
            Verdict::Missed { refused } => (What::Missed, refused),
            Verdict::Stale { change, refused } => (What::Stale(change), refused),
        };
        match what {
            What::Missed => self.missed += 1,
            What::Stale(_) => self.stale += 1,
        }
        let controller = live.controller().and_then(|owner| Some((Controller::of(owner)?, owner)));
        let key =
            controller.map(|(_, owner)| OwnerKey { uid: owner.uid.as_str().into(), revision: live.revision().into() });
        let finding = Finding {
            name: live.name().into(),
            candidate: Candidate {
                namespace: live.namespace().into(),
                uid: live.uid().into(),
                ready: live.is_ready(),
                owner: key,
                refused: refused.is_some(),
            },
            owner: controller.map(|(kind, owner)| (kind, owner.name.as_str().into())),
            what,
            // As much as an event has room for beside our own words.
            refused: refused.map(|denial| cut(&denial.to_string(), 400).into()),
        };
        self.kept.add(live.namespace(), finding.what == What::Missed, finding);
    }
}
