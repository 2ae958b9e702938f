//! What the sidecar counts. Labels come from closed sets: no identity, no resource, no text.

use podbadge_runtime::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Request, Counter>,
    exchanges: Family<Outcome, Counter>,
    seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    form: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            exchanges: Family::default(),
            seconds: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        };
        registry.register("requests", "Token requests by form and outcome", metrics.requests.clone());
        registry.register("exchanges", "Exchanges with Entra ID by outcome", metrics.exchanges.clone());
        registry.register("exchange_seconds", "Time of an exchange with Entra ID", metrics.seconds.clone());
        metrics
    }

    pub(crate) fn answered(&self, form: &'static str, outcome: &'static str) {
        self.requests.get_or_create(&Request { form, outcome }).inc();
    }

    pub(crate) fn exchanged(&self, outcome: &'static str, took: std::time::Duration) {
        self.exchanges.get_or_create(&Outcome { outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}
