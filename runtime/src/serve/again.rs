//! What wakes itself is polled again at once.
//!
//! hyper hands a body on piece by piece, and after each piece a connection waits for its turn behind all others. With
//! hundreds of connections that is hundreds of bodies half read, each with the buffers of every layer below it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// How often in a row. A review of the usual size takes two or three, and one of megabytes must not keep others waiting.
const IN_A_ROW: usize = 8;

/// Nobody polls: who wakes, wakes the task.
const IDLE: u8 = 0;
/// It is being polled.
const POLLED: u8 = 1;
/// It was woken meanwhile.
const WOKEN: u8 = 2;

/// A future that is polled again at once if it was woken while it was polled.
pub(super) struct Again<F> {
    future: Pin<Box<F>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

#[derive(Default)]
struct Alarm {
    state: AtomicU8,
    task: AtomicWaker,
}

// === impl Again ===

impl<F> Again<F> {
    pub(super) fn new(future: F) -> Self {
        let alarm = Arc::<Alarm>::default();
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&alarm)), alarm }
    }

    pub(super) fn get(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }
}

impl<F: Future> Future for Again<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, alarm, waker } = &mut *self;
        alarm.task.register(task.waker());
        for _ in 0..IN_A_ROW {
            alarm.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if alarm.state.compare_exchange(POLLED, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Poll::Pending;
            }
        }
        alarm.state.store(IDLE, Ordering::SeqCst);
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

// === impl Alarm ===

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Idle: it may be so since before this wake, so the task must come and look.
        if self.state.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst) == Err(IDLE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, sync::atomic::AtomicUsize, time::Duration};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polled once: how often the future was, and how often the task was woken for that.
    fn polled(wakes: usize, ready_at: usize) -> (Poll<()>, usize, usize) {
        let count = Arc::<Count>::default();
        let mut polls = 0;
        let mut again = Again::new(poll_fn(|context| {
            polls += 1;
            if polls == ready_at {
                return Poll::Ready(());
            }
            if polls <= wakes {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        let result = Pin::new(&mut again).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&count))));
        drop(again);
        (result, polls, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn who_wakes_itself_is_polled_again_within_reason() {
        assert_eq!(polled(0, 9), (Poll::Pending, 1, 0));
        assert_eq!(polled(2, 9), (Poll::Pending, 3, 0));
        assert_eq!(polled(9, 3), (Poll::Ready(()), 3, 0));
        assert_eq!(polled(99, 99), (Poll::Pending, IN_A_ROW, 1), "others have their turn, and it comes back");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_from_elsewhere_is_lost() {
        let mut tasks = Vec::new();
        for _ in 0..100 {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<usize>(1);
            tokio::spawn(async move {
                for number in 0..100 {
                    sender.send(number).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            tasks.push(tokio::spawn(Again::new(async move {
                let mut sum = 0;
                while let Some(number) = receiver.recv().await {
                    sum += number;
                }
                sum
            })));
        }
        for task in tasks {
            assert_eq!(tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap(), 4950);
        }
    }
}
