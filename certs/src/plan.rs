//! What to do next, as pure functions of the state, the time and the policy.
//!
//! Two clocks are told apart: `now` is the time of day, by which certificates are valid; durations are measured by a clock
//! that never jumps, and begin when this replica saw something for itself.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{
    bundle::Bundle,
    material::{Certificate, Validity},
    policy::{Lifetime, Policy},
    state::State,
};

/// What the Secret needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// A new authority and a leaf of it; those trusted so far stay trusted beside it.
    NewAuthority(Why),
    /// A new leaf of the same authority.
    NewLeaf(Why),
    /// What this replica remembers of it, put back: it was lost before anybody served it, and yet another authority would
    /// push those out that are served.
    Restore,
    /// What `caBundle` trusts besides, taken in: see [`Bundle::adopting`].
    Adopt,
    /// The authorities that signed before are no longer to be trusted.
    Retire,
}

/// Why something is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is missing, broken, out of its time or not for us.
    Unusable,
    /// The part of its life after which it is replaced is over.
    Ending,
}

/// What is known beside the Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The state's bundle has authorities that the Secret lacks.
    pub adopted: bool,
    /// For how long every `caBundle` that admission depends on has been seen to be the state's bundle.
    pub steady: Option<Duration>,
    /// This replica remembers a usable state whose authority it does not serve yet.
    pub remembers: bool,
}

/// What is served, as far as it matters for serving another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The authority that signed it.
    pub authority: Certificate,
    /// The end of its validity, in this replica's time since its start.
    pub ends: Duration,
}

/// What every `caBundle` that admission depends on trusts, as this replica last saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// For how long the candidate's authority; `None` if it is not trusted.
    pub candidate: Option<Duration>,
    /// Whether the authority of what is served is, as far as is known.
    pub served: bool,
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
pub fn next(state: &State, view: &View, policy: &Policy, now: OffsetDateTime) -> Action {
    let State { authority, bundle, leaf } = state;
    let Ok(authority) = authority else {
        return if view.remembers { Action::Restore } else { Action::NewAuthority(Why::Unusable) };
    };
    let made = authority.certificate().validity();
    let is_ending = |validity, lifetime| now >= renewal(validity, lifetime, policy);
    if is_ending(made, policy.authority) {
        return Action::NewAuthority(Why::Ending);
    }
    match leaf {
        Err(_) => return Action::NewLeaf(Why::Unusable),
        Ok(leaf) if is_ending(leaf.validity(), policy.leaf) => return Action::NewLeaf(Why::Ending),
        Ok(_) => {}
    }
    if view.adopted {
        return Action::Adopt;
    }
    // The first is known across restarts, the second does not depend on a clock or on when an authority was made: one
    // from a backup is old, but no replica need serve it yet.
    let is_over = now >= made_at(made, policy) + policy.overlap;
    let is_followed = view.steady.is_some_and(|steady| steady >= policy.followed());
    if bundle.has_retired() && is_over && is_followed {
        return Action::Retire;
    }
    Action::Keep
}

/// Whether `candidate`, the authority of another leaf, may replace what is `served`. `uptime` is the time since this
/// replica's start.
#[must_use]
pub fn publish(
    served: Option<&Served>,
    candidate: &Certificate,
    trust: Trust,
    policy: &Policy,
    uptime: Duration,
) -> Publish {
    match served {
        // What nobody trusts any more, or has ended, is no loss; nor is nothing.
        Some(served)
            if served.ends > uptime
                && served.authority != *candidate
                && (trust.served || trust.candidate.is_none()) =>
        {
            match policy.settle.saturating_sub(trust.candidate.unwrap_or_default()) {
                Duration::ZERO => Publish::Now,
                rest => Publish::In(rest),
            }
        }
        Some(_) | None => Publish::Now,
    }
}

/// Whether a replica that serves a leaf may be asked: API servers trust its authority. `trusted` is for how long that has
/// been seen in every `caBundle` that admission depends on. Where other replicas may serve an older one, a replica that just started waits
/// like they do; where there is no older one, nobody could be asked meanwhile.
#[must_use]
pub fn ready(trusted: Option<Duration>, bundle: &Bundle, policy: &Policy) -> bool {
    trusted.is_some_and(|trusted| trusted >= policy.settle || !bundle.has_retired())
}

/// When a certificate is to be replaced. One with a shorter life than the policy gives, because the policy was another or
/// because its authority ended, in the last third of what it has.
fn renewal(validity: Validity, lifetime: Lifetime, policy: &Policy) -> OffsetDateTime {
    let made = made_at(validity, policy);
    let third: time::Duration = (validity.not_after - made) / 3;
    (made + lifetime.renewed_after).min(validity.not_after - third.min(lifetime.rest().try_into().unwrap_or(third)))
}

/// When a certificate of ours was made.
fn made_at(validity: Validity, policy: &Policy) -> OffsetDateTime {
    validity.not_before + policy.backdate
}

#[cfg(test)]
mod tests;
