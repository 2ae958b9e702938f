//! Follows all objects of one kind: a list, and from there on every change, for as long as the process runs.
//!
//! kube's watcher does the same for whole objects. Here the objects are narrow, because a service account with its
//! `managedFields` costs fifty times what is kept of it; the list is never older than one seen before, so that an API server
//! that lags behind the others cannot bring back yesterday's identities; one that does not stream lists is asked for
//! pages; and every sign of life is passed on, because how far memory is trusted depends on them.

use super::object::{Object, Page};
use futures_util::{AsyncReadExt as _, Stream, TryStreamExt as _};
use kube::{
    Client, Error,
    api::{ListParams, WatchEvent, WatchParams},
    core::Request,
};
use podbadge_runtime::backoff::Backoff;
use serde::de::DeserializeOwned;
use std::{
    hash::{BuildHasher as _, RandomState},
    pin::{Pin, pin},
    time::Duration,
};
use tokio::time;

/// Objects a page, where lists come in pages.
const PAGE: u32 = 500;

/// The longest page that is taken, in bytes: pages of usual service accounts have one MiB. An object alone may have more than
/// one, by annotations that whoever may write it chooses, so where a page is longer it is asked for in parts.
const LONGEST_PAGE: u64 = 8 * 1024 * 1024;

/// How long the API server lets one watch run, in seconds. Each end is a sign of life; a connection that died in silence
/// is noticed soon after.
const WATCH: u32 = 60;

/// How much later than promised a watch may end.
const GRACE: Duration = Duration::from_secs(5);

/// How long the API server may think about a page, or about a watch until that begins.
const ANSWER: Duration = Duration::from_secs(10);

/// Between tries. The first is quick: a restarted API server is back within seconds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));

/// The annotation of the bookmark that ends a streamed list
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>).
const LIST_ENDS: &str = "k8s.io/initial-events-end";

/// What is watched, and in which form it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its name in logs and metrics.
    pub(super) name: &'static str,
    /// The path of the list of all namespaces.
    pub(super) path: &'static str,
    /// Whether anything but metadata is read.
    pub(super) spec: bool,
}

/// Who is told of the objects.
pub(super) trait Target {
    /// What is read of `spec`.
    type Spec: Clone + Default + Send + DeserializeOwned + 'static;

    /// A list begins: what it does not name is gone when it ends. It may begin again at any time.
    fn begin(&mut self);
    /// An object of the list.
    fn listed(&mut self, object: &Object<Self::Spec>);
    /// The list is whole.
    fn complete(&mut self);
    /// An object is new or was changed.
    fn changed(&mut self, object: &Object<Self::Spec>);
    /// An object is gone.
    fn deleted(&mut self, object: &Object<Self::Spec>);
    /// The watch runs, or goes on after a gap without having missed anything.
    fn connected(&mut self);
    /// No watch runs, until told otherwise.
    fn interrupted(&mut self);
}

/// Why a watch has to be begun anew.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// What happened since is forgotten there: everything has to be listed again.
    #[error("the API server no longer knows what was seen last; listing again")]
    Expired,
    /// Nothing came back.
    #[error("the API server did not answer within {} s", ANSWER.as_secs())]
    Silent,
    /// The list ended early.
    #[error("the list ended before it was whole")]
    Cut,
    /// The API server answers without saying from where to go on.
    #[error("the API server names no resourceVersion")]
    NoVersion,
    /// The API server said no, or nothing.
    #[error("{}", crate::lookup::told(.0))]
    Failed(#[from] Box<Error>),
}

/// What a watch tells.
trait Events<S>: Stream<Item = Result<WatchEvent<Object<S>>, Error>> {}

impl<S, E: Stream<Item = Result<WatchEvent<Object<S>>, Error>>> Events<S> for E {}

/// Where the watch is.
struct Follower<T> {
    client: Client,
    kind: Kind,
    target: T,
    /// What was seen last; `None` before the first list and after it was forgotten.
    version: Option<String>,
    /// Whether the API server streams lists, as far as is known.
    streams: bool,
}

/// Follows the kind. Errors are logged and followed by another try, with growing pauses; it ends only when dropped.
pub(super) async fn follow<T: Target>(client: Client, kind: Kind, target: T) {
    let mut follower = Follower { client, kind, target, version: None, streams: true };
    let mut failures = 0_u32;
    loop {
        let began = time::Instant::now();
        let Err(error) = follower.round().await else {
            failures = 0;
            continue;
        };
        follower.target.interrupted();
        tracing::warn!(kind = kind.name, %error, "Watch interrupted, trying again");
        // One that ran for long was no failure of the tries before.
        failures = if began.elapsed() > GRACE { 1 } else { failures.saturating_add(1) };
        time::sleep(BACKOFF.delay(failures, jitter())).await;
    }
}

// === impl Follower ===

impl<T: Target> Follower<T> {
    /// One list, or one watch, to its end.
    async fn round(&mut self) -> Result<(), Broken> {
        self.target.interrupted();
        let result = match self.version.clone() {
            Some(version) => self.watch(&version).await,
            None if self.streams => self.stream().await,
            None => self.pages().await,
        };
        if matches!(result, Err(Broken::Expired)) {
            self.version = None;
        }
        result
    }

    /// Lists in pages, as all API servers can.
    async fn pages(&mut self) -> Result<(), Broken> {
        self.target.begin();
        let mut next = ListParams::default().limit(PAGE);
        loop {
            let page = time::timeout(ANSWER, self.page(&next)).await.map_err(|_| Broken::Silent)?;
            let size = next.limit.unwrap_or(PAGE);
            let Some(page) = page.map_err(broken)? else {
                next.limit = Some((size / 8).max(1));
                continue;
            };
            next.limit = Some(size.saturating_mul(2).min(PAGE));
            page.items.iter().for_each(|object| self.target.listed(object));
            if !page.metadata.next.is_empty() {
                next = next.continue_token(&page.metadata.next);
                continue;
            }
            if page.metadata.resource_version.is_empty() {
                return Err(Broken::NoVersion);
            }
            self.listed(page.metadata.resource_version);
            return Ok(());
        }
    }

    /// One page; `None` where it is too long. One of a single object is taken as it is.
    async fn page(&self, parameters: &ListParams) -> Result<Option<Page<Object<T::Spec>>>, Error> {
        let request = Request::new(self.kind.path);
        let request = if self.kind.spec { request.list(parameters) } else { request.list_metadata(parameters) };
        let answer = pin!(self.client.request_stream(request.map_err(Error::BuildRequest)?).await?);
        let most = if parameters.limit == Some(1) { u64::MAX } else { LONGEST_PAGE };
        let mut text = Vec::new();
        let mut answer = answer.take(most);
        answer.read_to_end(&mut text).await.map_err(Error::ReadEvents)?;
        if answer.limit() == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).map_err(Error::SerdeError)
    }

    /// Lists by a watch that begins with all there is, and goes on with it.
    async fn stream(&mut self) -> Result<(), Broken> {
        // Without a version, what comes is at least as new as the request.
        match self.events(WatchParams::streaming_lists(), "").await {
            Ok(events) => {
                self.target.begin();
                let handled = self.handle(pin!(events)).await;
                // One that has never heard of streamed lists sends no end.
                self.streams = self.version.is_some() || handled.is_err();
                if self.streams { handled } else { Err(Broken::Cut) }
            }
            Err(Broken::Failed(error)) if cannot_stream(&error) => {
                tracing::debug!(kind = self.kind.name, "This API server lists in pages");
                self.streams = false;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on from what was seen last.
    async fn watch(&mut self, version: &str) -> Result<(), Broken> {
        let events = self.events(WatchParams::default(), version).await?;
        self.target.connected();
        self.handle(pin!(events)).await
    }

    async fn events(&self, parameters: WatchParams, version: &str) -> Result<impl Events<T::Spec> + use<T>, Broken> {
        let parameters = parameters.timeout(WATCH);
        let request = Request::new(self.kind.path);
        let request = if self.kind.spec {
            request.watch(&parameters, version)
        } else {
            request.watch_metadata(&parameters, version)
        };
        let request = request.map_err(|error| Box::new(Error::BuildRequest(error)))?;
        let begun = time::timeout(ANSWER, self.client.request_events(request)).await;
        begun.map_err(|_| Broken::Silent)?.map_err(broken)
    }

    /// Takes in events until they end, or stay away for longer than was promised.
    async fn handle(&mut self, mut events: Pin<&mut impl Events<T::Spec>>) -> Result<(), Broken> {
        let silence = Duration::from_secs(WATCH.into()) + GRACE;
        loop {
            let Ok(event) = time::timeout(silence, events.try_next()).await else {
                return Ok(());
            };
            let Some(event) = event.map_err(broken)? else {
                return Ok(());
            };
            self.take_in(event)?;
        }
    }

    fn take_in(&mut self, event: WatchEvent<Object<T::Spec>>) -> Result<(), Broken> {
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                match self.version {
                    Some(_) => self.target.changed(&object),
                    None => self.target.listed(&object),
                }
                object.metadata.resource_version.into_string()
            }
            WatchEvent::Deleted(object) => {
                self.target.deleted(&object);
                object.metadata.resource_version.into_string()
            }
            WatchEvent::Bookmark(bookmark) => {
                let version = bookmark.metadata.resource_version;
                if self.version.is_none() && bookmark.metadata.annotations.contains_key(LIST_ENDS) {
                    self.listed(version);
                    return Ok(());
                }
                version
            }
            WatchEvent::Error(status) => return Err(broken(Error::Api(status))),
        };
        // Until a list is whole there is nothing to go on from.
        if let Some(seen) = &mut self.version {
            *seen = Some(version).filter(|version| !version.is_empty()).ok_or(Broken::NoVersion)?;
        }
        Ok(())
    }

    fn listed(&mut self, version: String) {
        self.version = Some(version);
        self.target.complete();
        self.target.connected();
        tracing::info!(kind = self.kind.name, "Listed");
    }
}

fn broken(error: Error) -> Broken {
    match error {
        // Gone: from where to go on, or a page of an old list.
        Error::Api(status) if status.code == 410 => Broken::Expired,
        error => Broken::Failed(Box::new(error)),
    }
}

/// Whether the API server refuses the request for what it is: without the feature gate `WatchList`, the default of some
/// releases, that is 422.
fn cannot_stream(error: &Error) -> bool {
    matches!(error, Error::Api(status) if matches!(status.code, 400 | 422))
}

/// A random sample from 0 to 1.
fn jitter() -> f64 {
    // Every state is seeded anew; 32 of its bits are plenty.
    f64::from((RandomState::new().hash_one(()) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
