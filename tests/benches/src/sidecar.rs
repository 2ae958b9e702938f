//! The sidecar's figures: how it starts, what it weighs, how fast it answers from its cache.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::budget::{CpuTime, Row, figure, quantile};
use crate::entra::Entra;
use crate::process::{Process, free_port, mib};
use crate::{Plan, http, load, pace};

const TOKEN_PATH: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
const METADATA: &str = "Metadata: true";

/// Tokens after which nothing may have been left behind.
const MANY: u64 = 1_000_000;

struct Bench<'a> {
    plan: &'a Plan,
    binary: PathBuf,
    entra: Entra,
    log: PathBuf,
}

struct Sidecar {
    process: Process,
    address: SocketAddr,
    /// From the fork to the first answer.
    start: Duration,
}

/// Measures all figures of the sidecar.
pub(crate) async fn measure(plan: &Plan, directory: &Path) -> Result<Vec<Row>> {
    let bench = Bench {
        plan,
        binary: plan.bin_dir.join("podbadge-sidecar"),
        entra: Entra::start(directory).await?,
        log: directory.join("sidecar.log"),
    };
    // The emulator runs in this process, on other threads.
    tokio::task::block_in_place(|| bench.measure())
}

// === impl Bench ===

impl Bench<'_> {
    fn measure(&self) -> Result<Vec<Row>> {
        let size = std::fs::metadata(&self.binary).with_context(|| format!("{}", self.binary.display()))?.len();
        let mut rows = vec![figure::SIZE.measured(mib(size / 1024))];

        let mut starts = Vec::new();
        for _ in 0..self.plan.starts {
            starts.push(self.start()?.start.as_secs_f64() * 1000.0);
        }
        rows.extend(quantile(&mut starts, 0.5).map(|median| figure::START.measured(median)));

        let sidecar = self.start()?;
        token(sidecar.address)?;
        rows.push(figure::TOKEN_MEMORY.measured(mib(sidecar.process.memory()?)));
        rows.extend(self.cached(&sidecar)?);
        if !self.plan.quick {
            self.until(&sidecar, MANY)?;
            rows.push(figure::MANY_TOKENS_MEMORY.measured(mib(sidecar.process.memory()?)));
        }
        Ok(rows)
    }

    /// Asks until that many tokens were handed out, those of before not counted.
    fn until(&self, sidecar: &Sidecar, tokens: u64) -> Result<()> {
        let mut handed_out = 0;
        while handed_out < tokens {
            handed_out += load::wrk(self.plan.seconds, METADATA, &sidecar.url())?.requests;
        }
        Ok(())
    }

    fn start(&self) -> Result<Sidecar> {
        let address = free_port()?;
        let mut command = Command::new(&self.binary);
        command.env_clear().envs(self.entra.environment()).env("PODBADGE_PORT", address.port().to_string());
        let mut process = Process::start(command, &self.log)?;
        let start = process.until(&self.log, || http::answers(address, "/readyz")).context("podbadge-sidecar")?;
        Ok(Sidecar { process, address, start })
    }

    fn cached(&self, sidecar: &Sidecar) -> Result<Vec<Row>> {
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.repetitions {
            let pace = pace::now()?;
            let before = sidecar.process.cpu()?;
            let load = load::wrk(self.plan.seconds, METADATA, &sidecar.url())?;
            let spent = sidecar.process.cpu()?.saturating_sub(before);
            rates.push(load.per_second);
            let pace = f64::midpoint(pace, pace::now()?);
            costs.push(CpuTime { cost: spent.as_secs_f64() * 1e6 / load.requests as f64, pace });
        }
        let rate = quantile(&mut rates, 0.5).map(|median| figure::TOKEN_RATE.measured(median));
        Ok(rate.into_iter().chain(figure::TOKEN_CPU.median(&mut costs)).collect())
    }
}

impl Sidecar {
    fn url(&self) -> String {
        format!("http://{}{TOKEN_PATH}", self.address)
    }
}

/// Gets one token, as an application does.
fn token(address: SocketAddr) -> Result<()> {
    let (status, body) = http::get(address, TOKEN_PATH, &format!("{METADATA}\r\n"))?;
    // The body of an answer that is not 200 holds no token.
    ensure!(status == 200, "the sidecar answers {status}: {body}");
    ensure!(body.contains("access_token"), "the sidecar's answer holds no token");
    Ok(())
}
