//! The webhook's figures, over TLS as the API server sends reviews.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::budget::{CpuTime, Figure, Row, figure, quantile};
use crate::cluster::{CLIENT_ID, Cluster, Lists};
use crate::http::answers;
use crate::load::{self, Shape};
use crate::process::{Process, free_port, mib};
use crate::{Plan, pace};

const H2: Shape = Shape { h1: false, connections: 8, streams: 10 };
const H1: Shape = Shape { h1: true, connections: 8, streams: 1 };
const MANY: Shape = Shape { h1: true, connections: 500, streams: 1 };
const ONE: Shape = Shape { h1: false, connections: 1, streams: 1 };

/// What the certificate is for: our address, and the Service whose names the webhook looks for in it.
const NAMES: [&str; 3] =
    ["127.0.0.1", "podbadge-webhook.podbadge-system.svc", "podbadge-webhook.podbadge-system.svc.cluster.local"];

/// What every run of the webhook shares.
struct Bench<'a> {
    plan: &'a Plan,
    directory: &'a Path,
    review: PathBuf,
    /// The serving certificate, PEM.
    certificate: String,
}

struct Webhook {
    process: Process,
    /// From the fork to readiness.
    start: Duration,
    url: String,
}

/// What a large cluster costs.
struct Large {
    /// From the fork to readiness.
    start: Duration,
    /// Resident memory after a review, in MiB.
    memory: f64,
    /// Resident memory at its highest, in MiB.
    peak: f64,
}

/// Measures all figures of the webhook.
pub(crate) async fn measure(plan: &Plan, directory: &Path) -> Result<Vec<Row>> {
    let bench = Bench::prepare(plan, directory)?;
    let mut rows = bench.speed().await?;
    rows.push(figure::ACCOUNTS_20K.measured(bench.with_accounts(20_000, Lists::Streamed).await?.memory));
    if !plan.quick {
        let streamed = bench.with_accounts(100_000, Lists::Streamed).await?;
        let paged = bench.with_accounts(100_000, Lists::Paged).await?;
        rows.push(figure::ACCOUNTS_100K.measured(streamed.memory));
        rows.push(figure::ACCOUNTS_PEAK.measured(streamed.peak));
        rows.push(figure::ACCOUNTS_PAGED_PEAK.measured(paged.peak));
        rows.push(figure::ACCOUNTS_START.measured(streamed.start.as_secs_f64()));
    }
    Ok(rows)
}

// === impl Bench ===

impl<'a> Bench<'a> {
    fn prepare(plan: &'a Plan, directory: &'a Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(NAMES.map(String::from))?;
        let certificate = made.cert.pem();
        std::fs::write(directory.join("tls.crt"), &certificate)?;
        std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem())?;
        let review = Path::new(env!("CARGO_MANIFEST_DIR")).join("review.json");
        Ok(Self { plan, directory, review, certificate })
    }

    async fn start(&self, cluster: &Cluster) -> Result<Webhook> {
        let (listen, admin) = (free_port()?, free_port()?);
        let log = self.directory.join("webhook.log");
        let mut command = Command::new(self.plan.bin_dir.join("podbadge-webhook"));
        command
            .arg(format!("--listen-address={listen}"))
            .arg(format!("--admin-address={admin}"))
            .args(["--tls=files", "--tls-dir"])
            .arg(self.directory)
            .args(["--namespace=podbadge-system", "--sidecar-image=podbadge/sidecar:bench"])
            .env("KUBECONFIG", &cluster.kubeconfig);
        let mut process = Process::start(command, &log)?;
        // The stand-in API server runs in this process, on other threads.
        let process = tokio::task::spawn_blocking(move || {
            let start = process.until(&log, || answers(admin, "/readyz")).context("podbadge-webhook")?;
            anyhow::Ok((process, start))
        });
        let (process, start) = process.await??;
        Ok(Webhook { process, start, url: format!("https://{listen}/mutate-v1-pod?timeout=5s") })
    }

    /// What is fast must be right as well: one review is read back before any is counted.
    async fn verify(&self, webhook: &Webhook) -> Result<()> {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.certificate.as_bytes())?])
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()?;
        let request = client.post(&webhook.url).header("content-type", "application/json");
        let answer = request.body(std::fs::read(&self.review)?).send().await?.error_for_status()?;
        let answer: serde_json::Value = answer.json().await?;
        let response = &answer["response"];
        ensure!(response["allowed"] == true, "the webhook denies the review: {}", response["status"]["message"]);
        let patch = response["patch"].as_str().context("the webhook's answer has no patch")?;
        let patch = BASE64.decode(patch).context("the webhook's patch is not base64")?;
        ensure!(
            String::from_utf8_lossy(&patch).contains(CLIENT_ID),
            "the webhook's patch does not hold the client id of the service account"
        );
        Ok(())
    }

    async fn speed(&self) -> Result<Vec<Row>> {
        let cluster = Cluster::start(0, Lists::Streamed, self.directory).await?;
        let webhook = self.start(&cluster).await?;
        self.verify(&webhook).await?;
        let few = self.plan.requests;
        // Warm connections, allocator and branch predictors; not counted.
        load::h2load(H2, few / 10, &self.review, &webhook.url, None)?;

        let mut rows = self.rate(&webhook, H2, figure::H2_RATE, figure::H2_CPU)?;
        rows.extend(self.rate(&webhook, H1, figure::H1_RATE, figure::H1_CPU)?);
        rows.extend(self.one_at_a_time(&webhook)?);
        rows.push(figure::FEW_MEMORY.measured(mib(webhook.process.peak_memory()?)));
        rows.extend(self.rate(&webhook, MANY, figure::MANY_RATE, figure::MANY_CPU)?);
        rows.push(figure::MANY_MEMORY.measured(mib(webhook.process.peak_memory()?)));
        Ok(rows)
    }

    /// The figures of several runs; their average would tell more about the neighbours.
    fn rate(&self, webhook: &Webhook, shape: Shape, rate: Figure, cpu: Figure) -> Result<Vec<Row>> {
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.repetitions {
            let pace = pace::now()?;
            let before = webhook.process.cpu()?;
            let load = load::h2load(shape, self.plan.requests, &self.review, &webhook.url, None)?;
            let spent = webhook.process.cpu()?.saturating_sub(before);
            rates.push(load.per_second);
            let pace = f64::midpoint(pace, pace::now()?);
            costs.push(CpuTime { cost: spent.as_secs_f64() * 1e6 / load.requests as f64, pace });
        }
        let rate = quantile(&mut rates, 0.5).map(|median| rate.measured(median));
        Ok(rate.into_iter().chain(cpu.median(&mut costs)).collect())
    }

    fn one_at_a_time(&self, webhook: &Webhook) -> Result<Vec<Row>> {
        let log = self.directory.join("latencies");
        load::h2load(ONE, self.plan.requests / 5, &self.review, &webhook.url, Some(&log))?;
        let mut times = load::latencies(&std::fs::read_to_string(&log)?)?;
        let rows = [(figure::P50, quantile(&mut times, 0.5)), (figure::P99, quantile(&mut times, 0.99))];
        Ok(rows.into_iter().filter_map(|(figure, time)| Some(figure.measured(time? / 1000.0))).collect())
    }

    /// The webhook in a cluster with that many annotated accounts.
    async fn with_accounts(&self, accounts: usize, lists: Lists) -> Result<Large> {
        let cluster = Cluster::start(accounts, lists, self.directory).await?;
        let webhook = self.start(&cluster).await?;
        self.verify(&webhook).await?;
        let Webhook { process, start, .. } = &webhook;
        Ok(Large { start: *start, memory: mib(process.memory()?), peak: mib(process.peak_memory()?) })
    }
}
