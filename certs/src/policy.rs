//! How long certificates live and how often things are looked at.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lifetimes and intervals of self-managed certificates. [`Policy::check`] tells whether they go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of an authority (CA).
    pub authority: Lifetime,
    /// Of a serving certificate.
    pub leaf: Lifetime,
    /// How far back validity begins, for nodes whose clock is behind.
    pub backdate: Duration,
    /// How long after a change of authority the old one stays trusted. Longer than any replica needs to follow.
    pub overlap: Duration,
    /// How long API servers may take to use a new `caBundle`; a leaf of a new authority is served only after that.
    pub settle: Duration,
    /// How often Secret and webhook configuration are compared when all is well.
    pub poll: Duration,
    /// How soon it is tried again when not.
    pub retry: Duration,
    /// How long one round may take, all requests together.
    pub patience: Duration,
}

/// The life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// How long it is valid.
    pub valid: Duration,
    /// How long after it was made it is replaced.
    pub renewed_after: Duration,
}

/// Lifetimes and intervals that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A certificate would end before it is replaced.
    #[error("a certificate must be replaced before it ends: {0:?} is not before {1:?}")]
    Renewal(Duration, Duration),
    /// An authority would end before its last serving certificate.
    #[error(
        "a serving certificate must not outlive its authority: {leaf:?} is more than the {rest:?} that are left of one when it is replaced"
    )]
    Leaf {
        /// How long a serving certificate is valid.
        leaf: Duration,
        /// What is left of an authority when it is replaced.
        rest: Duration,
    },
    /// An old authority would lose trust while replicas still serve what it signed.
    #[error("the overlap must be at least {least:?}, in which every replica follows; it is {overlap:?}")]
    Overlap {
        /// What was asked for.
        overlap: Duration,
        /// What is needed.
        least: Duration,
    },
    /// Certificates would be replaced faster than replicas follow.
    #[error(
        "a certificate must live at least {least:?}, in which every replica follows, before and after its replacement is made; it is {actual:?}"
    )]
    Pace {
        /// What was asked for.
        actual: Duration,
        /// What is needed.
        least: Duration,
    },
}

impl Lifetime {
    /// Replaced when two thirds are over, as cert-manager and most meshes do.
    #[must_use]
    pub fn of(valid: Duration) -> Self {
        Self { valid, renewed_after: valid * 2 / 3 }
    }

    /// What is left when it is replaced.
    #[must_use]
    pub const fn rest(self) -> Duration {
        self.valid.saturating_sub(self.renewed_after)
    }
}

impl Policy {
    /// How long a replica may take until it serves what was stored: it looks, waits for API servers to follow, and looks
    /// again.
    #[must_use]
    pub fn follow(&self) -> Duration {
        self.settle + 2 * self.poll
    }

    /// For how long `caBundle` has to be the same until an authority of it may be left out: twice what any replica needs to
    /// follow, unless the overlap is shorter.
    #[must_use]
    pub fn followed(&self) -> Duration {
        self.overlap.min(2 * self.follow())
    }

    /// Whether lifetimes and intervals go together.
    ///
    /// # Errors
    /// [`Unfit`], the first rule that is broken.
    pub fn check(self) -> Result<Self, Unfit> {
        let (Self { authority, leaf, overlap, .. }, least) = (self, self.follow());
        for Lifetime { valid, renewed_after } in [authority, leaf] {
            if renewed_after >= valid {
                return Err(Unfit::Renewal(renewed_after, valid));
            }
        }
        if leaf.valid > authority.rest() {
            return Err(Unfit::Leaf { leaf: leaf.valid, rest: authority.rest() });
        }
        if overlap < least {
            return Err(Unfit::Overlap { overlap, least });
        }
        match [authority.renewed_after, leaf.rest()].into_iter().find(|actual| *actual < least) {
            Some(actual) => Err(Unfit::Pace { actual, least }),
            None => Ok(self),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            authority: Lifetime::of(365 * DAY),
            leaf: Lifetime::of(90 * DAY),
            backdate: HOUR,
            overlap: DAY,
            settle: MINUTE / 4,
            poll: MINUTE / 2,
            retry: MINUTE / 30,
            patience: MINUTE / 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused() {
        let second = Duration::from_secs(1);
        let policy = Policy::default();
        assert_eq!(policy.check(), Ok(policy));
        let of =
            |valid: u32, renewed_after: u32| Lifetime { valid: valid * second, renewed_after: renewed_after * second };
        let quick = Policy {
            authority: of(60, 10),
            leaf: of(30, 5),
            overlap: 8 * second,
            settle: 2 * second,
            poll: second,
            ..policy
        };
        assert_eq!(quick.check(), Ok(quick));
        for (wrong, says) in [
            (
                Policy { leaf: of(30, 30), ..quick },
                "a certificate must be replaced before it ends: 30s is not before 30s",
            ),
            (Policy { authority: of(60, 40), ..quick }, "30s is more than the 20s that are left"),
            (Policy { overlap: 3 * second, ..quick }, "the overlap must be at least 4s"),
            (Policy { authority: of(60, 3), ..quick }, "must live at least 4s"),
            (Policy { leaf: of(30, 27), ..quick }, "it is 3s"),
        ] {
            let refusal = wrong.check().unwrap_err().to_string();
            assert!(refusal.contains(says), "{refusal}");
        }
    }
}
