//! What a test run needs of the machine, found or made before the run begins.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use podbadge_machine::tools::{self, which};
use serde::{Deserialize, Serialize};

use crate::control_plane::build;
use crate::peers::Peers;
use crate::sandbox;

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
    /// Azure Workload Identity and cert-manager.
    pub peers: Peers,
}

/// What looking for the tools came to.
#[derive(Debug)]
pub enum Prepared {
    /// The run can begin.
    Ready(Tools),
    /// It cannot, because this machine lacks something; one entry for each.
    Lacking(Vec<String>),
}

/// Looks for the tools and makes those that can be made: the control plane, its peers and Helm by Go, the Python environment by
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
        helm: tools::helm(target)?.context("no Helm")?,
        podbadge: tools::podbadge(target, &["podbadge-webhook", "podbadge-sidecar"])?,
        python: python(target)?,
        peers: Peers::built(target)?,
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
        if Peers::found(target).is_none() {
            lacking.push("Go (it builds Azure Workload Identity and cert-manager)".to_owned());
        }
        if !tools::helm(target).is_ok_and(|helm| helm.is_some()) {
            lacking.push("Helm, or Go to install it".to_owned());
        }
    }
    if which("python3").is_none() {
        lacking.push("Python 3".to_owned());
    }
    lacking
}

/// A virtual environment beside the other build outputs.
fn python(target: &Path) -> Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("application/requirements.txt");
    let environment = target.join("cluster-python");
    tools::python(&requirements, &environment)?;
    Ok(environment)
}
