//! The process, put together.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, pin::pin};

use anyhow::Context as _;
use axum::Router;
use podbadge_runtime::drain::{self, Steps};
use podbadge_runtime::ready::{Latch, Readiness};
use podbadge_runtime::serve::{self, Bound, Limits};
use podbadge_runtime::{admin, logs, metrics};
use podbadge_sidecar_core::request::Renewal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::broker::Broker;
use crate::cache::Key;
use crate::clock::Clock;
use crate::config::{Config, First};
use crate::exchange::Entra;
use crate::http::{self, Endpoint};
use crate::metrics::{Holding, Metrics};
use crate::pass_through::PassThrough;

/// An open request may wait for Entra ID, no longer than an exchange takes. The sidecar outlives the application's
/// containers anyway, so it does not linger.
const STEPS: Steps = Steps { linger: Duration::ZERO, deadline: Duration::from_secs(10) };

/// One pod's clients. A token request has a kilobyte, a claims challenge perhaps three more; all connections together may
/// make us hold 8 MiB.
const LIMITS: Limits = Limits {
    connections: 512,
    handshake: Duration::from_secs(10),
    header: Duration::from_secs(10),
    buffer: 16 * 1024,
    idle: Duration::from_secs(120),
};

/// Whoever scrapes needs few, and what is left is for the pod.
const ADMIN_LIMITS: Limits = Limits { connections: 16, ..LIMITS };

/// Between two attempts to get the first token, at least: a token file may appear at any moment.
const PAUSE: Duration = Duration::from_secs(1);

/// A sidecar that listens and does not serve yet.
pub struct App {
    ipv4: Bound,
    ipv6: Option<Bound>,
    router: Router,
    /// Health and metrics for those outside of the pod, if they are asked for.
    admin: Option<(Bound, Router)>,
    readiness: Readiness,
    broker: Broker<Entra>,
    /// What stands between serving and being ready.
    first: Option<(Key, Latch)>,
}

/// Logs, listens and serves until a signal.
pub(crate) fn main(config: Config) -> anyhow::Result<()> {
    logs::init(config.level, logs::Format::Json)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the async runtime")?;
    let app = App::bind(config)?;
    runtime.block_on(app.run(drain::signalled()))
}

// === impl App ===

impl App {
    /// Binds 127.0.0.1, and ::1 where there is one, and nothing else ever: a token is for this pod alone.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn bind(config: Config) -> anyhow::Result<Self> {
        let Config { port, level: _, metrics: admin, ready, pass_through, metadata_service, policy, entra } = config;
        let ipv4 = Bound::bind((Ipv4Addr::LOCALHOST, port).into())?;
        // With the port that the system chose, where it was left to it.
        let ipv6 = or_without(Bound::bind((Ipv6Addr::LOCALHOST, ipv4.local_addr().port()).into()))?;
        let admin = admin.map(Bound::bind).transpose()?;

        let mut registry = metrics::registry("podbadge_sidecar", env!("CARGO_PKG_VERSION"));
        let (metrics, readiness, clock) = (Metrics::new(&mut registry), Readiness::default(), Clock::system());
        let tenant = Arc::new(entra.tenant.clone());
        let broker = Broker::new(Entra::new(entra, clock.clone(), metrics.clone()), clock.clone(), metrics.clone());
        let tokens = broker.clone();
        registry.register_collector(Box::new(Holding(move || tokens.held())));
        let registry = metrics::Metrics::from(registry);
        let first = ready.map(|First { client_id, resource }| {
            let tenant = Arc::clone(policy.identity_map.tenant(client_id).unwrap_or(&tenant));
            let key = Key { client_id, tenant, scope: resource.scope().into(), challenge: None };
            (key, readiness.latch("token"))
        });
        let admin = admin.map(|bound| (bound, admin::router(readiness.clone(), registry.clone())));
        let pass_through = pass_through.map(|paths| PassThrough::new(paths, metadata_service));
        let endpoint =
            Endpoint { policy, pass_through, tenant, broker: broker.clone(), clock, metrics, told: Mutex::default() };
        let router = http::router(endpoint, readiness.clone(), registry);
        Ok(Self { ipv4, ipv6, router, admin, readiness, broker, first })
    }

    /// Where clients find it.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.ipv4.local_addr()
    }

    /// Where health and metrics are served besides.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(bound, _)| bound.local_addr())
    }

    /// Serves until `stop`, then answers what is open. SIGHUP has every token replaced at its next use.
    ///
    /// # Errors
    /// If a socket fails, requests are left behind, or it was stopped before it was ready: what waited for it, a Job for
    /// one, has not run.
    pub async fn run(self, stop: impl Future<Output = io::Result<()>>) -> anyhow::Result<()> {
        let Self { ipv4, ipv6, router, admin, readiness, broker, first } = self;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let (trigger, drain) = drain::drain();
        info!(address = %ipv4.local_addr(), ipv6 = ipv6.is_some(), "Serving");
        let also_router = router.clone();
        let (also_drain, admin_drain) = (drain.clone(), drain.clone());
        let mut servers = pin!(async {
            tokio::try_join!(
                ipv4.serve(router, LIMITS, drain),
                async {
                    match ipv6 {
                        Some(bound) => bound.serve(also_router, LIMITS, also_drain).await,
                        None => Ok(()),
                    }
                },
                async {
                    match admin {
                        Some((bound, router)) => bound.serve(router, ADMIN_LIMITS, admin_drain).await,
                        None => Ok(()),
                    }
                }
            )
        });
        let mut beside = pin!(async { tokio::join!(get_first(first, &broker), flush_when_told(hangup, &broker)) });
        tokio::select! {
            _ = beside.as_mut() => {}
            ended = servers.as_mut() => ended.map(drop).context("stopped serving")?,
            stop = stop => {
                stop.context("cannot listen for signals")?;
                let missing = readiness.missing();
                drain::shutdown(&readiness, trigger, STEPS, servers).await??;
                anyhow::ensure!(missing.is_empty(), "stopped before it was ready: {} is missing", missing.join(", "));
                info!("Stopped");
            }
        }
        Ok(())
    }
}

/// Opens the latch once there is a token. Failures are the broker's to tell, and it paces itself.
async fn get_first(first: Option<(Key, Latch)>, broker: &Broker<Entra>) {
    let Some((key, latch)) = first else {
        return;
    };
    while let Err(failed) = broker.token(&key, &Renewal::None).await {
        tokio::time::sleep(failed.wait.max(PAUSE)).await;
    }
    latch.open();
}

async fn flush_when_told(mut hangup: Signal, broker: &Broker<Entra>) {
    while hangup.recv().await.is_some() {
        broker.flush();
    }
    std::future::pending::<()>().await;
}

/// A pod need not have IPv6. A port that somebody else has on ::1 is an error: `localhost` often means ::1, and clients
/// would bring their secrets to the wrong door.
fn or_without(bound: Result<Bound, serve::Error>) -> Result<Option<Bound>, serve::Error> {
    match bound {
        Ok(bound) => Ok(Some(bound)),
        Err(serve::Error::Bind { source, .. })
            if !matches!(source.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
