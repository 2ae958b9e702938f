//! Hands out tokens: from the cache while they are fresh, from Entra ID when they must be, and for any number of callers
//! one exchange at a time per key.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use podbadge_runtime::backoff::Backoff;
use podbadge_sidecar_core::error::Failure;
use podbadge_sidecar_core::freshness::{Demand, Freshness, Move, decide};
use podbadge_sidecar_core::request::Renewal;
use podbadge_sidecar_core::response::AccessToken;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::cache::{Cache, Entry, Failed, Flight, Full, Hold, Key, Outcome};
use crate::chance::jitter;
use crate::clock::Clock;
use crate::metrics::{Held, Metrics};

/// Far more than one pod asks for; at two kilobytes a token it bounds the memory.
const CAPACITY: usize = 256;
/// A mended federated credential is to be seen soon, a broken authority is not to be flooded.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(15));
/// However long the authority asks for patience; its own examples say a minute.
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// How long somebody waits for a better token than the valid one at hand. An authority that answers does so sooner.
const PATIENCE: Duration = Duration::from_secs(3);

/// Gets one new token.
pub(crate) trait Exchange: Send + Sync + 'static {
    /// Ends within a time of its own, with a token or the reason why not.
    fn exchange(&self, key: &Key) -> impl Future<Output = Result<AccessToken, Failure>> + Send;
}

/// Clones share it.
pub(crate) struct Broker<E>(Arc<Inner<E>>);

struct Inner<E> {
    exchange: E,
    cache: Mutex<Cache>,
    clock: Clock,
    metrics: Metrics,
}

// === impl Broker ===

impl<E> Clone for Broker<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Exchange> Broker<E> {
    pub(crate) fn new(exchange: E, clock: Clock, metrics: Metrics) -> Self {
        Self::with_capacity(exchange, clock, metrics, CAPACITY)
    }

    fn with_capacity(exchange: E, clock: Clock, metrics: Metrics, capacity: usize) -> Self {
        let cache = Mutex::new(Cache::new(capacity));
        Self(Arc::new(Inner { exchange, cache, clock, metrics }))
    }

    /// A valid token for `key`, which its caller may hand out at once.
    pub(crate) async fn token(&self, key: &Key, renewal: &Renewal) -> Outcome {
        let (mut flight, second_choice) = {
            let mut cache = self.0.cache();
            let now = self.0.clock.now();
            let entry = cache.entry(key, now).map_err(|Full| full())?;
            let (token, held) = (entry.token.clone(), entry.held(Instant::now()));
            let demand = demand(entry, renewal);
            let lifetime = token.as_ref().map(|token| token.lifetime);
            let chosen = decide(lifetime, demand, held.is_some(), now);
            self.0.metrics.looked_up(matches!(chosen, Move::Serve | Move::ServeAndRenew));
            match (chosen, token, held) {
                (Move::Serve, Some(token), _) => return Ok(token),
                (Move::ServeAndRenew, Some(token), _) => {
                    self.join(entry, key);
                    return Ok(token);
                }
                (Move::Fail, _, Some(failed)) => return Err(failed),
                (Move::Renew { or_serve: true }, token, _) => (self.join(entry, key), token),
                _ => (self.join(entry, key), None),
            }
        };
        let Some(token) = second_choice else {
            return landed(&mut flight).await;
        };
        // Who asked for a new one has the time.
        let outcome = if *renewal == Renewal::Bypass {
            landed(&mut flight).await
        } else {
            timeout(PATIENCE, landed(&mut flight)).await.unwrap_or_else(|_| Err(late()))
        };
        // The wait may have outlasted the token.
        let valid = token.lifetime.freshness(self.0.clock.now()) != Freshness::Expired;
        match outcome {
            Err(_) if valid => Ok(token),
            outcome => outcome,
        }
    }

    /// What is held of valid tokens now.
    pub(crate) fn held(&self) -> Held {
        self.0.cache().held(self.0.clock.now())
    }

    /// Has every token replaced at its next use, and forgets what failed. No token is lost: while another one cannot be had,
    /// each is served on.
    pub(crate) fn flush(&self) {
        let tokens = self.0.cache().outdate(self.0.clock.now());
        info!(tokens, "Every token is to be replaced");
    }

    /// The exchange on its way for `key`, or a new one. It is a task of its own: callers come and go, it stays.
    fn join(&self, entry: &mut Entry, key: &Key) -> Flight {
        if let Some(flight) = entry.flying() {
            return flight.clone();
        }
        let (told, flight) = watch::channel(None);
        entry.flight = Some(flight.clone());
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        tokio::spawn(async move {
            let outcome = inner.fly(&key).await;
            told.send_replace(Some(outcome));
        });
        flight
    }
}

// === impl Inner ===

impl<E: Exchange> Inner<E> {
    async fn fly(&self, key: &Key) -> Outcome {
        let result = self.exchange.exchange(key).await;
        let mut cache = self.cache();
        // An entry with a flight is not forgotten, so it is there.
        let Some(entry) = cache.landed(key) else {
            return result.map(Arc::new).map_err(|failure| told_once(Arc::new(failure)));
        };
        entry.flight = None;
        match result {
            Ok(token) => {
                report_success(key, &token, entry.failures);
                (entry.failures, entry.hold) = (0, None);
                let token = Arc::new(token);
                entry.token = Some(Arc::clone(&token));
                // Whoever asks without the claims would be sent back for them.
                let plain = Key { challenge: None, ..key.clone() };
                if let Some(entry) = key.challenge.as_ref().and_then(|_| cache.landed(&plain)) {
                    entry.token = Some(Arc::clone(&token));
                }
                Ok(token)
            }
            Err(failure) => {
                // Another kind of failure is news, and not what the authority was left alone for.
                let again = entry.hold.as_ref().is_some_and(|hold| hold.failure.as_str() == failure.as_str());
                entry.failures = if again { entry.failures.saturating_add(1) } else { 1 };
                report_failure(key, &failure, entry.failures);
                let wait = hold(&failure, entry.failures, jitter());
                let failure = Arc::new(failure);
                entry.hold = Some(Hold { until: Instant::now() + wait, failure: Arc::clone(&failure) });
                Err(Failed { failure, wait })
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // No step leaves an entry half changed, so a panic elsewhere does not spoil it.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn landed(flight: &mut Flight) -> Outcome {
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(lost())),
        Err(_) => Err(lost()),
    }
}

// === rules ===

/// What the client's wish means for the token at hand: one refused by the resource must not be handed out again, any
/// other will do.
fn demand(entry: &Entry, renewal: &Renewal) -> Demand {
    match (renewal, &entry.token) {
        (Renewal::None, _) => Demand::Cached,
        (Renewal::Bypass, _) => Demand::New,
        (Renewal::Replace(refused), Some(token)) => {
            let same = digest(&SHA256, token.secret.expose().as_bytes()).as_ref() == refused;
            if same { Demand::Other } else { Demand::Cached }
        }
        (Renewal::Replace(_), None) => Demand::Cached,
    }
}

/// How long to leave the authority alone. A token file costs nothing to read again, and the kubelet may have mended it.
fn hold(failure: &Failure, failures: u32, jitter: f64) -> Duration {
    match failure {
        Failure::Assertion { .. } => Duration::ZERO,
        _ => {
            let asked = failure.retry_after().unwrap_or_default().min(LONGEST_HOLD);
            BACKOFF.delay(failures, jitter).max(asked)
        }
    }
}

fn full() -> Failed {
    let description = "more different tokens are being asked for at once than the sidecar holds".to_owned();
    told_once(Arc::new(Failure::Unavailable { description, retry_after: None, may_pass: true }))
}

fn late() -> Failed {
    let description = "the exchange with Entra ID takes longer than the token at hand is valid".to_owned();
    told_once(Arc::new(Failure::Unavailable { description, retry_after: None, may_pass: true }))
}

fn lost() -> Failed {
    let description = "the exchange with Entra ID ended without a result".to_owned();
    told_once(Arc::new(Failure::Unavailable { description, retry_after: None, may_pass: true }))
}

fn told_once(failure: Arc<Failure>) -> Failed {
    Failed { failure, wait: Duration::ZERO }
}

fn report_success(key: &Key, token: &AccessToken, failures: u32) {
    let Key { client_id, tenant, scope, .. } = key;
    let expires = token.lifetime.expiry();
    if failures > 0 {
        info!(%client_id, %tenant, scope, %expires, failures, "Got a token again");
    } else {
        info!(%client_id, %tenant, scope, %expires, "Got a token");
    }
}

/// The first few of a row are for people, the rest for those who look closer.
fn report_failure(key: &Key, failure: &Failure, failures: u32) {
    let (Key { client_id, tenant, scope, .. }, kind) = (key, failure.as_str());
    if failures <= 3 {
        warn!(%client_id, %tenant, scope, kind, failures, error = %failure, "Cannot get a token");
    } else {
        debug!(%client_id, %tenant, scope, kind, failures, error = %failure, "Cannot get a token");
    }
}

#[cfg(test)]
mod tests;
