//! Tokens by what they were asked for, with the exchanges that are on their way. Bounded, and without time or I/O of its
//! own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use podbadge_sidecar_core::challenge::Challenge;
use podbadge_sidecar_core::error::Failure;
use podbadge_sidecar_core::freshness::{Freshness, Lifetime, UnixTime};
use podbadge_sidecar_core::ids::{ClientId, TenantId};
use podbadge_sidecar_core::response::AccessToken;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::Held;

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) client_id: ClientId,
    pub(crate) tenant: Arc<TenantId>,
    pub(crate) scope: Box<str>,
    /// A token without these claims is of no use to who wants them.
    pub(crate) challenge: Option<Challenge>,
}

/// A failure, and how long the authority is left alone because of it.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Arc<Failure>,
    pub(crate) wait: Duration,
}

/// How an exchange ended.
pub(crate) type Outcome = Result<Arc<AccessToken>, Failed>;

/// An exchange that is on its way; its end is told once.
pub(crate) type Flight = watch::Receiver<Option<Outcome>>;

/// All that is known about one key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) token: Option<Arc<AccessToken>>,
    pub(crate) flight: Option<Flight>,
    /// Of one kind in a row.
    pub(crate) failures: u32,
    pub(crate) hold: Option<Hold>,
    used: Instant,
}

/// The last failure, while it is too recent to ask again.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) until: Instant,
    pub(crate) failure: Arc<Failure>,
}

/// There is no room and nothing that could be forgotten.
#[derive(Debug)]
pub(crate) struct Full;

#[derive(Debug)]
pub(crate) struct Cache {
    entries: HashMap<Key, Entry>,
    capacity: usize,
}

// === impl Cache ===

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity }
    }

    /// The entry of a key that is being asked for. Where there is no room for a new one, an entry without a valid token
    /// goes first, else the one that was used least recently; never one whose exchange is on its way.
    pub(crate) fn entry(&mut self, key: &Key, now: UnixTime) -> Result<&mut Entry, Full> {
        if !self.entries.contains_key(key) && self.entries.len() >= self.capacity {
            let landed = self.entries.iter().filter(|(_, entry)| !entry.is_flying());
            let oldest = landed.min_by_key(|(_, entry)| (entry.is_valid(now), entry.used)).map(|(key, _)| key.clone());
            self.entries.remove(&oldest.ok_or(Full)?);
        }
        let used = Instant::now();
        if !self.entries.contains_key(key) {
            let entry = Entry { token: None, flight: None, failures: 0, hold: None, used };
            self.entries.insert(key.clone(), entry);
        }
        let entry = self.entries.get_mut(key).ok_or(Full)?;
        entry.used = used;
        Ok(entry)
    }

    /// The entry of a key whose exchange has ended.
    pub(crate) fn landed(&mut self, key: &Key) -> Option<&mut Entry> {
        self.entries.get_mut(key)
    }

    /// Makes every token short from `now` on and forgets the failures; says how many tokens that are.
    pub(crate) fn outdate(&mut self, now: UnixTime) -> usize {
        let mut tokens = 0;
        for entry in self.entries.values_mut() {
            (entry.failures, entry.hold) = (0, None);
            if let Some(token) = &mut entry.token {
                let lifetime = token.lifetime.outdated(now);
                *token = Arc::new(AccessToken { secret: token.secret.clone(), lifetime });
                tokens += 1;
            }
        }
        tokens
    }

    /// What is held of valid tokens.
    pub(crate) fn held(&self, now: UnixTime) -> Held {
        let valid = self.entries.values().filter(|entry| entry.is_valid(now));
        let mut times = valid.filter_map(|entry| entry.token.as_ref()).map(|token| token.lifetime);
        let of = |token: Lifetime| Held { tokens: 1, age: now.since(token.issued()), left: token.expiry().since(now) };
        let first = times.next().map_or_else(Held::default, of);
        times.map(of).fold(first, |held, token| Held {
            tokens: held.tokens.saturating_add(1),
            age: held.age.max(token.age),
            left: held.left.min(token.left),
        })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

// === impl Entry ===

impl Entry {
    /// The exchange on its way. One whose task died without telling does not count.
    pub(crate) fn flying(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| flight.has_changed().is_ok())
    }

    /// What is held back until when, if it still is.
    pub(crate) fn held(&self, now: Instant) -> Option<Failed> {
        let hold = self.hold.as_ref().filter(|hold| hold.until > now)?;
        Some(Failed { failure: Arc::clone(&hold.failure), wait: hold.until - now })
    }

    fn is_flying(&self) -> bool {
        self.flying().is_some()
    }

    fn is_valid(&self, now: UnixTime) -> bool {
        self.token.as_ref().is_some_and(|token| token.lifetime.freshness(now) != Freshness::Expired)
    }
}
