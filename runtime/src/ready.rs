//! Readiness as a set of named latches: a process is ready once every part that asked for a latch has opened it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

/// What `/readyz` answers from. Clones share one state.
///
/// Take every latch before the admin port is served: a latch taken later makes a ready process unready again.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

/// One part's promise to become ready. Dropped without [`Latch::open`] it stays closed, so a part that died on the way
/// keeps the process out of service and is named.
#[must_use = "the process stays unready until the latch is opened"]
pub struct Latch {
    readiness: Readiness,
    what: &'static str,
}

#[derive(Debug, Default)]
struct State {
    closed: Vec<&'static str>,
    stopping: bool,
}

// === impl Readiness ===

impl Readiness {
    /// The name that [`Readiness::missing`] gives once the process is on its way out.
    pub const STOPPING: &'static str = "stopping";

    /// A latch for one part; `what` names it in the answer of `/readyz`, such as `"certificate"`.
    pub fn latch(&self, what: &'static str) -> Latch {
        self.state().closed.push(what);
        Latch { readiness: self.clone(), what }
    }

    /// What is not ready yet, in the order the latches were taken; empty means ready. After
    /// [`Readiness::stopping`] the first name is [`Readiness::STOPPING`].
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.state();
        let stopping = state.stopping.then_some(Self::STOPPING);
        stopping.into_iter().chain(state.closed.iter().copied()).collect()
    }

    /// Says that the process is about to stop: unready from now on, for good.
    pub fn stopping(&self) {
        self.state().stopping = true;
    }

    /// Registers the gauge `ready`: 1 while nothing is missing.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step, so the state of a thread that panicked is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Readiness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ready = ConstGauge::new(i64::from(self.missing().is_empty()));
        ready.encode(encoder.encode_descriptor("ready", "Whether /readyz says so.", None, ready.metric_type())?)
    }
}

// === impl Latch ===

impl Latch {
    /// Says that this part is ready.
    pub fn open(self) {
        let mut state = self.readiness.state();
        if let Some(at) = state.closed.iter().position(|what| *what == self.what) {
            state.closed.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_latches_is_ready() {
        assert!(Readiness::default().missing().is_empty());
    }

    #[test]
    fn every_latch_must_open() {
        let readiness = Readiness::default();
        let certificate = readiness.latch("certificate");
        let cache = readiness.latch("service accounts");
        assert_eq!(readiness.missing(), ["certificate", "service accounts"]);
        certificate.open();
        assert_eq!(readiness.missing(), ["service accounts"]);
        cache.open();
        assert!(readiness.missing().is_empty());
    }

    #[test]
    fn two_parts_may_share_a_name() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.latch("watch"), readiness.latch("watch"));
        first.open();
        assert_eq!(readiness.missing(), ["watch"]);
        second.open();
        assert!(readiness.missing().is_empty());
    }

    #[test]
    fn a_dropped_latch_stays_closed() {
        let readiness = Readiness::default();
        drop(readiness.latch("certificate"));
        assert_eq!(readiness.missing(), ["certificate"]);
    }

    #[test]
    fn stopping_is_final_and_named_first() {
        let readiness = Readiness::default();
        let latch = readiness.latch("certificate");
        readiness.stopping();
        assert_eq!(readiness.missing(), ["stopping", "certificate"]);
        latch.open();
        assert_eq!(readiness.missing(), ["stopping"]);
    }
}
