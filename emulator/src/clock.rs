//! The emulator's clock: the system's, moved forward on request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;

/// The time as the emulator sees it.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicU64>);

// === impl Clock ===

impl Clock {
    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    /// Moves the clock forward by whole seconds.
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}
