//! The serving certificate, from either source.

use crate::{
    config::{self, Config},
    lease::{Lease, Standing},
    metrics::Certificates,
};
use kube::Client;
use podbadge_certs::{
    event::Event,
    files,
    material::Names,
    resolver::{self, Serving},
    rotate::{Part, SelfManaged},
};
use podbadge_runtime::{
    drain::Drain,
    metrics::Registry,
    ready::{Latch, Readiness},
};
use podbadge_webhook_core::election::{Election, Terms};
use rustls::ServerConfig;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How often mounted files are looked at; the kubelet itself takes up to a minute to change them.
const FILES: Duration = Duration::from_secs(10);

/// A certificate that is cared for while [`Self::run`] runs.
pub(crate) struct Source {
    leadership: Leadership,
    part: watch::Receiver<Part>,
    config: config::Certificate,
    names: Names,
    client: Client,
    serving: Serving,
    server: Arc<ServerConfig>,
    latch: Latch,
    metrics: Certificates,
}

/// One replica's part in the election of who writes the certificate that all serve.
#[derive(Clone)]
pub(crate) struct Leadership {
    certificate: config::Certificate,
    client: Client,
    plays: watch::Sender<Part>,
}

// === impl Source ===

impl Source {
    /// Prepares the source; the process is not ready until there is a certificate that the API server trusts.
    ///
    /// # Errors
    ///
    /// The Service's name makes no DNS name.
    pub(crate) fn new(
        config: &Config,
        client: Client,
        readiness: &Readiness,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let serving = Serving::default();
        let (plays, part) = watch::channel(Part::default());
        Ok(Self {
            leadership: Leadership { certificate: config.certificate.clone(), client: client.clone(), plays },
            part,
            names: Names::of_service(&config.certificate.service, &config.certificate.namespace)?,
            config: config.certificate.clone(),
            client,
            server: resolver::server_config(&serving, config.tls_min_version)?,
            serving,
            latch: readiness.latch("certificate served"),
            metrics: Certificates::register(registry),
        })
    }

    /// The server's TLS settings; they serve whatever certificate is the newest.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// The election of who writes, to be run beside.
    pub(crate) fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Cares for the certificate until dropped.
    pub(crate) async fn run(self) {
        let Self { config, names, client, serving, latch, metrics, part, .. } = self;
        let mut latch = Some(latch);
        let on = move |event| {
            metrics.count(event);
            if event == Event::Ready
                && let Some(latch) = latch.take()
            {
                latch.open();
            }
        };
        match config.source {
            config::Source::Files(directory) => {
                match files::watch(directory, names, FILES, serving, podbadge_certs::now, on).await {}
            }
            config::Source::SelfManaged {
                secret,
                webhook_configuration,
                validating_webhook_configuration,
                lifetimes: policy,
            } => {
                let care = SelfManaged {
                    client,
                    namespace: config.namespace,
                    secret,
                    names,
                    configuration: webhook_configuration,
                    advice: validating_webhook_configuration,
                    policy: *policy,
                };
                match care.run(serving, podbadge_certs::now, part, on).await {}
            }
        }
    }
}

// === impl Leadership ===

impl Leadership {
    /// Stands for election until the drain starts; then the lease is given back. Certificates from files need none.
    pub(crate) async fn run(self, draining: Drain) {
        let Self { certificate, client, plays } = self;
        let config::Certificate { service, namespace, source, holder } = certificate;
        if matches!(source, config::Source::Files(_)) {
            return;
        }
        let election = Election::new(holder, Terms::default());
        let lease = Lease::new(client, &namespace, format!("{service}-certificates"));
        let (stands, mut standing) = watch::channel(Standing::default());
        tokio::select! {
            () = lease.keep(election, &stands, draining.started()) => {}
            () = tell(&mut standing, &plays) => {}
        }
        plays.send_replace(Part::Follows);
    }
}

/// Tells what each standing means. A lease that has run out unnoticed makes a follower, until it is known what is the
/// matter.
async fn tell(standing: &mut watch::Receiver<Standing>, plays: &watch::Sender<Part>) {
    loop {
        let stands = *standing.borrow_and_update();
        let part = match stands {
            Standing::Unknown => Part::Unknown,
            Standing::Follows => Part::Follows,
            Standing::Leads(until) if until <= Instant::now() => Part::Follows,
            Standing::Leads(_) => Part::Leads,
            Standing::Fails => Part::Unled,
        };
        plays.send_if_modified(|current| std::mem::replace(current, part) != part);
        let expiry = async {
            match stands.leads_until().filter(|until| *until > Instant::now()) {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = expiry => {}
            changed = standing.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
