//! A connection's place among those that are served at the same time.
//!
//! Whoever can reach a port can open connections and leave them idle, until there is no place for anybody else. So while all
//! places are taken, the one that has been idle for longest is given to who waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use std::time::Duration;

use tokio::{sync::Notify, time::Instant};

/// Who has been idle for less than this keeps its place: a handshake or the next request may be on its way.
pub(super) const SPARED: Duration = Duration::from_secs(1);

/// One connection's place.
pub(super) struct Seat {
    taken: Instant,
    /// Requests that are not answered yet.
    open: AtomicUsize,
    /// When the last of them was answered, in milliseconds since the place was taken.
    idle_since: AtomicU64,
    /// Whether there ever was a request.
    asked: AtomicBool,
    /// Whether it was told to leave.
    told: AtomicBool,
    leave: Notify,
}

/// A request that is not answered yet.
pub(super) struct Open(Arc<Seat>);

// === impl Seat ===

impl Seat {
    pub(super) fn take() -> Arc<Self> {
        Arc::new(Self {
            taken: Instant::now(),
            open: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            told: AtomicBool::new(false),
            leave: Notify::new(),
        })
    }

    /// A request has come; it is open until what is returned is dropped.
    pub(super) fn ask(self: &Arc<Self>) -> Open {
        self.asked.store(true, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::SeqCst);
        Open(Arc::clone(self))
    }

    /// Whether there ever was a request.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Since when it has been idle, if so for long enough to lose its place.
    fn spare(&self, now: Instant) -> Option<Instant> {
        let idle_since = self.taken + Duration::from_millis(self.idle_since.load(Ordering::Relaxed));
        let is_spare = !self.told.load(Ordering::Relaxed) && self.is_idle() && now >= idle_since + SPARED;
        is_spare.then_some(idle_since)
    }

    fn is_idle(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0
    }

    /// Waits until it has to leave: told so, and idle.
    pub(super) async fn left(&self) {
        loop {
            self.leave.notified().await;
            if self.is_idle() {
                return;
            }
            self.told.store(false, Ordering::Relaxed);
        }
    }
}

/// Tells who has been idle for longest to leave; false where nobody has been for long enough.
pub(super) fn make_room<'a>(seats: impl Iterator<Item = &'a Arc<Seat>>) -> bool {
    let now = Instant::now();
    let spare = seats.filter_map(|seat| Some((seat.spare(now)?, seat))).min_by_key(|(since, _)| *since);
    let Some((_, seat)) = spare else { return false };
    seat.told.store(true, Ordering::Relaxed);
    seat.leave.notify_one();
    true
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let Self(seat) = self;
        let idle_since = u64::try_from(seat.taken.elapsed().as_millis()).unwrap_or(u64::MAX);
        // First, so that nobody finds it idle since long ago.
        seat.idle_since.store(idle_since, Ordering::SeqCst);
        seat.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_for_longest_leaves_first() {
        let seats = [Seat::take(), Seat::take(), Seat::take()];
        let [silent, busy, late] = &seats;
        let open = busy.ask();
        advance(SPARED / 2).await;
        drop(late.ask());
        assert!(!make_room(seats.iter()), "nobody has been idle for long");
        advance(SPARED).await;
        assert!(make_room(seats.iter()));
        assert!(silent.left().now_or_never().is_some() && late.left().now_or_never().is_none());
        assert!(make_room(seats.iter()) && late.left().now_or_never().is_some());
        assert!(!make_room(seats.iter()), "each is told once, and who is busy is not told");
        drop(open);
        advance(SPARED).await;
        assert!(make_room(seats.iter()) && busy.left().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_first_keeps_the_place() {
        let seats = [Seat::take()];
        let [seat] = &seats;
        advance(SPARED).await;
        assert!(make_room(seats.iter()));
        let open = seat.ask();
        assert!(seat.left().now_or_never().is_none());
        drop(open);
        advance(SPARED).await;
        assert!(make_room(seats.iter()), "it may be told again");
        assert!(seat.left().now_or_never().is_some());
    }
}
