//! How far memory is trusted. A watch is always a little late, and never says how much.
//!
//! | the account is | the pod is labelled | it is not |
//! |---|---|---|
//! | not known, or not kept | read | read |
//! | known without an identity | read | confirmed |
//! | known with one | confirmed | confirmed |
//!
//! *Read*: the API server is asked, and if it does not answer in time the review fails. *Confirmed*: what was read of the
//! account within the last tenth of a second, and not seen to change since, counts. Else the API server is asked, and if
//! that yields nothing memory counts; nor is it asked more often than a hundred times a second for all such accounts
//! together, so that a burst of pods does not become a burst of reads.
//!
//! While the watch has been interrupted for longer than [`GAP`] memory is old, and confirming no longer has a ceiling. A
//! labelled pod is then always read: its entry's failure policy keeps it out until an answer is had, and a wrong identity
//! would stay for the pod's life. For others memory counts still: a failure would let them start without any identity, for
//! their entry's policy ignores it, and memory is right unless the account was changed in that very time.

use podbadge_webhook_core::decision::OptIn;
use std::time::Duration;
use tokio::time::Instant;

/// How long a watch may be interrupted before what it told is old: an API server restarts within seconds.
pub(super) const GAP: Duration = Duration::from_secs(10);

/// Confirmations a second, of all accounts together. The API server, which creates a pod for each, hardly feels them; and
/// beyond, an account annotated a moment before its pod depends on the watch.
const PER_SECOND: u32 = 100;

/// Confirmations that may come at once after a quiet time.
const BURST: u32 = 200;

/// How long nothing is confirmed after the API server did not answer: who is in distress is not asked for favours.
const PAUSE: Duration = Duration::from_secs(5);

/// Where the answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// From the API server or not at all.
    Read,
    /// From the API server where the ceiling allows and it answers, else from memory.
    Confirm,
    /// From the API server where it answers, else from memory.
    ConfirmAlways,
}

/// What memory holds of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Nothing.
    Missing,
    /// The object, without what would settle the question.
    Without,
    /// What settles the question.
    With,
}

/// How often memory is confirmed.
#[derive(Debug)]
pub(super) struct Ceiling {
    left: f64,
    at: Instant,
}

/// Decides where the answer about one object comes from; `gap` is how long its watch has been interrupted.
pub(super) fn need(memory: Memory, opt_in: OptIn, gap: Duration) -> Need {
    match (memory, opt_in) {
        (Memory::Missing, _) | (Memory::Without, OptIn::Label) => Need::Read,
        (Memory::With, OptIn::Label) if gap > GAP => Need::Read,
        (Memory::With | Memory::Without, _) if gap > GAP => Need::ConfirmAlways,
        (Memory::With | Memory::Without, _) => Need::Confirm,
    }
}

// === impl Ceiling ===

impl Ceiling {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST.into(), at: now }
    }

    /// Whether one more may be asked for now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(PER_SECOND);
        self.left = (self.left + grown).min(BURST.into());
        self.at = self.at.max(now);
        let admitted = self.left >= 1.0;
        if admitted {
            self.left -= 1.0;
        }
        admitted
    }

    /// The API server did not answer.
    pub(super) fn pause(&mut self, now: Instant) {
        self.left = 0.0;
        self.at = now + PAUSE;
    }

    /// It answers again, as somebody saw who had to ask.
    pub(super) fn resume(&mut self, now: Instant) {
        if self.at > now {
            *self = Self::new(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_answer_comes_from() {
        use Memory::{Missing, With, Without};
        use Need::{Confirm, ConfirmAlways, Read};
        use OptIn::{Label, ServiceAccount};
        let old = GAP + Duration::from_millis(1);
        for (memory, opt_in, connected, interrupted) in [
            (Missing, Label, Read, Read),
            (Missing, ServiceAccount, Read, Read),
            (Without, Label, Read, Read),
            (Without, ServiceAccount, Confirm, ConfirmAlways),
            (With, Label, Confirm, Read),
            (With, ServiceAccount, Confirm, ConfirmAlways),
        ] {
            assert_eq!(need(memory, opt_in, Duration::ZERO), connected, "{memory:?} {opt_in:?}");
            assert_eq!(need(memory, opt_in, GAP), connected, "{memory:?} {opt_in:?}");
            assert_eq!(need(memory, opt_in, old), interrupted, "{memory:?} {opt_in:?}");
        }
    }

    fn admitted(ceiling: &mut Ceiling, now: Instant) -> u32 {
        (0..1000).map(|_| u32::from(ceiling.admits(now))).sum()
    }

    #[test]
    fn confirmations_have_a_ceiling() {
        let began = Instant::now();
        let mut ceiling = Ceiling::new(began);
        assert_eq!(admitted(&mut ceiling, began), BURST);
        let mut now = began;
        for _ in 0..10 {
            now += Duration::from_millis(100);
            assert_eq!(admitted(&mut ceiling, now), PER_SECOND / 10);
        }
        assert_eq!(admitted(&mut ceiling, now + Duration::from_secs(3600)), BURST);
        // Clocks of other threads may have been read a little earlier.
        assert_eq!(admitted(&mut ceiling, now), 0);
    }

    #[test]
    fn an_api_server_that_does_not_answer_is_left_alone_for_a_while() {
        let began = Instant::now();
        let mut ceiling = Ceiling::new(began);
        ceiling.pause(began);
        assert_eq!(admitted(&mut ceiling, began + PAUSE), 0);
        assert_eq!(admitted(&mut ceiling, began + PAUSE + Duration::from_millis(500)), PER_SECOND / 2);
    }

    #[test]
    fn until_it_is_seen_to_answer() {
        let began = Instant::now();
        let mut ceiling = Ceiling::new(began);
        ceiling.pause(began);
        ceiling.resume(began + PAUSE / 2);
        assert_eq!(admitted(&mut ceiling, began + PAUSE / 2), BURST);
        ceiling.resume(began + PAUSE / 2);
        assert_eq!(admitted(&mut ceiling, began + PAUSE / 2), 0, "nothing was paused");
    }
}
