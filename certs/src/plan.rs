//! What to do next, as pure functions of the state, the time and the policy.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{material::Certificate, policy::Policy, state::State};

/// What the Secret needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// A new authority and a leaf of it; those trusted so far stay trusted beside it.
    NewAuthority(Why),
    /// A new leaf of the same authority.
    NewLeaf(Why),
    /// The authorities that signed before are no longer to be trusted.
    Retire,
}

/// Why something is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is missing, broken, out of its time or not for us.
    Unusable,
    /// Two thirds of its life are over.
    Ending,
}

/// What is served, as far as it matters for serving another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The authority that signed it.
    pub authority: Certificate,
    /// The end of its validity.
    pub not_after: OffsetDateTime,
}

/// Whether a certificate may be served yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// At once.
    Now,
    /// Not before API servers trust its authority, in about this time.
    In(Duration),
}

/// What the Secret needs now.
#[must_use]
pub fn next(state: &State, policy: &Policy, now: OffsetDateTime) -> Action {
    let State { authority, bundle, leaf } = state;
    let Ok(authority) = authority else { return Action::NewAuthority(Why::Unusable) };
    let made = authority.certificate().validity();
    if made.ending(now) {
        return Action::NewAuthority(Why::Ending);
    }
    match leaf {
        Err(_) => return Action::NewLeaf(Why::Unusable),
        Ok(leaf) if leaf.validity().ending(now) => return Action::NewLeaf(Why::Ending),
        Ok(_) => {}
    }
    if bundle.has_retired() && now >= made.not_before + policy.backdate + policy.overlap {
        return Action::Retire;
    }
    Action::Keep
}

/// Whether `candidate` may replace what is `served`. `trusted` is for how long its authority has been seen in every
/// `caBundle` of ours.
#[must_use]
pub fn publish(
    served: Option<&Served>,
    candidate: &Served,
    trusted: Option<Duration>,
    policy: &Policy,
    now: OffsetDateTime,
) -> Publish {
    match served {
        Some(served) if served.not_after >= now && served.authority != candidate.authority => {
            match policy.settle.saturating_sub(trusted.unwrap_or_default()) {
                Duration::ZERO => Publish::Now,
                rest => Publish::In(rest),
            }
        }
        // Nothing that anybody could still trust is lost.
        Some(_) | None => Publish::Now,
    }
}

#[cfg(test)]
mod tests;
