//! A program of the control plane, its output kept in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};

/// A running program; dropping it kills it.
pub(crate) struct Process {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    child: Child,
}

impl Process {
    pub(crate) fn start(name: &'static str, binaries: &Path, folder: &Path, arguments: Vec<String>) -> Result<Self> {
        let program = binaries.join(name);
        let child = spawn(&program, folder, &log(folder, name), &arguments, &[])?;
        Ok(Self { name, program, arguments, folder: folder.to_owned(), child })
    }

    /// Kills it and starts it again, with further arguments; its output goes on in the same file.
    pub(crate) async fn restart(&mut self, further: &[&str]) -> Result<()> {
        let Self { name, program, arguments, folder, child } = self;
        child.kill().await.with_context(|| format!("{name} cannot be killed"))?;
        *child = spawn(program, folder, &log(folder, name), arguments, further)?;
        Ok(())
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended, {status}:\n{}", self.name, tail(&log(&self.folder, self.name), 30));
        }
        Ok(())
    }
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn spawn(program: &Path, folder: &Path, log: &Path, arguments: &[String], further: &[&str]) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
    Command::new(program)
        .args(arguments)
        .args(further)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
