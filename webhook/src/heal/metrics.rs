//! What is counted: every label comes from a closed set.

use podbadge_runtime::metrics::Registry;
use podbadge_webhook_core::heal::evictions::{Outcome, Wait};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use std::collections::HashMap;

/// The metrics of the leader; of a replica that does not lead the gauges are zero, so a sum over replicas is right.
#[derive(Clone, Debug)]
pub(super) struct Heal {
    leader: Gauge,
    missed: Gauge,
    stale: Gauge,
    uncertain: Gauge,
    foreign: Gauge,
    waiting: Family<Reason, Gauge>,
    evictions: Family<Done, Counter>,
    rounds: Counter,
    failures: Counter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Done {
    outcome: &'static str,
}

impl Heal {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let heal = Self {
            leader: Gauge::default(),
            missed: Gauge::default(),
            stale: Gauge::default(),
            uncertain: Gauge::default(),
            foreign: Gauge::default(),
            waiting: Family::default(),
            evictions: Family::default(),
            rounds: Counter::default(),
            failures: Counter::default(),
        };
        heal.waits(&HashMap::new());
        for outcome in Outcome::ALL {
            let _ = heal.evictions.get_or_create(&Done { outcome: outcome.as_str() });
        }
        let Self { leader, missed, stale, uncertain, foreign, waiting, evictions, rounds, failures } = &heal;
        registry.register("missed_pods", "Pods that should have an identity and have none", missed.clone());
        registry.register("stale_pods", "Pods with another identity than they would get now", stale.clone());
        let help = "Pods without identity that a condition of the operator's own may exclude";
        registry.register("uncertain_pods", help, uncertain.clone());
        let help = "Webhooks of others that give pods their identity by the same label";
        registry.register("foreign_webhooks", help, foreign.clone());
        let registry = registry.sub_registry_with_prefix("heal");
        registry.register("leader", "Whether this replica looks for such pods", leader.clone());
        registry.register("waiting_pods", "Such pods that are not evicted now, by reason", waiting.clone());
        registry.register("evictions", "Evictions of such pods by outcome", evictions.clone());
        registry.register("rounds", "Times that all pods were looked at", rounds.clone());
        registry.register("failures", "Times that not all pods could be looked at", failures.clone());
        heal
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
        if !leads {
            self.found(0, 0, 0);
            self.foreign(0);
            self.waits(&HashMap::new());
        }
    }

    pub(super) fn found(&self, missed: usize, stale: usize, uncertain: usize) {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.missed.set(number(missed));
        self.stale.set(number(stale));
        self.uncertain.set(number(uncertain));
    }

    pub(super) fn foreign(&self, count: usize) {
        self.foreign.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many pods wait for what.
    pub(super) fn waits(&self, waiting: &HashMap<Wait, i64>) {
        for wait in Wait::ALL {
            let count = waiting.get(&wait).copied().unwrap_or_default();
            self.waiting.get_or_create(&Reason { reason: wait.as_str() }).set(count);
        }
    }

    pub(super) fn evicted(&self, outcome: Outcome) {
        self.evictions.get_or_create(&Done { outcome: outcome.as_str() }).inc();
    }

    pub(super) fn round(&self, done: bool) {
        if done {
            self.rounds.inc()
        } else {
            self.failures.inc()
        };
    }
}
