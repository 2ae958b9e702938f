//! Wall time, injected.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use podbadge_sidecar_core::freshness::UnixTime;

/// Tells the time. Token times are wall times, as clients compare them with theirs.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> UnixTime + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self(Arc::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            UnixTime::from_secs(since_epoch.as_secs())
        }))
    }

    /// A clock that moves with the runtime's own time, paused or not.
    #[cfg(test)]
    pub(crate) fn from_runtime() -> Self {
        let (start, base) = (tokio::time::Instant::now(), UnixTime::from_secs(1_000_000));
        Self(Arc::new(move || base.plus(start.elapsed())))
    }

    pub(crate) fn now(&self) -> UnixTime {
        (self.0)()
    }
}
