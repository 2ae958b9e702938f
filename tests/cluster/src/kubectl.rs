//! What people type, and what they read.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt as _;

use crate::control_plane::ControlPlane;

/// What a call of kubectl came to.
#[derive(Debug)]
pub struct Said {
    /// Whether it was content.
    pub success: bool,
    /// Its standard output.
    pub output: String,
    /// The API server's warnings, in their order.
    pub warnings: Vec<String>,
    /// The rest of its standard error.
    pub errors: String,
}

impl Said {
    /// Types `kubectl ARGUMENTS` in a namespace, with something on standard input.
    ///
    /// # Errors
    /// kubectl cannot be run.
    pub async fn by(control_plane: &ControlPlane, namespace: &str, arguments: &[&str], input: &str) -> Result<Self> {
        let mut child = control_plane
            .kubectl()
            .args(["--namespace", namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("kubectl cannot be started")?;
        let mut stdin = child.stdin.take().context("standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8(output.stderr)?;
        let (warnings, errors): (Vec<_>, Vec<_>) = errors.lines().partition(|line| line.starts_with(WARNING));
        Ok(Self {
            success: output.status.success(),
            output: String::from_utf8(output.stdout)?,
            warnings: warnings.into_iter().map(|line| line[WARNING.len()..].to_owned()).collect(),
            errors: errors.join("\n"),
        })
    }
}

const WARNING: &str = "Warning: ";
