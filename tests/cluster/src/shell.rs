//! What an operator types: a shell with kubectl and Helm, in a folder that has the repository's manifests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::Command;

use crate::cluster::Cluster;

/// The folder, with what it takes to be an administrator of the cluster.
pub struct Shell {
    folder: TempDir,
    kubeconfig: PathBuf,
}

/// What a script came to.
#[derive(Debug)]
pub struct Ended {
    /// Whether all of it succeeded.
    pub success: bool,
    /// What it wrote, to standard output and standard error.
    pub output: String,
}

// === impl Shell ===

impl Shell {
    /// Makes the folder.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(cluster: &Cluster) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("podbadge-shell-").tempdir()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        for name in ["manifests", "examples"] {
            symlink(root.join(name), folder.path().join(name))?;
        }
        let programs = folder.path().join("bin");
        fs::create_dir(&programs)?;
        for (name, program) in
            [("kubectl", cluster.control_plane.program("kubectl")), ("helm", cluster.helm().to_owned())]
        {
            symlink(&program, programs.join(name)).with_context(|| program.display().to_string())?;
        }
        Ok(Self { folder, kubeconfig: cluster.control_plane.kubeconfig().to_owned() })
    }

    /// A file of the folder.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Runs a script, which ends at the first command that fails.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn end(&self, script: &str) -> Result<Ended> {
        let home = self.folder.path();
        let output = Command::new("sh")
            .args(["-euc", script])
            .current_dir(home)
            .env("PATH", format!("{}:/usr/bin:/bin", home.join("bin").display()))
            .env("HOME", home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("sh cannot be started")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { success: output.status.success(), output: text(&output.stdout) + &text(&output.stderr) })
    }

    /// Runs a script that has to succeed; what it wrote.
    ///
    /// # Errors
    /// It failed; with all it wrote.
    pub async fn run(&self, script: &str) -> Result<String> {
        let Ended { success, output } = self.end(script).await?;
        if !success {
            bail!("{script}\n{output}");
        }
        Ok(output)
    }
}
