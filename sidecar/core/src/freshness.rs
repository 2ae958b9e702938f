//! When a token is served, when it is replaced, and what an issuer's failure may change: nothing, while a valid token
//! exists.
//!
//! ```text
//! issued            refresh                        short              expiry
//!   |---- Fresh ------|----------- Due --------------|----- Short ------|-- Expired
//!     serve             serve, renew in background     renew, else serve   renew, else fail
//! ```

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Whole seconds since 1970, the resolution of every time in this protocol.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(transparent)]
pub struct UnixTime(u64);

/// The times of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    issued: UnixTime,
    refresh: UnixTime,
    short: UnixTime,
    expiry: UnixTime,
}

/// What is known about a token's replacement, besides its life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Upkeep {
    /// When to replace it, after its issue, if the authority said so.
    pub refresh_in: Option<Duration>,
    /// How old it may be while a younger one can be had: what it may do was decided at its issue.
    pub max_age: Option<Duration>,
    /// A random sample from 0 to 1 (anything outside counts as the nearer end), so that pods which started together do not
    /// come back together.
    pub jitter: f64,
}

/// How good a token still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Served as it is.
    Fresh,
    /// Served, and worth replacing.
    Due,
    /// Served only if nothing better can be had.
    Short,
    /// Never served.
    Expired,
}

/// What the caller asks besides a valid token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Any valid token.
    #[default]
    Cached,
    /// A new one if it can be had (`bypass_cache=true`).
    New,
    /// Not the one in the cache: the resource has refused it (`token_sha256_to_refresh`).
    Other,
}

/// What to do for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Hand the token out.
    Serve,
    /// Hand the token out and start an exchange that nobody waits for.
    ServeAndRenew,
    /// Wait for an exchange; `or_serve`: hand the present token out should it fail.
    Renew {
        /// Whether the present token is good enough for a second choice.
        or_serve: bool,
    },
    /// Repeat the last failure: it is too recent to ask again.
    Fail,
}

/// Decides for one request. `holding` is true while the last failure is too recent to ask the authority again.
pub fn decide(token: Option<Lifetime>, demand: Demand, holding: bool, now: UnixTime) -> Move {
    let freshness = match demand {
        Demand::Other => Freshness::Expired,
        Demand::Cached | Demand::New => token.map_or(Freshness::Expired, |token| token.freshness(now)),
    };
    match (freshness, holding) {
        (Freshness::Expired, true) => Move::Fail,
        (Freshness::Expired, false) => Move::Renew { or_serve: false },
        (_, true) => Move::Serve,
        (_, false) if demand == Demand::New => Move::Renew { or_serve: true },
        (Freshness::Fresh, false) => Move::Serve,
        (Freshness::Due, false) => Move::ServeAndRenew,
        (Freshness::Short, false) => Move::Renew { or_serve: true },
    }
}

// === impl UnixTime ===

impl UnixTime {
    /// The time this many seconds after the start of 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the start of 1970.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time from `earlier` until this one, zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// This time and `duration` more, without its fraction of a second.
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// This time less `duration`, without its fraction of a second.
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl Lifetime ===

impl Lifetime {
    /// SDKs renew a token of theirs five minutes before its end and would ask in a loop if they were given less.
    pub const MARGIN: Duration = Duration::from_secs(5 * 60);

    /// A token asked for at `issued` that `lasts` so long. It is replaced from `refresh_in` on where the authority said
    /// one, else from half of its life, so that the other half outlasts an outage; at most a tenth of its life later, by
    /// chance. A token that never had much more than [`Self::MARGIN`] is short in its last quarter only: a better one
    /// cannot be had. One that is too old is short, too.
    pub fn new(issued: UnixTime, lasts: Duration, upkeep: Upkeep) -> Self {
        let Upkeep { refresh_in, max_age, jitter } = upkeep;
        let life = max_age.unwrap_or(lasts).min(lasts);
        let expiry = issued.plus(lasts);
        let short = expiry.minus(Self::MARGIN.min(lasts / 4)).min(issued.plus(life));
        // NaN fails the comparison and counts as no jitter.
        let share = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
        let refresh = issued.plus(refresh_in.unwrap_or(life / 2) + (life / 10).mul_f64(share)).min(short);
        Self { issued, refresh, short, expiry }
    }

    /// The same token from `now` on, once it is known to be out of date: served only if nothing better can be had.
    #[must_use]
    pub fn outdated(self, now: UnixTime) -> Self {
        Self { refresh: self.refresh.min(now), short: self.short.min(now), ..self }
    }

    /// How good the token is at `now`. A clock that was set back to before the token was issued has nothing to say about
    /// its end, so the token counts as short.
    pub fn freshness(&self, now: UnixTime) -> Freshness {
        match now {
            now if now >= self.expiry => Freshness::Expired,
            now if now >= self.short || now < self.issued => Freshness::Short,
            now if now >= self.refresh => Freshness::Due,
            _ => Freshness::Fresh,
        }
    }

    /// When the token was asked for.
    pub fn issued(&self) -> UnixTime {
        self.issued
    }

    /// When the token ends.
    pub fn expiry(&self) -> UnixTime {
        self.expiry
    }
}

#[cfg(test)]
mod tests;
