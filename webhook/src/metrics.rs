//! What the webhook counts: every label comes from a closed set.

use crate::advise;
use podbadge_certs::event::{Event, Step};
use podbadge_runtime::metrics::Registry;
use podbadge_webhook_core::{decision::Reason, denial::Denial};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use std::{fmt, time::Duration};

/// The three outcomes of an admission, and requests that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The pod may be created.
    Allow,
    /// The pod's author has to mend something.
    Deny,
    /// We could not answer.
    Fail,
    /// The request was no admission review.
    Refuse,
}

/// Where the answer about a service account came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// From memory.
    Memory,
    /// From the API server.
    Live,
    /// From nowhere.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdmissionLabels {
    outcome: Outcome,
    reason: Label,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Label(&'static str);

/// Admissions by outcome and reason, and how long they took; beside them the advice on other objects.
#[derive(Clone, Debug)]
pub struct Admissions {
    total: Family<AdmissionLabels, Counter>,
    seconds: Histogram,
    advice: Family<AdmissionLabels, Counter>,
    /// The sample of nearly every request, found without a search.
    injected: Counter,
}

/// Look-ups of service accounts by source.
#[derive(Clone, Debug)]
pub struct Lookups {
    memory: Counter,
    live: Counter,
    failed: Counter,
}

/// The watches by kind.
#[derive(Clone, Debug)]
pub struct Watches {
    connected: Family<WatchLabels, Gauge>,
    lists: Family<WatchLabels, Counter>,
}

/// One watch.
#[derive(Clone, Debug)]
pub struct Watched {
    connected: Gauge,
    lists: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    kind: Label,
}

/// The care for the serving certificate.
#[derive(Clone, Debug)]
pub struct Certificates {
    expiry: Gauge,
    generation: Gauge,
    issued: Counter,
    injected: Counter,
    failed: Family<StepLabels, Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: Label,
}

// === impl Admissions ===

impl Admissions {
    /// Registers the metrics, with a zero for every outcome and reason that can occur.
    pub fn register(registry: &mut Registry) -> Self {
        let total = Family::<AdmissionLabels, Counter>::default();
        let zero = |outcome, reason| {
            let _ = total.get_or_create(&AdmissionLabels { outcome, reason: Label(reason) });
        };
        Reason::ALL.into_iter().for_each(|reason| zero(Outcome::Allow, reason.as_str()));
        Denial::LABELS.into_iter().for_each(|reason| zero(Outcome::Deny, reason));
        let injected = AdmissionLabels { outcome: Outcome::Allow, reason: Label(Reason::Injected.as_str()) };
        let injected = total.get_or_create(&injected).clone();
        let seconds = Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0]);
        let advice = Family::<AdmissionLabels, Counter>::default();
        for (outcome, reason) in advise::Reason::ALL.map(|reason| (reason.outcome(), Label(reason.as_str()))) {
            let _ = advice.get_or_create(&AdmissionLabels { outcome, reason });
        }
        registry.register("advice", "Reviews of service accounts and workloads by outcome and reason", advice.clone());
        registry.register("admissions", "Admission reviews by outcome and reason", total.clone());
        registry.register("admission_seconds", "Time from a whole request to its answer", seconds.clone());
        Self { total, seconds, advice, injected }
    }

    /// Counts one review.
    pub fn count(&self, outcome: Outcome, reason: &'static str, took: Duration) {
        if (outcome, reason) == (Outcome::Allow, Reason::Injected.as_str()) {
            self.injected.inc();
        } else {
            self.total.get_or_create(&AdmissionLabels { outcome, reason: Label(reason) }).inc();
        }
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts one review of a service account or a workload.
    pub fn count_advice(&self, outcome: Outcome, reason: &'static str) {
        self.advice.get_or_create(&AdmissionLabels { outcome, reason: Label(reason) }).inc();
    }
}

// === impl Lookups ===

impl Lookups {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let total = Family::<LookupLabels, Counter>::default();
        let of = |source| total.get_or_create(&LookupLabels { source }).clone();
        let lookups = Self { memory: of(Source::Memory), live: of(Source::Live), failed: of(Source::Failed) };
        registry.register("lookups", "Look-ups of service accounts by source", total);
        lookups
    }

    /// Counts one look-up.
    pub fn count(&self, source: Source) {
        match source {
            Source::Memory => self.memory.inc(),
            Source::Live => self.live.inc(),
            Source::Failed => self.failed.inc(),
        };
    }
}

// === impl Watches ===

impl Watches {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let watches = Self { connected: Family::default(), lists: Family::default() };
        registry.register("watch_connected", "Whether the watch of a kind runs", watches.connected.clone());
        registry.register("watch_lists", "Whole lists of a kind that were read", watches.lists.clone());
        watches
    }

    /// The metrics of one kind, from the start.
    pub(crate) fn of(&self, kind: &'static str) -> Watched {
        let labels = WatchLabels { kind: Label(kind) };
        let connected = self.connected.get_or_create(&labels).clone();
        Watched { connected, lists: self.lists.get_or_create(&labels).clone() }
    }
}

impl Watched {
    pub(crate) fn connected(&self, connected: bool) {
        self.connected.set(connected.into());
    }

    pub(crate) fn listed(&self) {
        self.lists.inc();
    }
}

// === impl Certificates ===

impl Certificates {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let certificates = Self {
            expiry: Gauge::default(),
            generation: Gauge::default(),
            issued: Counter::default(),
            injected: Counter::default(),
            failed: Family::default(),
        };
        let Self { expiry, generation, issued, injected, failed } = &certificates;
        let registry = registry.sub_registry_with_prefix("certificate");
        registry.register("expiry_timestamp_seconds", "When the certificate that is served ends", expiry.clone());
        registry.register("generation", "How often another certificate was served", generation.clone());
        registry.register("issued", "Certificates made by this replica", issued.clone());
        registry.register("injected", "Changes of caBundle made by this replica", injected.clone());
        // From zero on, or a scraper takes the first failure for the beginning.
        for step in [
            Step::ReadFiles,
            Step::Issue,
            Step::ReadSecret,
            Step::WriteSecret,
            Step::ReadConfiguration,
            Step::WriteConfiguration,
            Step::Wait,
        ] {
            let _ = failed.get_or_create(&StepLabels { step: Label(step.as_str()) });
        }
        registry.register("failures", "Failed steps in the care for the certificate", failed.clone());
        certificates
    }

    /// Counts what happened.
    pub fn count(&self, event: Event) {
        match event {
            Event::Published { generation, not_after } => {
                self.expiry.set(not_after.unix_timestamp());
                self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
            }
            Event::Issued => {
                self.issued.inc();
            }
            Event::Injected => {
                self.injected.inc();
            }
            Event::Failed(step) => {
                self.failed.get_or_create(&StepLabels { step: Label(step.as_str()) }).inc();
            }
            Event::Ready | Event::Recovered => {}
        }
    }
}

// === impl EncodeLabelValue ===

impl Outcome {
    /// The outcome as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Fail => "fail",
            Self::Refuse => "refuse",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, out: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(out)
    }
}

impl EncodeLabelValue for Source {
    fn encode(&self, out: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let label = match self {
            Self::Memory => "memory",
            Self::Live => "live",
            Self::Failed => "failed",
        };
        label.encode(out)
    }
}

impl EncodeLabelValue for Label {
    fn encode(&self, out: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.encode(out)
    }
}
