//! Measures the shipped binaries and prints what it finds beside the budget.
//!
//! The measured process has one core, everything else another. What is judged with `--check` are figures that a busy
//! machine leaves alone: time on the core, memory, bytes. Rates and delays are printed, and judged by people.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod budget;
mod cluster;
mod entra;
mod http;
mod load;
mod pace;
mod process;
mod sidecar;
mod webhook;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use budget::Row;
use clap::{Parser, ValueEnum};

/// Measures speed, memory and size of podbadge-webhook and podbadge-sidecar
#[derive(Debug, Parser)]
struct Args {
    /// The folder of both binaries, as `cargo xtask release` leaves them
    #[arg(long, value_name = "FOLDER")]
    bin_dir: PathBuf,
    /// Measure one of the two only
    #[arg(long, value_name = "PROGRAM")]
    only: Option<Program>,
    /// Fewer requests and repetitions, no large cluster: half a minute
    #[arg(long)]
    quick: bool,
    /// Fail if CPU time, memory or size is more than twice its budget
    #[arg(long)]
    check: bool,
    /// Write the figures to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into this document, in place of the one that it has, as docs/performance.md
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    Webhook,
    Sidecar,
}

/// How much is measured.
struct Plan {
    bin_dir: PathBuf,
    quick: bool,
    /// Of each load, whose median counts.
    repetitions: u32,
    /// Admissions a repetition.
    requests: u64,
    /// Starts of the sidecar, of which the median counts.
    starts: u32,
    /// How long each repetition asks for cached tokens.
    seconds: u32,
}

/// How often `--check` measures before it believes a figure that is beyond: CPU time, too, grows when neighbours on the
/// same machine take the caches, and a slow program is slow every time.
const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("podbadge-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True unless a binding figure is beyond its floor and that was asked for.
fn run(args: &Args) -> Result<bool> {
    // Before any thread is started, so that all of them stay away from the measured core.
    if !process::stand_aside() {
        println!("only one core: client and server share it, so rates and delays are worse than they are");
    }
    process::go_ahead();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed already"))?;
    let directory = tempfile::tempdir().context("cannot make a temporary folder")?;
    let plan = Plan::new(args);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = runtime.block_on(measure(args, &plan, directory.path()))?;
    let beyond = |rows: &[Row]| -> Vec<&'static str> {
        rows.iter().filter(|row| row.binding() && !row.holds()).map(|row| row.figure.name).collect()
    };
    for _ in 1..ATTEMPTS {
        if !args.check || beyond(&rows).is_empty() {
            break;
        }
        println!("beyond in this run: {}; neighbours may be loud, measuring again", beyond(&rows).join("; "));
        rows = runtime.block_on(measure(args, &plan, directory.path()))?;
    }

    println!("{}", budget::table(&rows));
    if let Some(path) = &args.json {
        let figures: Vec<_> = rows.iter().map(Row::json).collect();
        let text = format!("{:#}\n", serde_json::Value::from(figures));
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.document {
        document(path, &rows)?;
    }
    let beyond = beyond(&rows);
    if args.check && !beyond.is_empty() {
        eprintln!("podbadge-benches: more than {} times the budget: {}", budget::FLOOR, beyond.join("; "));
        return Ok(false);
    }
    Ok(true)
}

/// Puts the table where the document has one: between the first line of a table and the next that is none.
fn document(path: &Path, rows: &[Row]) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_row = |line: &&str| line.starts_with('|');
    let before: Vec<&str> = text.lines().take_while(|line| !is_row(line)).collect();
    let after: Vec<&str> = text.lines().skip(before.len()).skip_while(is_row).collect();
    let text = format!("{}\n{}{}\n", before.join("\n"), budget::markdown(rows), after.join("\n"));
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

async fn measure(args: &Args, plan: &Plan, directory: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    if args.only != Some(Program::Sidecar) {
        rows.extend(webhook::measure(plan, directory).await.context("measuring the webhook")?);
    }
    if args.only != Some(Program::Webhook) {
        rows.extend(sidecar::measure(plan, directory).await.context("measuring the sidecar")?);
    }
    Ok(rows)
}

// === impl Plan ===

impl Plan {
    fn new(args: &Args) -> Self {
        let bin_dir = args.bin_dir.clone();
        if args.quick {
            Self { bin_dir, quick: true, repetitions: 3, requests: 20_000, starts: 9, seconds: 1 }
        } else {
            Self { bin_dir, quick: false, repetitions: 5, requests: 100_000, starts: 41, seconds: 5 }
        }
    }
}
