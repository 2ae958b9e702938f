//! How long certificates live and how often things are looked at.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Lifetimes and intervals of self-managed certificates. Both authority and leaf are replaced when two thirds of their
/// life are over, as cert-manager and most meshes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an authority (CA) is valid. A third of it must be longer than `leaf`, so that no leaf is cut short.
    pub authority: Duration,
    /// How long a serving certificate is valid.
    pub leaf: Duration,
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

impl Default for Policy {
    fn default() -> Self {
        Self {
            authority: 365 * DAY,
            leaf: 90 * DAY,
            backdate: HOUR,
            overlap: DAY,
            settle: MINUTE / 4,
            poll: MINUTE / 2,
            retry: MINUTE / 30,
            patience: MINUTE / 4,
        }
    }
}
