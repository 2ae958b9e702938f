//! `podbadge demo`: the whole path on one machine, in seconds, without a cluster and without a network.
//!
//! ```text
//! story -> site (issuer, Entra ID, vault, webhook) -> pod (admitted, mounted, its sidecar a process) -> step -> teller
//! ```

mod console;
mod pod;
mod site;
mod step;
mod story;
mod teller;

use crate::signals::Signals;
use anyhow::Context as _;
use std::{io, time::Instant};
use teller::Teller;

/// Show the whole path on this machine, in seconds: no cluster, no network.
///
/// Starts a cluster issuer, a local Entra ID with a key vault, and the webhook; creates a pod, runs its sidecar with what
/// was injected, asks it for a token as an application does and reads a secret with it; then shows a refusal. Ports are
/// free ones on loopback, files are in a folder that goes away, and no token is ever printed.
///
/// Exit code 0 only if the application read its secret with the token, and who must not have one was refused.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON document, for programs
    #[arg(long)]
    json: bool,
    /// Leave everything running until Ctrl-C, and say how to try it
    #[arg(long)]
    keep: bool,
    /// No colours; there are none either with NO_COLOR set, or where standard output is no terminal
    #[arg(long)]
    no_color: bool,
}

/// Runs the subcommand.
///
/// # Errors
///
/// A part does not start, or the path does not lead where it should.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(show(args)) {
        // Whoever read the output has seen enough, as in `podbadge demo | head`.
        Err(error) if is_unheard(&error) => Ok(()),
        shown => shown,
    }
}

async fn show(args: &Args) -> anyhow::Result<()> {
    let mut signals = Signals::catch_hangup_too().context("cannot wait for signals")?;
    let started = Instant::now();
    let mut teller = if args.json { Teller::json() } else { Teller::console(args.no_color)? };
    let told = tokio::select! {
        told = story::tell(&mut teller) => told,
        () = signals.one() => Err(anyhow::anyhow!("interrupted")),
    };
    let stage = match told {
        Ok(stage) => stage,
        Err(error) => {
            teller.failed(&error)?;
            return Err(error);
        }
    };
    let told = teller.done(started.elapsed(), args.keep.then(|| stage.tries()));
    let kept = match told {
        Ok(()) if args.keep => stage.keep(&mut signals).await,
        told => told.map_err(Into::into),
    };
    stage.stop().await;
    kept
}

/// Whether standard output was closed: only what is told fails with a bare error of that kind, others say where.
fn is_unheard(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
