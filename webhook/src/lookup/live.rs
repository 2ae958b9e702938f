//! Live reads: one at a time for each object, whoever waits for it, and its answer stands for a moment.

use super::{Unavailable, watch::Object};
use kube::{Client, Error, core::Request};
use podbadge_webhook_core::identity::{Namespace, ServiceAccount};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{self, Instant},
};

/// Live reads at the same time. A burst of pods whose service accounts are all new must not become a burst on the API
/// server.
const AT_ONCE: usize = 64;

/// The longest read, whoever waits. Beyond, another try has better chances than more patience.
const LONGEST: Duration = Duration::from_secs(1);

/// How long an answer stands, counted from its question: about as long as a watch is late. That makes ten reads a second of
/// an account whose pods come in a burst.
pub(super) const STANDS: Duration = Duration::from_millis(100);

/// Answers that are kept before the old ones are looked for.
const KEPT: usize = 128;

/// Reads service accounts and namespaces from the API server.
pub struct Live {
    client: Client,
    permits: Arc<Semaphore>,
    accounts: Flights<Option<Arc<ServiceAccount>>>,
    namespaces: Flights<Arc<Namespace>>,
}

/// Reads of one kind that are on their way, and those that have just arrived, by the path of the object.
struct Flights<T>(Mutex<HashMap<Box<str>, Flight<T>>>);

/// One read.
#[derive(Clone)]
struct Flight<T> {
    began: Instant,
    answer: watch::Receiver<Option<Answer<T>>>,
}

type Answer<T> = Result<T, Unavailable>;

// === impl Live ===

impl Live {
    /// Reads through this client.
    pub fn new(client: Client) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, permits, accounts: Flights::default(), namespaces: Flights::default() }
    }

    /// What was read of the service account a moment ago, if it has not changed since as far as is known.
    pub(super) fn recent_account(&self, namespace: &str, name: &str) -> Option<Arc<ServiceAccount>> {
        self.accounts.recent(&account_path(namespace, name)).flatten()
    }

    /// What was read of the namespace a moment ago.
    pub(super) fn recent_namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.recent(&namespace_path(name))
    }

    /// The service account; `None` where there is none. An answer that `settles` the question is taken from a read that is
    /// on its way already; any other only from one that began after the question, since the account may have been
    /// annotated in between.
    pub(super) async fn account(
        &self,
        namespace: &str,
        name: &str,
        deadline: Duration,
        settles: impl Fn(Option<&ServiceAccount>) -> bool,
    ) -> Answer<Option<Arc<ServiceAccount>>> {
        let path = account_path(namespace, name);
        let read = || {
            let read = self.read(path.clone());
            async move { Ok(read.await?.map(|object| Arc::new(object.account()))) }
        };
        self.accounts.fly(&path, deadline, read, |account| settles(account.as_deref())).await
    }

    /// The namespace, which every pod has, so a missing one says nothing.
    pub(super) async fn namespace(
        &self,
        name: &str,
        deadline: Duration,
        settles: impl Fn(&Namespace) -> bool,
    ) -> Answer<Arc<Namespace>> {
        let path = namespace_path(name);
        let read = || {
            let read = self.read(path.clone());
            async move { Ok(read.await?.map(|object| Arc::new(object.namespace())).unwrap_or_default()) }
        };
        self.namespaces.fly(&path, deadline, read, |namespace| settles(namespace)).await
    }

    /// The watch has seen a change of the service account: what was read before may be older than that.
    pub(super) fn account_changed(&self, namespace: &str, name: &str) {
        self.accounts.forget(&account_path(namespace, name));
    }

    /// The watch has seen a change of the namespace.
    pub(super) fn namespace_changed(&self, name: &str) {
        self.namespaces.forget(&namespace_path(name));
    }

    fn read(&self, path: String) -> impl Future<Output = Result<Option<Object>, Error>> + Send + use<> {
        let (client, permits) = (self.client.clone(), Arc::clone(&self.permits));
        async move {
            // The semaphore is never closed, so a permit is only waited for.
            let _permit = permits.acquire().await;
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            let request = Request::new(folder).get_metadata(name, &kube::api::GetParams::default());
            match client.request(request.map_err(Error::BuildRequest)?).await {
                Ok(object) => Ok(Some(object)),
                Err(Error::Api(status)) if status.code == 404 => Ok(None),
                Err(error) => Err(error),
            }
        }
    }
}

fn account_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
}

fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

// === impl Flights ===

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// The answer of a read that began a moment ago.
    fn recent(&self, path: &str) -> Option<T> {
        let flights = self.flights();
        let flight = flights.get(path).filter(|flight| flight.began.elapsed() < STANDS)?;
        let answer = flight.answer.borrow();
        answer.as_ref()?.as_ref().ok().cloned()
    }

    fn forget(&self, path: &str) {
        self.flights().remove(path);
    }

    /// Waits for a read of the object, which `begin` begins if none is on its way.
    async fn fly<F>(
        &self,
        path: &str,
        deadline: Duration,
        begin: impl Fn() -> F,
        settles: impl Fn(&T) -> bool,
    ) -> Answer<T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let asked = Instant::now();
        let landed = async {
            loop {
                let Flight { began, mut answer } = self.join(path, &begin);
                // Its sender is dropped without an answer only when the process ends.
                let answer = match answer.wait_for(Option::is_some).await {
                    Ok(answer) => answer.clone(),
                    Err(_) => None,
                };
                let answer = answer.unwrap_or(Err(Unavailable::Timeout(LONGEST)));
                match answer {
                    Ok(value) if began >= asked || settles(&value) => return Ok(value),
                    Err(error) if began >= asked => return Err(error),
                    _ => {}
                }
            }
        };
        time::timeout(deadline, landed).await.unwrap_or(Err(Unavailable::Timeout(deadline)))
    }

    /// The read on its way, or a new one.
    fn join<F>(&self, path: &str, begin: impl Fn() -> F) -> Flight<T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(path).filter(|flight| flight.answer.borrow().is_none()) {
            return flight.clone();
        }
        if flights.len() >= KEPT && flights.len() == flights.capacity() {
            flights.retain(|_, flight| flight.answer.borrow().is_none() || flight.began.elapsed() < STANDS);
        }
        let (landed, answer) = watch::channel(None);
        let read = begin();
        // On a task of its own: whoever asked first may give up first.
        tokio::spawn(async move {
            let answer = time::timeout(LONGEST, read).await;
            let answer = answer.map_or(Err(Unavailable::Timeout(LONGEST)), |read| {
                read.map_err(|error| Unavailable::Failed(Arc::new(error)))
            });
            landed.send_replace(Some(answer));
        });
        let flight = Flight { began: Instant::now(), answer };
        flights.insert(path.into(), flight.clone());
        flight
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Box<str>, Flight<T>>> {
        // Every change is one step, so the state of a thread that panicked is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    const DEADLINE: Duration = Duration::from_secs(1);

    /// Ten ask, nine of them while the read of the first is on its way; how often was read, and what they got.
    async fn ten(settles: impl Fn(&u32) -> bool + Copy) -> (u32, Vec<u32>) {
        let (flights, reads, land) = (Flights::default(), Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let begin = || {
            let (number, land) = (reads.fetch_add(1, Ordering::Relaxed) + 1, Arc::clone(&land));
            async move {
                land.notified().await;
                Ok(number)
            }
        };
        let landing = async {
            for _ in 0..2 {
                time::sleep(Duration::from_millis(10)).await;
                land.notify_one();
            }
        };
        let first = flights.fly("/a", DEADLINE, begin, settles);
        let others = join_all((0..9).map(|_| async {
            time::sleep(Duration::from_millis(1)).await;
            flights.fly("/a", DEADLINE, begin, settles).await
        }));
        let (first, others, ()) = tokio::join!(first, others, landing);
        let answers = [first].into_iter().chain(others).map(Result::unwrap).collect();
        (reads.load(Ordering::Relaxed), answers)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_settles_it_is_for_all_who_wait() {
        assert_eq!(ten(|_| true).await, (1, vec![1; 10]));
    }

    #[tokio::test(start_paused = true)]
    async fn any_other_is_only_for_those_who_asked_before_the_read_began() {
        assert_eq!(ten(|_| false).await, (2, [1, 2, 2, 2, 2, 2, 2, 2, 2, 2].to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stands_for_a_moment_or_until_a_change_is_seen() {
        let flights = Flights::default();
        let read = || async { Ok(1) };
        assert_eq!(flights.fly("/a", DEADLINE, read, |_| true).await.unwrap(), 1);
        assert_eq!(flights.recent("/a"), Some(1));
        time::advance(STANDS).await;
        assert_eq!(flights.recent("/a"), None);
        assert_eq!(flights.fly("/a", DEADLINE, read, |_| true).await.unwrap(), 1);
        flights.forget("/a");
        assert_eq!(flights.recent("/a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_waits_for_as_long_as_it_may() {
        let flights = Flights::<u32>::default();
        let began = Instant::now();
        let silent = || std::future::pending();
        let (short, long) = tokio::join!(
            flights.fly("/a", DEADLINE / 4, silent, |_| true),
            flights.fly("/a", 2 * DEADLINE, silent, |_| true),
        );
        assert!(matches!(short, Err(Unavailable::Timeout(waited)) if waited == DEADLINE / 4));
        assert!(matches!(long, Err(Unavailable::Timeout(LONGEST))));
        assert_eq!(began.elapsed(), LONGEST);
        assert_eq!(flights.recent("/a"), None, "a failure does not stand");
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_make_room() {
        let flights = Flights::default();
        for number in 0..10 * KEPT {
            let path = format!("/{number}");
            flights.fly(&path, DEADLINE, || async move { Ok(number) }, |_| true).await.unwrap();
            time::advance(STANDS / 10).await;
        }
        // A map that is half full of traces of what was removed may grow once more.
        assert!(flights.flights().len() <= 4 * KEPT, "{}", flights.flights().len());
    }
}
