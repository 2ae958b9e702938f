//! No pod left behind: pods that run without the identity they should have are found, reported and, on request, replaced.
//!
//! ```text
//! lease (one replica leads) -> rounds -> pages of pods -> core::judge -> report: events, metrics
//!                                                                     -> core::evictions -> Eviction API
//! ```
//!
//! The leader also looks for other webhooks that inject for the same label (`foreign`).
//!
//! Nothing is kept between rounds but what was reported and evicted, by uid, and no more of it than a fixed number.

mod asked;
mod cluster;
mod findings;
mod foreign;
mod metrics;
mod report;
mod rounds;

use crate::{
    config,
    lease::{Lease, Standing},
    lookup::Index,
};
use kube::Client;
use podbadge_runtime::{drain::Drain, metrics::Registry, ready::Readiness};
use podbadge_webhook_core::{
    election::{Election, Terms},
    heal::evictions::Limits,
    settings::Settings,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

/// How often a process that is not ready yet looks whether it is.
const NOT_READY: Duration = Duration::from_secs(1);

/// One replica's part in it.
pub struct Healer {
    config: config::Heal,
    /// The webhook's own namespace and Service.
    namespace: String,
    service: String,
    client: Client,
    index: Arc<Index>,
    readiness: Readiness,
    metrics: metrics::Heal,
}

/// A client that tells every refusal at once. kube's own tries again by itself after a 429, which is how a
/// PodDisruptionBudget says no: that is an answer, and when to ask again is decided by `core::evictions`.
///
/// # Errors
///
/// The cluster's settings cannot be used.
pub fn client(mut cluster: kube::Config) -> Result<Client, kube::Error> {
    cluster.default_retry = false;
    Client::try_from(cluster)
}

// === impl Healer ===

impl Healer {
    /// Prepares it, with a client from [`client`]; `None` where the operator has switched it off. It begins once
    /// `readiness` lacks nothing.
    pub fn new(
        config: &config::Config,
        client: Client,
        index: Arc<Index>,
        readiness: &Readiness,
        registry: &mut Registry,
    ) -> Option<Self> {
        Some(Self {
            config: config.heal.clone()?,
            namespace: config.certificate.namespace.clone(),
            service: config.certificate.service.clone(),
            client,
            index,
            readiness: readiness.clone(),
            metrics: metrics::Heal::register(registry),
        })
    }

    /// Stands for election and leads until the drain starts; then the lease is given back. Whatever fails is logged and
    /// tried again. The `settings` come once the cluster has been asked for what they depend on.
    pub async fn run(self, settings: oneshot::Receiver<Arc<Settings>>, draining: Drain) {
        let ready = async {
            let settings = settings.await.ok()?;
            while !self.readiness.missing().is_empty() {
                sleep(NOT_READY).await;
            }
            Some(settings)
        };
        // A replica that does not serve has nothing to heal with.
        let settings = tokio::select! {
            settings = ready => settings,
            () = draining.started() => None,
        };
        let Some(settings) = settings else { return };
        let election = Election::new(self.config.holder.clone(), Terms::default());
        let lease = Lease::new(self.client.clone(), &self.namespace, format!("{}-heal", self.service));
        let (stands, standing) = watch::channel(Standing::default());
        tokio::select! {
            () = lease.keep(election, &stands, draining.started()) => {}
            () = self.lead(&settings, standing) => {}
        }
    }

    /// Goes the rounds whenever this replica leads.
    async fn lead(&self, settings: &Settings, mut standing: watch::Receiver<Standing>) {
        let leads = |standing: &Standing| standing.leads_until().is_some_and(|until| until > Instant::now());
        while standing.wait_for(leads).await.is_ok() {
            tracing::info!("Leads: looks for pods that were left behind");
            self.metrics.leads(true);
            // What another leader remembered is gone with it.
            let mut rounds =
                rounds::Rounds::new(self, settings, Limits { per_minute: self.config.per_minute, ..Limits::default() });
            tokio::select! {
                () = rounds.run() => {}
                () = ended(&mut standing) => {}
            }
            self.metrics.leads(false);
            tracing::info!("Leads no more");
        }
    }
}

/// Waits until the lease has run out, or was lost.
async fn ended(standing: &mut watch::Receiver<Standing>) {
    loop {
        let Some(until) = standing.borrow_and_update().leads_until() else { return };
        tokio::select! {
            () = sleep_until(until) => return,
            changed = standing.changed() => if changed.is_err() { return },
        }
    }
}

/// Something the API server did not do.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// It refused, or was not reached.
    #[error("cannot {doing}: {}", crate::lookup::told(.error))]
    Failed { doing: &'static str, error: Box<kube::Error> },
    /// It did not answer in time.
    #[error("cannot {doing}: no answer within {} s", PATIENCE.as_secs())]
    Late { doing: &'static str },
    /// It answered with something else.
    #[error("cannot {doing}: the answer is unreadable")]
    Unreadable { doing: &'static str },
    /// There is no configuration by this name, so nobody asks us anything.
    #[error("there is no MutatingWebhookConfiguration {0:?}: check --webhook-configuration")]
    NoConfiguration(String),
    /// Somebody has emptied it.
    #[error("the MutatingWebhookConfiguration {0:?} asks about no new pods, so none is given its identity")]
    AsksNobody(String),
}

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for an answer, but not for ever.
async fn patiently<T>(doing: &'static str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::Failed { doing, error: Box::new(error) }),
        Err(_) => Err(Error::Late { doing }),
    }
}

#[cfg(test)]
mod tests;
