mod outage;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use podbadge_runtime::metrics::registry;
use podbadge_sidecar_core::freshness::{Lifetime, Upkeep};
use podbadge_sidecar_core::secret::Secret;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// An authority that takes two seconds and then does what the script says: a token of one hour where it says nothing.
/// The tokens are numbered from 1.
struct Mock {
    calls: AtomicUsize,
    script: Mutex<VecDeque<Failure>>,
    down: Mutex<Option<Failure>>,
    hangs: Mutex<Option<Duration>>,
    lasts: Mutex<Duration>,
    clock: Clock,
}

impl Mock {
    const LATENCY: Duration = Duration::from_secs(2);

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn next_fails(&self, failure: Failure) {
        self.script.lock().unwrap().push_back(failure);
    }

    fn hangs(&self, latency: Duration) {
        *self.hangs.lock().unwrap() = Some(latency);
    }

    fn goes_down(&self, failure: Option<Failure>) {
        *self.down.lock().unwrap() = failure;
    }
}

impl Exchange for Arc<Mock> {
    async fn exchange(&self, _: &Key) -> Result<AccessToken, Failure> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let issued = self.clock.now();
        let latency = self.hangs.lock().unwrap().take().unwrap_or(Mock::LATENCY);
        sleep(latency).await;
        let scripted = self.script.lock().unwrap().pop_front();
        match scripted.or_else(|| self.down.lock().unwrap().clone()) {
            Some(failure) => Err(failure),
            None => Ok(AccessToken {
                secret: Secret::new(format!("token {call}")),
                lifetime: Lifetime::new(issued, *self.lasts.lock().unwrap(), Upkeep::default()),
            }),
        }
    }
}

fn broker(capacity: usize) -> (Arc<Mock>, Arc<Broker<Arc<Mock>>>) {
    let clock = Clock::from_runtime();
    let mock = Arc::new(Mock {
        calls: AtomicUsize::default(),
        script: Mutex::default(),
        down: Mutex::default(),
        hangs: Mutex::default(),
        lasts: Mutex::new(HOUR),
        clock: clock.clone(),
    });
    let metrics = Metrics::new(&mut registry("test", "0"));
    let broker = Broker::with_capacity(Arc::clone(&mock), clock, metrics, capacity);
    (mock, Arc::new(broker))
}

fn key(scope: &str) -> Key {
    Key {
        client_id: "11111111-2222-3333-4444-555555555555".parse().unwrap(),
        tenant: Arc::new("contoso.onmicrosoft.com".parse().unwrap()),
        scope: scope.into(),
        challenge: None,
    }
}

fn unavailable() -> Failure {
    Failure::Unavailable { description: "down".to_owned(), retry_after: None, may_pass: true }
}

async fn asked(broker: &Broker<Arc<Mock>>, renewal: &Renewal) -> Result<String, &'static str> {
    let outcome = broker.token(&key("s"), renewal).await;
    outcome.map(|token| token.secret.expose().to_owned()).map_err(|failed| failed.failure.as_str())
}

async fn token(broker: &Broker<Arc<Mock>>) -> Result<String, &'static str> {
    asked(broker, &Renewal::None).await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_are_one_exchange() {
    let (mock, broker) = broker(4);
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let broker = Arc::clone(&broker);
        callers.spawn(async move { token(&broker).await });
    }
    let answers = callers.join_all().await;
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|answer| answer.as_deref() == Ok("token 1")));
    assert_eq!(mock.calls(), 1);
    // One failure is shared as well.
    mock.goes_down(Some(unavailable()));
    advance(2 * HOUR).await;
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let broker = Arc::clone(&broker);
        callers.spawn(async move { token(&broker).await });
    }
    assert!(callers.join_all().await.iter().all(|answer| *answer == Err("unavailable")));
    assert_eq!(mock.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn different_keys_do_not_wait_for_each_other() {
    let (mock, broker) = broker(4);
    let start = Instant::now();
    let (one, two) = (key("one"), key("two"));
    let (one, two) = tokio::join!(broker.token(&one, &Renewal::None), broker.token(&two, &Renewal::None));
    assert_ne!(one.unwrap().secret.expose(), two.unwrap().secret.expose());
    assert_eq!((mock.calls(), start.elapsed()), (2, Mock::LATENCY));
}

#[tokio::test(start_paused = true)]
async fn a_flight_survives_its_caller() {
    let (mock, broker) = broker(4);
    let caller = Arc::clone(&broker);
    let caller = tokio::spawn(async move { token(&caller).await });
    // Half of the exchange's time.
    sleep(SECOND).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let start = Instant::now();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!((mock.calls(), start.elapsed()), (1, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_while_it_is_served() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    // Not yet half of its hour.
    advance(29 * MINUTE).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!(mock.calls(), 1);
    advance(2 * MINUTE).await;
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits");
    sleep(Mock::LATENCY + SECOND).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    assert_eq!(mock.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_token_is_handed_out_only_for_want_of_a_better() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    advance(56 * MINUTE).await;
    mock.next_fails(unavailable());
    let start = Instant::now();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!(start.elapsed(), Mock::LATENCY, "a better one was tried for");
    // During the hold nobody waits.
    let start = Instant::now();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(SECOND).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 3"));
}

/// The valid token is there, so nobody waits for an authority that hangs.
#[tokio::test(start_paused = true)]
async fn a_better_token_is_not_waited_for_for_long() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    advance(56 * MINUTE).await;
    mock.hangs(MINUTE / 4);
    let start = Instant::now();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!(start.elapsed(), PATIENCE);
    // Who wants a new one does.
    assert_eq!(asked(&broker, &Renewal::Bypass).await.as_deref(), Ok("token 2"));
    assert_eq!((start.elapsed(), mock.calls()), (MINUTE / 4, 2));
    // One that ends meanwhile is of no use.
    advance(HOUR - MINUTE / 4 - SECOND).await;
    mock.hangs(9 * SECOND);
    assert_eq!(token(&broker).await, Err("unavailable"));
}

#[tokio::test(start_paused = true)]
async fn a_flush_has_every_token_replaced_and_loses_none() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    broker.flush();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    mock.goes_down(Some(unavailable()));
    broker.flush();
    let start = Instant::now();
    while start.elapsed() < 50 * MINUTE {
        assert_eq!(token(&broker).await.as_deref(), Ok("token 2"), "after {:?}", start.elapsed());
        sleep(10 * SECOND).await;
    }
    mock.goes_down(None);
    // A failure is forgotten as well.
    broker.flush();
    assert_ne!(token(&broker).await.as_deref(), Ok("token 2"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_repeated_for_a_while_and_then_tried_again() {
    let (mock, broker) = broker(4);
    mock.next_fails(unavailable());
    assert_eq!(token(&broker).await, Err("unavailable"));
    for _ in 0..100 {
        let failed = broker.token(&key("s"), &Renewal::None).await.unwrap_err();
        assert!(failed.wait <= SECOND && !failed.wait.is_zero(), "{:?}", failed.wait);
    }
    assert_eq!(mock.calls(), 1);
    // The first hold is a second at most.
    advance(SECOND).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_asks_for_patience_gets_it() {
    let (mock, broker) = broker(4);
    mock.next_fails(Failure::Throttled { retry_after: Some(MINUTE / 2) });
    assert_eq!(token(&broker).await, Err("throttled"));
    advance(29 * SECOND).await;
    assert_eq!(token(&broker).await, Err("throttled"));
    assert_eq!(mock.calls(), 1);
    advance(SECOND).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    // Not for as long as it likes.
    mock.next_fails(Failure::Throttled { retry_after: Some(HOUR) });
    advance(2 * HOUR).await;
    assert_eq!(token(&broker).await, Err("throttled"));
    advance(MINUTE).await;
    assert_eq!(token(&broker).await.as_deref(), Ok("token 4"));
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_looked_at_every_time() {
    let (mock, broker) = broker(4);
    let missing = Failure::Assertion { description: "missing".to_owned(), may_pass: true };
    mock.next_fails(missing.clone());
    mock.next_fails(missing);
    assert_eq!(token(&broker).await, Err("assertion"));
    assert_eq!(token(&broker).await, Err("assertion"));
    assert_eq!(token(&broker).await.as_deref(), Ok("token 3"));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_ask_for_a_new_token() {
    let (mock, broker) = broker(4);
    assert_eq!(asked(&broker, &Renewal::Bypass).await.as_deref(), Ok("token 1"));
    assert_eq!(asked(&broker, &Renewal::Bypass).await.as_deref(), Ok("token 2"));
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    mock.next_fails(unavailable());
    assert_eq!(asked(&broker, &Renewal::Bypass).await.as_deref(), Ok("token 2"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_handed_out_again() {
    let (mock, broker) = broker(4);
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    let of = |token: &str| {
        let hash = digest(&SHA256, token.as_bytes());
        Renewal::Replace(hash.as_ref().try_into().unwrap())
    };
    // Another token's hash: the one in the cache will do.
    assert_eq!(asked(&broker, &of("token 9")).await.as_deref(), Ok("token 1"));
    mock.next_fails(unavailable());
    assert_eq!(asked(&broker, &of("token 1")).await, Err("unavailable"));
    assert_eq!(asked(&broker, &of("token 1")).await, Err("unavailable"), "not during the hold either");
    advance(SECOND).await;
    assert_eq!(asked(&broker, &of("token 1")).await.as_deref(), Ok("token 3"));
    assert_eq!(asked(&broker, &of("token 1")).await.as_deref(), Ok("token 3"));
}

#[tokio::test(start_paused = true)]
async fn a_challenged_token_takes_the_place_of_the_refused_one() {
    let (mock, broker) = broker(4);
    let challenged = Key { challenge: Some("{\"access_token\":{}}".parse().unwrap()), ..key("s") };
    let challenged = async || broker.token(&challenged, &Renewal::None).await.unwrap().secret.expose().to_owned();
    assert_eq!(token(&broker).await.as_deref(), Ok("token 1"));
    assert_eq!(challenged().await, "token 2");
    // The same challenge again is met already, and nobody else is given what the resource refuses.
    assert_eq!(challenged().await, "token 2");
    assert_eq!(token(&broker).await.as_deref(), Ok("token 2"));
    mock.next_fails(unavailable());
    let other = Key { challenge: Some("{}".parse().unwrap()), ..key("s") };
    assert_eq!(broker.token(&other, &Renewal::None).await.unwrap_err().failure.as_str(), "unavailable");
    assert_eq!((token(&broker).await.as_deref(), mock.calls()), (Ok("token 2"), 3));
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded() {
    let (mock, broker) = broker(2);
    for scope in ["a", "b", "c"] {
        broker.token(&key(scope), &Renewal::None).await.unwrap();
        advance(SECOND).await;
    }
    assert_eq!(broker.0.cache().len(), 2);
    // The one used least recently went.
    broker.token(&key("b"), &Renewal::None).await.unwrap();
    assert_eq!(mock.calls(), 3);
    broker.token(&key("a"), &Renewal::None).await.unwrap();
    assert_eq!(mock.calls(), 4);
    // Exchanges on their way are not forgotten for another.
    let (d, e, f) = (key("d"), key("e"), key("f"));
    let (d, e, f) = tokio::join!(
        biased;
        broker.token(&d, &Renewal::None),
        broker.token(&e, &Renewal::None),
        broker.token(&f, &Renewal::None),
    );
    assert!(d.is_ok() && e.is_ok());
    assert_eq!(f.unwrap_err().failure.as_str(), "unavailable");
}

/// Panics at its first call.
struct Broken(AtomicUsize, Clock);

impl Exchange for Broken {
    async fn exchange(&self, _: &Key) -> Result<AccessToken, Failure> {
        let call = self.0.fetch_add(1, Ordering::SeqCst);
        assert_ne!(call, 0, "the first call is broken");
        Ok(AccessToken {
            secret: Secret::new("t".to_owned()),
            lifetime: Lifetime::new(self.1.now(), HOUR, Upkeep::default()),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_exchange_does_not_lock_the_key() {
    let clock = Clock::from_runtime();
    let metrics = Metrics::new(&mut registry("test", "0"));
    let broker = Broker::new(Broken(AtomicUsize::default(), clock.clone()), clock, metrics);
    assert_eq!(broker.token(&key("s"), &Renewal::None).await.unwrap_err().failure.as_str(), "unavailable");
    assert!(broker.token(&key("s"), &Renewal::None).await.is_ok());
}
