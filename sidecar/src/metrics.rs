//! What the sidecar counts. Labels come from closed sets: no identity, no resource, no text.

use std::fmt;
use std::time::Duration;

use podbadge_runtime::metrics::Registry;
use podbadge_sidecar_core::error::Failure;
use podbadge_sidecar_core::freshness::UnixTime;
use podbadge_sidecar_core::request::Form;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Request, Counter>,
    exchanges: Family<Exchange, Counter>,
    seconds: Histogram,
    hits: Counter,
    misses: Counter,
    assertion_expiry: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    form: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchange {
    outcome: &'static str,
    /// The AADSTS code of a refusal.
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lookup {
    result: &'static str,
}

/// The tokens that are held, all of them valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) tokens: u32,
    /// Of the oldest.
    pub(crate) age: Duration,
    /// Of the one that ends first.
    pub(crate) left: Duration,
}

/// Has the tokens looked at when somebody reads the metrics.
pub(crate) struct Holding<F>(pub(crate) F);

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let lookups = Family::<Lookup, Counter>::default();
        let lookup = |result| lookups.get_or_create_owned(&Lookup { result });
        let metrics = Self {
            requests: Family::default(),
            exchanges: Family::default(),
            seconds: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            hits: lookup("hit"),
            misses: lookup("miss"),
            assertion_expiry: Gauge::default(),
        };
        metrics.begin_at_zero();
        registry.register("requests", "Token requests by form and outcome", metrics.requests.clone());
        registry.register("cache", "Token requests by whether a valid token was at hand", lookups);
        let help = "Attempts of an exchange with Entra ID by outcome and AADSTS code";
        registry.register("exchanges", help, metrics.exchanges.clone());
        registry.register("exchange_seconds", "Time of an attempt of an exchange", metrics.seconds.clone());
        let help = "When the pod's own token ends that was read last, in seconds since 1970";
        registry.register("assertion_expiry_timestamp_seconds", help, metrics.assertion_expiry.clone());
        metrics
    }

    /// A scraper takes the first sample of a counter for its beginning: what counts most would be missed once.
    fn begin_at_zero(&self) {
        for form in [Form::Imds, Form::AppService].map(Form::as_str) {
            for outcome in ["token", "rejected", "refused", "throttled", "unavailable", "assertion"] {
                let _ = self.requests.get_or_create(&Request { form, outcome });
            }
        }
        for outcome in ["token", "refused", "throttled", "unavailable", "assertion"] {
            let _ = self.exchanges.get_or_create(&Exchange { outcome, code: "" });
        }
    }

    pub(crate) fn answered(&self, form: &'static str, outcome: &'static str) {
        self.requests.get_or_create(&Request { form, outcome }).inc();
    }

    pub(crate) fn looked_up(&self, hit: bool) {
        if hit { &self.hits } else { &self.misses }.inc();
    }

    pub(crate) fn exchanged<T>(&self, result: &Result<T, Failure>, took: Duration) {
        let (outcome, code) = match result {
            Ok(_) => ("token", ""),
            Err(failure) => (failure.as_str(), failure.code()),
        };
        self.exchanges.get_or_create(&Exchange { outcome, code }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// There was no assertion to ask the authority with.
    pub(crate) fn unsent(&self) {
        self.exchanges.get_or_create(&Exchange { outcome: "assertion", code: "" }).inc();
    }

    pub(crate) fn assertion_read(&self, expiry: Option<UnixTime>) {
        let expiry = expiry.map_or(0, UnixTime::as_secs);
        self.assertion_expiry.set(i64::try_from(expiry).unwrap_or(i64::MAX));
    }
}

// === impl Holding ===

impl<F> fmt::Debug for Holding<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holding")
    }
}

impl<F: Fn() -> Held + Send + Sync + 'static> Collector for Holding<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Held { tokens, age, left } = self.0();
        for (name, help, value) in [
            ("tokens", "Valid tokens that are held", f64::from(tokens)),
            ("token_age_seconds", "Age of the oldest valid token", age.as_secs_f64()),
            ("token_left_seconds", "Time that is left of the valid token which ends first", left.as_secs_f64()),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
