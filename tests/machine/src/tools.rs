//! Programs, found or made before a run begins.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

/// The folder of our own binaries: `PODBADGE_BIN_DIR`, or what cargo builds of these packages.
///
/// `target` is cargo's target directory.
///
/// # Errors
/// There is no such folder, or the build failed.
pub fn podbadge(target: &Path, packages: &[&str]) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("PODBADGE_BIN_DIR") {
        return PathBuf::from(&folder).canonicalize().with_context(|| format!("PODBADGE_BIN_DIR={}", folder.display()));
    }
    let mut command = cargo();
    command.args(["build", "--quiet", "--target-dir"]).arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)?;
    Ok(target.join("debug"))
}

/// A virtual environment at `environment` with what the file `requirements` lists.
///
/// # Errors
/// Python or its packages cannot be had.
pub fn python(requirements: &Path, environment: &Path) -> Result<()> {
    made_from(&[requirements], environment, || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
        run(Command::new(environment.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
            .arg(requirements))
    })
}

/// Makes `folder` unless it was made from the same sources; their copies in it say that it is whole.
///
/// # Errors
/// A source cannot be read, or the making failed.
pub fn made_from(sources: &[&Path], folder: &Path, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut wanted = Vec::new();
    for source in sources {
        wanted.extend(fs::read(source).with_context(|| source.display().to_string())?);
    }
    let made = folder.join("made-from");
    if fs::read(&made).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    make()?;
    fs::write(&made, wanted).with_context(|| made.display().to_string())
}

/// Where Helm is: on the path, where Go puts programs, or among what was built before; else Go installs it. None where there
/// is no Go, either.
///
/// `target` is cargo's target directory.
///
/// # Errors
/// It could not be installed.
pub fn helm(target: &Path) -> Result<Option<PathBuf>> {
    if let Some(path) = helm_there(target) {
        return Ok(Some(path));
    }
    if which("go").is_none() {
        return Ok(None);
    }
    let folder = target.join("control-plane/bin");
    run(Command::new("go").args(["install", HELM]).env("GOBIN", &folder).env("CGO_ENABLED", "0"))?;
    Ok(Some(folder.join("helm")))
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

/// The cargo that runs us.
#[must_use]
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where a program is, if it is on the path.
#[must_use]
pub fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Runs a step of preparation; what it prints is seen as it happens.
///
/// # Errors
/// It cannot be started, or it failed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
