//! The process from its settings to its end.

use crate::{
    admit::Admission,
    args::Args,
    capabilities,
    config::Config,
    heal::{self, Healer},
    http,
    lookup::{Cluster, Index, Live, Watches},
    metrics::{self as webhook_metrics, Admissions, Lookups},
    tls,
};
use anyhow::{Context as _, anyhow};
use kube::Client;
use podbadge_runtime::{
    admin, drain,
    metrics::{self, Metrics, Registry},
    ready::{Latch, Readiness},
    serve::{Bound, Limits},
};
use podbadge_webhook_core::settings::{Roots, Settings};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Builder, sync::oneshot};

/// Endpoints leave the Service a few seconds after the pod began to end; until then reviews keep coming. Both together
/// stay below the 30 seconds that a pod has by default.
const STEPS: drain::Steps = drain::Steps { linger: Duration::from_secs(5), deadline: Duration::from_secs(15) };

/// What each connection of the API server holds: it opens one for every concurrent pod, hundreds at once, and its headers
/// are short. Bodies are not held here.
const BUFFER: usize = 8 * 1024;

/// Runs the webhook until a signal ends it.
///
/// # Errors
///
/// [`crate::config::Invalid`] for a wrong setting; else what could not be started, or what ended before its time.
pub fn run(args: Args) -> anyhow::Result<()> {
    let logs = args.logs;
    let config = Config::try_from(args)?;
    logs.init()?;
    // The API server's client takes the process's provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // More threads than cores only wait for each other.
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let ended = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let (trigger, draining) = drain::drain();
    let door = Bound::bind(config.listen_address)?;
    let admin_door = Bound::bind(config.admin_address)?;
    tracing::info!(webhook = %door.local_addr(), admin = %admin_door.local_addr(), "Listening");

    let mut registry = metrics::registry("podbadge_webhook", env!("CARGO_PKG_VERSION"));
    let app = App::new(config, &readiness, &mut registry).await?;
    let admin = admin::router(readiness.clone(), Metrics::from(registry));
    let mut admin = tokio::spawn(admin_door.serve(admin, Limits::default(), draining.clone()));
    let mut app = tokio::spawn(app.run(door, draining));
    let mut signal = std::pin::pin!(drain::signalled());
    tokio::select! {
        signal = &mut signal => signal.context("signals cannot be received")?,
        ended = &mut app => return ended?.and_then(|()| anyhow::bail!("serving ended by itself")),
        ended = &mut admin => return Ok(ended??),
    }
    let (app, admin) = drain::shutdown(&readiness, trigger, STEPS, async { tokio::join!(app, admin) }).await?;
    app??;
    Ok(admin??)
}

/// Everything that serves reviews.
struct App {
    config: Config,
    client: Client,
    version: Latch,
    watches: Watches,
    certificate: tls::Source,
    cluster: Cluster,
    admissions: Admissions,
    healer: Option<Healer>,
}

impl App {
    async fn new(config: Config, readiness: &Readiness, registry: &mut Registry) -> anyhow::Result<Self> {
        // Its sources repeat what it says itself, and its further lines quote the file, which may hold a token.
        let cluster = kube::Config::infer().await.map_err(|error| {
            let error = error.to_string();
            let why = error.lines().next().unwrap_or_default();
            anyhow!("no cluster is known: run in a pod with a service account, or name a file with KUBECONFIG: {why}")
        })?;
        let unusable = "the cluster's settings cannot be used";
        let healing = heal::client(cluster.clone()).context(unusable)?;
        let client = Client::try_from(cluster).context(unusable)?;
        let (index, live) = (Arc::new(Index::default()), Arc::new(Live::new(client.clone())));
        let watched = webhook_metrics::Watches::register(registry);
        let default_tenant = config.settings.tenant_id.is_some();
        Ok(Self {
            watches: Watches::new(client.clone(), &index, &live, readiness, &watched),
            certificate: tls::Source::new(&config, client.clone(), readiness, registry)?,
            healer: Healer::new(&config, healing, Arc::clone(&index), readiness, registry),
            cluster: Cluster::new(index, live, default_tenant, Lookups::register(registry)),
            admissions: Admissions::register(registry),
            version: readiness.latch("cluster's features known"),
            client,
            config,
        })
    }

    /// Serves until the drain is over. A part that ends before is an error: without its watch or its certificate the
    /// process would go on with yesterday's knowledge.
    async fn run(self, door: Bound, draining: drain::Drain) -> anyhow::Result<()> {
        let Self { config, client, version, watches, certificate, cluster, admissions, healer } = self;
        let tls = certificate.server_config();
        let drain = draining.clone();
        let (known, asked) = oneshot::channel();
        let healing = async {
            if let Some(healer) = healer {
                healer.run(asked, drain).await;
            }
            Ok(())
        };
        let serving = async {
            let settings = tokio::select! {
                settings = settings(config, &client) => settings,
                () = draining.started() => return Ok(()),
            };
            // Until here nobody accepts connections.
            version.open();
            let settings = Arc::new(settings);
            // Nobody waits for them where nobody heals.
            let _ = known.send(Arc::clone(&settings));
            let router = http::router(Admission::new(settings, cluster), admissions);
            let limits = Limits { buffer: BUFFER, ..Limits::default() };
            Ok(door.serve_tls(tls, router, limits, draining).await?)
        };
        tokio::select! {
            // Together, so that the lease is given back before the end.
            served = async { tokio::try_join!(serving, healing) } => served.map(drop),
            () = watches.run() => anyhow::bail!("the watch of service accounts ended"),
            () = certificate.run() => anyhow::bail!("the care for the certificate ended"),
        }
    }
}

/// The settings, with what depends on the cluster.
async fn settings(config: Config, client: &Client) -> Settings {
    let mut settings = config.settings;
    settings.sidecar.native = match config.native_sidecar {
        Some(native) => native,
        None => capabilities::has_native_sidecar(client).await,
    };
    if let Some(endpoint) = &mut settings.token_endpoint
        && let Roots::Bundles { served, .. } = &mut endpoint.roots
    {
        *served = capabilities::has_trust_bundles(client).await;
    }
    settings
}
