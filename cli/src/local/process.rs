//! The sidecar as a process of its own, started as a container runtime starts it: with its variables and no others.

use super::kubelet::Environment;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout_at},
};

/// How long the sidecar may take to be ready; it needs milliseconds.
const READY: Duration = Duration::from_secs(10);
/// The pause between two probes.
const PAUSE: Duration = Duration::from_millis(20);

/// A program that is a sidecar: `program arguments...` serves, and with `probe` behind it is probed.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// What makes it the sidecar.
    pub arguments: Vec<String>,
}

/// A running sidecar; dropping it kills it.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
}

/// Why there is no sidecar.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be run at all.
    #[error("cannot run {path}", path = .path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the sidecar ended at its start: {0}")]
    Ended(String),
    /// It did not become ready in time.
    #[error("the sidecar was not ready within {within:?}: {0}", within = READY)]
    NotReady(String),
}

// === impl Program ===

impl Program {
    fn command(&self, environment: &Environment) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(environment).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts the sidecar, its log going to `log`, and waits until its probe succeeds.
    ///
    /// # Errors
    ///
    /// It cannot be run, ends, or does not become ready.
    pub async fn start(&self, environment: &Environment, log: &Path) -> Result<Sidecar, Error> {
        let run = |source| Error::Run { path: self.path.clone(), source };
        let output = File::create(log).map_err(run)?;
        let mut child =
            self.command(environment).stdout(output.try_clone().map_err(run)?).stderr(output).spawn().map_err(run)?;
        let deadline = Instant::now() + READY;
        loop {
            if child.try_wait().map_err(run)?.is_some() {
                return Err(Error::Ended(last_line(log)));
            }
            let mut probe = self.command(environment);
            let probe = probe.arg("probe").stdout(Stdio::null()).stderr(Stdio::null()).status();
            let Ok(status) = timeout_at(deadline, probe).await else {
                return Err(Error::NotReady(last_line(log)));
            };
            if status.map_err(run)?.success() {
                return Ok(Sidecar { child });
            }
            sleep(PAUSE).await;
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

// === impl Sidecar ===

impl Sidecar {
    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once; it has nothing to lose.
    pub async fn stop(mut self) {
        // Where it is gone already there is nothing to do.
        let _ = self.child.kill().await;
    }
}
