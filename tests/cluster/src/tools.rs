//! What a test run needs of the machine, found or made before the run begins.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::control_plane::build;
use crate::sandbox;

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

/// Where everything is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tools {
    /// The folder of etcd, kube-apiserver, kube-controller-manager and kubectl.
    pub control_plane: PathBuf,
    /// Renders the chart.
    pub helm: PathBuf,
    /// The folder of podbadge-webhook and podbadge-sidecar.
    pub podbadge: PathBuf,
    /// A Python environment with the Azure SDK.
    pub python: PathBuf,
}

/// What looking for the tools came to.
#[derive(Debug)]
pub enum Prepared {
    /// The run can begin.
    Ready(Tools),
    /// It cannot, because this machine lacks something; one entry for each.
    Lacking(Vec<String>),
}

/// Looks for the tools and makes those that can be made: the control plane and Helm by Go, the Python environment by
/// pip, our own binaries by cargo.
///
/// `target` is cargo's target directory. `KUBEBUILDER_ASSETS` and `PODBADGE_BIN_DIR` name folders of ready binaries.
///
/// # Errors
/// What should have worked did not: a build failed, a download did.
pub fn prepare(target: &Path) -> Result<Prepared> {
    let lacking = lacking(target);
    if !lacking.is_empty() {
        return Ok(Prepared::Lacking(lacking));
    }
    // Two runs at once must not make the same thing twice.
    let lock = File::create(target.join("cluster-tests.lock")).context("lock file in the target directory")?;
    lock.lock().context("lock file in the target directory")?;
    Ok(Prepared::Ready(Tools {
        control_plane: build::binaries(target)?,
        helm: helm(target)?,
        podbadge: podbadge(target)?,
        python: python(target)?,
    }))
}

fn lacking(target: &Path) -> Vec<String> {
    let mut lacking = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacking.push("root (containers get namespaces and mounts)".to_owned());
    }
    for program in ["ip", "mount", "chroot", "nsenter", "setpriv", "unshare"] {
        if which(program).is_none() {
            lacking.push(program.to_owned());
        }
    }
    if lacking.is_empty() && !sandbox::is_allowed() {
        lacking.push("the right to make namespaces (CAP_SYS_ADMIN; containers run without it)".to_owned());
    }
    if which("go").is_none() {
        if !build::are_there(target) {
            lacking.push("Go (it builds the control plane) or KUBEBUILDER_ASSETS".to_owned());
        }
        if helm_there(target).is_none() {
            lacking.push("Helm, or Go to install it".to_owned());
        }
    }
    if which("python3").is_none() {
        lacking.push("Python 3".to_owned());
    }
    lacking
}

fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn helm_there(target: &Path) -> Option<PathBuf> {
    let gopath = env::var_os("GOPATH").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join("go")));
    which("helm").or_else(|| {
        [Some(target.join("control-plane/bin")), gopath.map(|path| path.join("bin"))]
            .into_iter()
            .flatten()
            .map(|folder| folder.join("helm"))
            .find(|path| path.is_file())
    })
}

fn helm(target: &Path) -> Result<PathBuf> {
    if let Some(path) = helm_there(target) {
        return Ok(path);
    }
    let folder = target.join("control-plane/bin");
    run(Command::new("go").args(["install", HELM]).env("GOBIN", &folder).env("CGO_ENABLED", "0"))?;
    Ok(folder.join("helm"))
}

fn podbadge(target: &Path) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PODBADGE_BIN_DIR") {
        return PathBuf::from(&folder).canonicalize().with_context(|| format!("PODBADGE_BIN_DIR={}", folder.display()));
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["build", "--quiet", "--package", "podbadge-webhook", "--package", "podbadge-sidecar", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR")))?;
    Ok(target.join("debug"))
}

/// A virtual environment beside the other build outputs; its copy of the requirements says that it is whole.
fn python(target: &Path) -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("application/requirements.txt");
    let wanted = fs::read(&requirements).with_context(|| requirements.display().to_string())?;
    let environment = target.join("cluster-python");
    let installed = environment.join("requirements.txt");
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(environment);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    run(Command::new(environment.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements))?;
    fs::write(&installed, wanted).with_context(|| installed.display().to_string())?;
    Ok(environment)
}

/// Runs a step of preparation; what it prints is seen as it happens.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
