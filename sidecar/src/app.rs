//! The process, put together.

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{io, pin::pin};

use anyhow::Context as _;
use axum::Router;
use podbadge_runtime::drain::{self, Steps};
use podbadge_runtime::ready::Readiness;
use podbadge_runtime::serve::{self, Bound, Limits};
use podbadge_runtime::{logs, metrics};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::exchange::Entra;
use crate::http::{self, Endpoint};
use crate::metrics::{Holding, Metrics};

/// An open request may wait for Entra ID, no longer than an exchange takes. The sidecar outlives the application's
/// containers anyway, so it does not linger.
const STEPS: Steps = Steps { linger: Duration::ZERO, deadline: Duration::from_secs(10) };

/// One pod's clients; a connection costs up to some kilobytes here.
const LIMITS: Limits = Limits {
    connections: 512,
    handshake: Duration::from_secs(10),
    header: Duration::from_secs(10),
    idle: Duration::from_secs(120),
};

/// A sidecar that listens and does not serve yet.
pub struct App {
    ipv4: Bound,
    ipv6: Option<Bound>,
    router: Router,
    readiness: Readiness,
    broker: Broker<Entra>,
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
        let Config { port, level: _, policy, entra } = config;
        let ipv4 = Bound::bind((Ipv4Addr::LOCALHOST, port).into())?;
        // With the port that the system chose, where it was left to it.
        let ipv6 = or_without(Bound::bind((Ipv6Addr::LOCALHOST, ipv4.local_addr().port()).into()))?;

        let mut registry = metrics::registry("podbadge_sidecar", env!("CARGO_PKG_VERSION"));
        let (metrics, readiness, clock) = (Metrics::new(&mut registry), Readiness::default(), Clock::system());
        let tenant = Arc::new(entra.tenant.clone());
        let broker = Broker::new(Entra::new(entra, clock.clone(), metrics.clone()), clock.clone(), metrics.clone());
        let tokens = broker.clone();
        registry.register_collector(Box::new(Holding(move || tokens.held())));
        let endpoint = Endpoint { policy, tenant, broker: broker.clone(), clock, metrics };
        let router = http::router(endpoint, readiness.clone(), registry.into());
        Ok(Self { ipv4, ipv6, router, readiness, broker })
    }

    /// Where clients find it.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.ipv4.local_addr()
    }

    /// Serves until `stop`, then answers what is open. SIGHUP has every token replaced at its next use.
    ///
    /// # Errors
    /// If a socket fails, or requests are left behind.
    pub async fn run(self, stop: impl Future<Output = io::Result<()>>) -> anyhow::Result<()> {
        let Self { ipv4, ipv6, router, readiness, broker } = self;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        let (trigger, drain) = drain::drain();
        info!(address = %ipv4.local_addr(), ipv6 = ipv6.is_some(), "Serving");
        let also_router = router.clone();
        let also_drain = drain.clone();
        let mut servers = pin!(async {
            tokio::try_join!(ipv4.serve(router, LIMITS, drain), async {
                match ipv6 {
                    Some(bound) => bound.serve(also_router, LIMITS, also_drain).await,
                    None => Ok(()),
                }
            })
        });
        let mut flushing = pin!(flush_when_told(hangup, broker));
        tokio::select! {
            () = flushing.as_mut() => {}
            ended = servers.as_mut() => ended.map(drop).context("stopped serving")?,
            stop = stop => {
                stop.context("cannot listen for signals")?;
                drain::shutdown(&readiness, trigger, STEPS, servers).await??;
                info!("Stopped");
            }
        }
        Ok(())
    }
}

async fn flush_when_told(mut hangup: Signal, broker: Broker<Entra>) {
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
