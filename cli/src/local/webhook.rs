//! The webhook itself, in this process: the same router, over real TLS, behind the name that its Service would have.

use podbadge_certs::{
    bundle::Bundle,
    issue,
    material::Names,
    policy::Policy,
    resolver::{self, MinVersion, Serving},
};
use podbadge_runtime::{
    drain::{self, Trigger},
    metrics,
    serve::{Bound, Limits},
};
use podbadge_webhook::{admit::Admission, http, lookup::Lookup, metrics::Admissions};
use podbadge_webhook_core::settings::Settings;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use time::OffsetDateTime;
use tokio::task::JoinHandle;

/// How long open reviews may take once the webhook stops.
const DEADLINE: Duration = Duration::from_secs(2);

/// A running webhook; dropping it begins its drain.
pub struct Webhook {
    address: SocketAddr,
    name: String,
    ca_pem: String,
    trigger: Trigger,
    server: JoinHandle<()>,
}

/// Why there is no webhook.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate could be made for its name.
    #[error("no certificate for the webhook")]
    Names(#[from] podbadge_certs::material::Error),
    /// No certificate could be made.
    #[error("no certificate for the webhook")]
    Certificate(#[from] issue::Error),
    /// TLS cannot be set up.
    #[error("no TLS for the webhook")]
    Tls(#[from] rustls::Error),
    /// Its port cannot be had.
    #[error(transparent)]
    Bind(#[from] podbadge_runtime::serve::Error),
}

impl Webhook {
    /// Serves on a free loopback port with a certificate of an authority of its own. `lookup` stands for the service
    /// accounts that it would watch.
    ///
    /// # Errors
    ///
    /// A certificate or a port cannot be had.
    pub fn start(settings: Settings, lookup: impl Lookup) -> Result<Self, Error> {
        let names = Names::of_service("podbadge-webhook", "podbadge-system")?;
        let certificates = issue::whole(&names, &Policy::default(), &Bundle::default(), OffsetDateTime::now_utc())?;
        let serving = Serving::default();
        serving.publish(certificates.leaf);
        let tls = resolver::server_config(&serving, MinVersion::Tls13)?;

        let mut registry = metrics::registry("podbadge_webhook", env!("CARGO_PKG_VERSION"));
        let router = http::router(Admission::new(Arc::new(settings), lookup), Admissions::register(&mut registry));
        let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = bound.local_addr();
        let (trigger, draining) = drain::drain();
        let server = tokio::spawn(async move {
            if let Err(error) = bound.serve_tls(tls, router, Limits::default(), draining).await {
                tracing::error!(%error, "The webhook ended");
            }
        });
        Ok(Self { address, name: names.called(), ca_pem: certificates.bundle.to_pem(), trigger, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that the API server would call, by the name of the Service.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}:{}{}", self.name, self.address.port(), http::PATH)
    }

    /// The authority of its certificate, as it would stand in `caBundle`.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client that finds the Service at this address and trusts this webhook's authority alone, as the API server does.
    ///
    /// # Errors
    ///
    /// The client cannot be made.
    pub fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        let authorities = reqwest::Certificate::from_pem_bundle(self.ca_pem.as_bytes())?;
        reqwest::Client::builder().tls_certs_only(authorities).resolve(&self.name, self.address).no_proxy().build()
    }

    /// Stops: no new connection, open reviews have two seconds.
    pub async fn stop(self) {
        let Self { trigger, mut server, .. } = self;
        trigger.start();
        if tokio::time::timeout(DEADLINE, &mut server).await.is_err() {
            server.abort();
        }
    }
}
