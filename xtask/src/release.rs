//! What is shipped: two static programs for each architecture.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Failure, cargo, failed, no_arguments, root, run, target};
use crate::tools;

/// What is shipped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Amd64,
    Arm64,
}

/// A program that is shipped, and how it is built.
struct Program {
    name: &'static str,
    profile: &'static str,
}

/// The webhook is built for speed, the sidecar for size.
const PROGRAMS: [Program; 2] =
    [Program { name: "podbadge-webhook", profile: "release" }, Program { name: "podbadge-sidecar", profile: "small" }];

/// Where the shipped programs are collected, in a folder for each architecture.
pub(crate) fn all() -> PathBuf {
    target().join("dist")
}

/// The programs for one architecture.
pub(crate) fn dist(architecture: Architecture) -> PathBuf {
    all().join(architecture.name())
}

/// Both programs for this machine.
pub(crate) fn release(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("release", arguments)?;
    build(Architecture::host()?)
}

/// Both programs for `architecture`, with the list of their crates in them.
pub(crate) fn build(architecture: Architecture) -> Result<(), Failure> {
    tools::cargo_auditable()?;
    // Not with glibc linked in: such a webhook ended right after its start in a cluster, as glibc loads parts of itself at run time.
    let triple = format!("{}-unknown-linux-musl", architecture.rust());
    for Program { name, profile } in PROGRAMS {
        let mut command = cargo();
        command.args(["auditable", "build", "--locked", "--profile", profile, "--target", &triple, "--package", name]);
        // C code has the time of its compilation in it, unless the compiler is told another (reproducible-builds.org).
        run(command.env("CARGO_ENCODED_RUSTFLAGS", flags()?).env("SOURCE_DATE_EPOCH", "0"))?;
        collect(&target().join(&triple).join(profile).join(name), &dist(architecture))?;
    }
    Ok(())
}

/// Without the paths of the machine that it is built on: the same commit gives the same bytes anywhere.
fn flags() -> Result<OsString, Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let home = home.ok_or_else(|| Failure::failed("neither CARGO_HOME nor a home directory is set"))?;
    let mut flags = OsString::from("--remap-path-prefix=");
    flags.push(root());
    flags.push("=/podbadge\u{1f}--remap-path-prefix=");
    flags.push(home);
    flags.push("=/cargo");
    Ok(flags)
}

fn collect(built: &Path, dist: &Path) -> Result<(), Failure> {
    let name = built.file_name().unwrap_or_default();
    fs::create_dir_all(dist).map_err(|error| failed(dist, &error))?;
    // Renamed into place: a program that runs from there keeps its file.
    let (next, last) = (dist.join(name).with_extension("next"), dist.join(name));
    fs::copy(built, &next).map_err(|error| failed(built, &error))?;
    fs::rename(&next, &last).map_err(|error| failed(&last, &error))
}

// === impl Architecture ===

impl Architecture {
    /// This machine's.
    pub(crate) fn host() -> Result<Self, Failure> {
        let host = [Self::Amd64, Self::Arm64].into_iter().find(|architecture| architecture.rust() == ARCH);
        host.ok_or_else(|| Failure::failed(format!("nothing is shipped for {ARCH}, only for x86_64 and aarch64")))
    }

    /// As images and Kubernetes call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As Rust and GNU call it.
    fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}
