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
    serve::{Bound, Counts, Limits},
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

/// Open files that are kept for probes, scrapes, the API server's own connections and what a process has besides.
const RESERVE: u64 = 256;

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
    readiness.register(&mut registry);
    let door = door.counted(Counts::register(&mut registry));
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
        let leadership = certificate.leadership();
        let electing = async {
            leadership.run(draining.clone()).await;
            Ok(())
        };
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
            let limits = Limits::default();
            let limits =
                Limits { buffer: BUFFER, connections: connections(open_files(), limits.connections), ..limits };
            Ok(door.serve_tls(tls, router, limits, draining.clone()).await?)
        };
        tokio::select! {
            // Together, so that leases are given back before the end.
            served = async { tokio::try_join!(serving, healing, electing) } => served.map(drop),
            () = watches.run() => anyhow::bail!("the watch of service accounts ended"),
            () = certificate.run() => anyhow::bail!("the care for the certificate ended"),
        }
    }
}

/// How many files may be open. Container runtimes give a low limit that every process may raise, as Go's do by themselves.
fn open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, ..limits };
    let raised = setrlimit(Resource::Nofile, raised).map(|()| raised);
    raised.unwrap_or(limits).current
}

/// As many connections as are wanted and can be had, with room for probes.
fn connections(open_files: Option<u64>, wanted: usize) -> usize {
    let most = open_files.and_then(|files| usize::try_from(files.saturating_sub(RESERVE)).ok());
    let most = most.unwrap_or(wanted).clamp(1, wanted);
    if most < wanted {
        tracing::warn!(
            connections = most,
            "Fewer connections are taken at once than should be: raise the limit of open files"
        );
    }
    most
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

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn probes_have_room_where_few_files_may_be_open() {
        for (files, expected) in
            [(None, 2048), (Some(1 << 20), 2048), (Some(2304), 2048), (Some(1024), 768), (Some(64), 1)]
        {
            assert_eq!(connections(files, 2048), expected, "{files:?}");
        }
    }
}
