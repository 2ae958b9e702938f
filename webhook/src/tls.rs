//! The serving certificate, from either source.

use crate::{
    config::{self, Config},
    metrics::Certificates,
};
use kube::Client;
use podbadge_certs::{
    event::Event,
    files,
    inject::Configuration,
    material::Names,
    policy::Policy,
    resolver::{self, Serving},
    rotate::SelfManaged,
};
use podbadge_runtime::{
    metrics::Registry,
    ready::{Latch, Readiness},
};
use rustls::ServerConfig;
use std::{sync::Arc, time::Duration};

/// How often mounted files are looked at; the kubelet itself takes up to a minute to change them.
const FILES: Duration = Duration::from_secs(10);

/// A certificate that is cared for while [`Self::run`] runs.
pub(crate) struct Source {
    config: config::Certificate,
    names: Names,
    client: Client,
    serving: Serving,
    server: Arc<ServerConfig>,
    latch: Latch,
    metrics: Certificates,
}

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
        Ok(Self {
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

    /// Cares for the certificate until dropped.
    pub(crate) async fn run(self) {
        let Self { config, names, client, serving, latch, metrics, .. } = self;
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
            config::Source::SelfManaged { secret, webhook_configuration, validating_webhook_configuration } => {
                let validating = validating_webhook_configuration.map(Configuration::Validating);
                let care = SelfManaged {
                    client,
                    namespace: config.namespace,
                    secret,
                    names,
                    configurations: [Configuration::Mutating(webhook_configuration)]
                        .into_iter()
                        .chain(validating)
                        .collect(),
                    policy: Policy::default(),
                };
                match care.run(serving, podbadge_certs::now, on).await {}
            }
        }
    }
}
