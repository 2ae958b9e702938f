//! Admissions without end: straight to the replicas, as an API server asks them, and through the API server.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podbadge_cluster_tests::entra::ACCOUNT;
use podbadge_cluster_tests::install::{NAMESPACE, WEBHOOK};
use podbadge_cluster_tests::kubernetes::Objects;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::wait::until;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::outage::addresses;
use crate::pods::{USE, container, shell, variable};

/// How old `caBundle` is for those who ask the replicas directly: API servers follow a change within that.
const LAG: Duration = Duration::from_millis(500);
/// So many ask at the same time, of either kind.
const CLIENTS: u32 = 16;

/// A running load. Dropping it ends it.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    began: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Done {
    /// Admissions asked of the replicas directly, each over a connection of its own.
    pub(crate) direct: u64,
    /// Admissions through the API server.
    pub(crate) through: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// How many different authorities signed.
    pub(crate) authorities: usize,
}

#[derive(Default)]
struct Shared {
    direct: AtomicU64,
    through: AtomicU64,
    authorities: Mutex<BTreeSet<String>>,
    failures: Mutex<Vec<String>>,
}

// === impl Load ===

impl Load {
    /// Asks so often a second, directly and through the API server. The namespace has an annotated [`ACCOUNT`].
    pub(crate) async fn start(scope: &Scope, direct: u32, through: u32) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let replicas = addresses(scope).await?;
        let (tell, clients) = watch::channel(Vec::new());
        let mut tasks = JoinSet::new();
        let configurations = configurations(scope, "MutatingWebhookConfiguration").await?;
        tasks.spawn(follow(configurations, replicas, tell, Arc::clone(&shared)));
        let review = review(&scope.namespace);
        let of = |rate: u32| interval(Duration::from_secs(1) * CLIENTS / rate.max(1));
        for client in 0..CLIENTS {
            let pods = scope.objects("v1", "Pod").await?;
            let first = client as usize;
            tasks.spawn(ask_directly(of(direct), first, clients.clone(), review.clone(), Arc::clone(&shared)));
            tasks.spawn(ask_through(of(through), pods, format!("asked-{client}"), Arc::clone(&shared)));
        }
        Ok(Self { tasks, shared, began: Instant::now() })
    }

    /// Ends it. One failed admission fails all.
    pub(crate) async fn end(mut self) -> Result<Done> {
        self.tasks.shutdown().await;
        let Shared { direct, through, authorities, failures } = &*self.shared;
        let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(failures.is_empty(), "{} admissions failed, the first: {}", failures.len(), failures[0]);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let authorities = authorities.lock().unwrap_or_else(PoisonError::into_inner).len();
        Ok(Done { direct: count(direct), through: count(through), took: self.began.elapsed(), authorities })
    }
}

// === impl Shared ===

impl Shared {
    fn count(&self, counter: &AtomicU64, outcome: Result<()>) {
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = outcome {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
        }
    }
}

type Clients = Vec<(Ipv4Addr, reqwest::Client)>;

/// One replica after the other.
async fn ask_directly(
    mut interval: Interval,
    mut turn: usize,
    clients: watch::Receiver<Clients>,
    review: Value,
    shared: Arc<Shared>,
) {
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let asked = clients.borrow().iter().cycle().nth(turn % 2).cloned();
        turn += 1;
        if let Some((address, asked)) = asked {
            let answer = ask(&asked, &review).await;
            shared.count(&shared.direct, answer.with_context(|| format!("replica {address}")));
        }
    }
}

async fn ask_through(mut interval: Interval, pods: Objects, name: String, shared: Arc<Shared>) {
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let answer = admitted(&pods, &name).await;
        shared.count(&shared.through, answer.context("through the API server"));
    }
}

/// Hands out a client for each replica that trusts what `caBundle` trusted a moment ago.
async fn follow(
    configurations: Objects,
    replicas: Vec<Ipv4Addr>,
    clients: watch::Sender<Clients>,
    shared: Arc<Shared>,
) {
    let mut last = String::new();
    loop {
        let bundle = configurations.get(WEBHOOK).await.ok().and_then(|configuration| ca_bundle(&configuration).ok());
        if clients.borrow().is_empty() {
            last.clear();
        } else {
            tokio::time::sleep(LAG).await;
        }
        if let Some(bundle) = bundle.filter(|bundle| *bundle != last && !bundle.is_empty()) {
            let signing = bundle.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap_or_default().to_owned();
            shared.authorities.lock().unwrap_or_else(PoisonError::into_inner).insert(signing);
            let made: Result<_> = replicas.iter().map(|replica| Ok((*replica, client(*replica, &bundle)?))).collect();
            if let Ok(made) = made {
                clients.send_replace(made);
            }
            last = bundle;
        }
    }
}

pub(crate) async fn configurations(scope: &Scope, kind: &str) -> Result<Objects> {
    Objects::of(&scope.cluster.client, "admissionregistration.k8s.io/v1", kind, "").await
}

/// The bundle of the first entry, PEM.
pub(crate) fn ca_bundle(configuration: &Value) -> Result<String> {
    let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default();
    Ok(String::from_utf8(STANDARD.decode(bundle)?)?)
}

/// A client that asks one replica as the API server does, but each time on a new connection.
pub(crate) fn client(replica: Ipv4Addr, bundle: &str) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .tls_info(true)
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(bundle.as_bytes())?)
        .resolve(&host(), SocketAddr::from((replica, 9443)))
        .timeout(Duration::from_secs(10));
    Ok(client.build()?)
}

/// The certificate that a replica serves, DER, if the bundle vouches for it.
pub(crate) async fn served(replica: Ipv4Addr, bundle: &str) -> Result<Vec<u8>> {
    let answer = client(replica, bundle)?.get(format!("https://{}:9443/", host())).send().await?;
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().context("no TLS")?;
    Ok(info.peer_certificate().context("no certificate")?.to_owned())
}

fn host() -> String {
    format!("{WEBHOOK}.{NAMESPACE}.svc")
}

/// Asks about the pod.
pub(crate) async fn ask(client: &reqwest::Client, review: &Value) -> Result<()> {
    let url = format!("https://{}:9443/mutate-v1-pod?timeout=5s", host());
    let answer = client.post(url).body(review.to_string()).header("content-type", "application/json").send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    let answer: Value = serde_json::from_slice(&answer.bytes().await?)?;
    ensure!(answer["response"]["patch"].is_string(), "{answer}");
    Ok(())
}

/// A review of a pod of the annotated account.
pub(crate) fn review(namespace: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": namespace,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": pod("asked"),
        },
    })
}

fn pod(name: &str) -> Value {
    let mut pod = shell(name, "true");
    pod["metadata"]["labels"] = json!({USE: "true"});
    pod["spec"]["serviceAccountName"] = json!(ACCOUNT);
    pod
}

async fn admitted(pods: &Objects, name: &str) -> Result<()> {
    let stored = pods.dry_run(&pod(name)).await?;
    let app = container(&stored, "app").context("app")?;
    variable(app, "AZURE_CLIENT_ID").map(drop).context("no identity")
}

/// Waits until pods get their identity through the API server.
pub(crate) async fn works(scope: &Scope) -> Result<()> {
    let pods = scope.objects("v1", "Pod").await?;
    until("pods get their identity", async || admitted(&pods, "works").await).await
}
