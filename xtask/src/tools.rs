//! Programs of others that recipes need.

use std::path::PathBuf;

use crate::process::{Failure, cargo, command, no_arguments, output, run, works};

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

pub(crate) fn tools(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("tools", arguments)?;
    cargo_deny()?;
    cargo_auditable()?;
    auditable_to_cyclonedx()?;
    install_helm()
}

pub(crate) fn cargo_deny() -> Result<(), Failure> {
    install("cargo-deny", "0.20.2")
}

/// Writes the list of a program's crates into it.
pub(crate) fn cargo_auditable() -> Result<(), Failure> {
    install("cargo-auditable", "0.7.7")
}

/// Makes a bill of materials of that list.
pub(crate) fn auditable_to_cyclonedx() -> Result<(), Failure> {
    install("auditable2cdx", "0.1.0")
}

/// Installs a program in this very version; without optimisation, which takes a third of the time and works as well. Where cargo
/// has done so before it does nothing.
fn install(name: &str, version: &str) -> Result<(), Failure> {
    run(cargo()
        .args(["install", name, "--version", version, "--locked", "--debug", "--quiet"])
        .env("CARGO_PROFILE_DEV_DEBUG", "0"))
}

pub(crate) fn install_helm() -> Result<(), Failure> {
    if helm().is_ok() {
        return Ok(());
    }
    run(command("go").args(["install", HELM]).env("CGO_ENABLED", "0"))
}

/// Finds helm on the path or where Go installs it.
pub(crate) fn helm() -> Result<PathBuf, Failure> {
    let missing = || Failure::failed("helm is missing; `cargo xtask tools` installs it");
    let runs = |path: &PathBuf| works(command(path).args(["version", "--short"]));
    let on_path = PathBuf::from("helm");
    if runs(&on_path) {
        return Ok(on_path);
    }
    let go_path = output(command("go").args(["env", "GOPATH"])).map_err(|_| missing())?;
    let built = PathBuf::from(go_path.trim()).join("bin/helm");
    if runs(&built) { Ok(built) } else { Err(missing()) }
}

pub(crate) fn deny(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("deny", arguments)?;
    run(cargo().args([
        "deny",
        "--all-features",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    // The advisories come from elsewhere: where that cannot be reached, the rest must still be checked.
    if !works(cargo().args(["deny", "fetch", "db"])) {
        println!("advisories: skipped, their database cannot be reached");
        return Ok(());
    }
    run(cargo().args(["deny", "--all-features", "--locked", "check", "--disable-fetch", "advisories"]))
}
