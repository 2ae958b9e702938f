//! A program of the control plane, its output kept in a file.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// A running program; dropping it kills it.
pub(crate) struct Process {
    name: &'static str,
    command: Command,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &'static str, binaries: &Path, folder: &Path, arguments: &[String]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(binaries.join(name));
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        let child = spawn(&mut command, &log)?;
        Ok(Self { name, command, child, log })
    }

    /// Kills it and starts it again, with the same arguments; its output goes on in the same file.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.name))?;
        self.child = spawn(&mut self.command, &self.log)?;
        Ok(())
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended, {status}:\n{}", self.name, tail(&self.log, 30));
        }
        Ok(())
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let output = OpenOptions::new().append(true).open(log).with_context(|| log.display().to_string())?;
    command
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("{} cannot be started", command.as_std().get_program().display()))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
