//! The control plane's programs, built from the Go module beside this crate by the recipe that people and CI use too.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/control-plane/go.mod");
const PROGRAMS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];

/// The folder of the programs: `KUBEBUILDER_ASSETS`, or one below the target directory, where those that are missing are
/// built. A cold build takes minutes, one from Go's cache seconds.
pub(crate) fn binaries(target: &Path) -> Result<PathBuf> {
    if let Some(assets) = assets() {
        return complete(&assets).with_context(|| format!("KUBEBUILDER_ASSETS={}", assets.display()));
    }
    complete(Path::new(recipe(target, "control-plane")?.trim()))
}

/// Runs a recipe that people and CI run too; what it wrote to standard output.
pub(crate) fn recipe(target: &Path, name: &str) -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(&cargo)
        .args(["run", "--quiet", "--package", "xtask", "--", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be started", cargo.display()))?;
    if !output.status.success() {
        bail!("cargo xtask {name}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether nothing needs to be built.
pub(crate) fn are_there(target: &Path) -> bool {
    assets().is_some() || version().is_ok_and(|version| complete(&target.join("control-plane").join(version)).is_ok())
}

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from)
}

fn complete(folder: &Path) -> Result<PathBuf> {
    match PROGRAMS.iter().find(|program| !folder.join(program).is_file()) {
        Some(missing) => bail!("there is no {missing} in {}", folder.display()),
        None => folder.canonicalize().with_context(|| folder.display().to_string()),
    }
}

/// The version of Kubernetes that the module asks for, as `1.36.3`.
fn version() -> Result<String> {
    let text = fs::read_to_string(MODULE).context(MODULE)?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    Ok(version.with_context(|| format!("{MODULE}: no k8s.io/kubernetes"))?.trim().to_owned())
}
