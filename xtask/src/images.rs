//! Images of what is shipped, from the `Dockerfile`, by buildah, which needs neither a daemon nor a registry.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{Failure, command, failed, flag, output, run, target};
use crate::release::{Architecture, all, build, dist};
use crate::tools;

const IMAGES: [&str; 2] = ["webhook", "sidecar"];

/// Both images as OCI archives, and beside them what each program is made of (CycloneDX), into `target/images`.
pub(crate) fn images(arguments: &[String]) -> Result<(), Failure> {
    let host = Architecture::host()?;
    let architectures =
        if flag("images", arguments, "--host")? { vec![host] } else { vec![Architecture::Amd64, Architecture::Arm64] };
    for architecture in &architectures {
        build(*architecture)?;
    }
    tools::auditable_to_cyclonedx()?;
    fs::create_dir_all(folder()).map_err(|error| failed(&folder(), &error))?;
    for image in IMAGES {
        for architecture in &architectures {
            bill_of_materials(image, *architecture)?;
        }
        let archive = folder().join(format!("podbadge-{image}.tar"));
        let digest = make(image, &architectures, &archive)?;
        println!("{}  {digest}", archive.display());
    }
    Ok(())
}

fn folder() -> PathBuf {
    target().join("images")
}

/// What the program says of itself, in the form that scanners read.
fn bill_of_materials(image: &str, architecture: Architecture) -> Result<(), Failure> {
    let program = dist(architecture).join(format!("podbadge-{image}"));
    let bill = output(command("auditable2cdx").arg(&program))?;
    let path = folder().join(format!("podbadge-{image}.{}.cdx.json", architecture.name()));
    fs::write(&path, bill).map_err(|error| failed(&path, &error))
}

/// One image for all architectures; the digest by which it can be pulled from wherever it is copied to.
fn make(image: &str, architectures: &[Architecture], archive: &PathBuf) -> Result<String, Failure> {
    let platforms: Vec<_> = architectures.iter().map(|architecture| format!("linux/{}", architecture.name())).collect();
    let name = format!("podbadge/{image}:v{}", env!("CARGO_PKG_VERSION"));
    // What an earlier run made would be added to.
    let _ = buildah().args(["manifest", "rm", &name]).output();
    let mut bud = buildah();
    // Nothing of when and where: the same programs make the same image.
    bud.args([
        "bud",
        "--quiet",
        "--timestamp",
        "0",
        "--identity-label=false",
        "--format",
        "oci",
        "--isolation",
        "chroot",
    ])
    .args(["--platform", &platforms.join(","), "--target", image, "--manifest", &name, "--file", "Dockerfile"])
    .args(["--label", concat!("org.opencontainers.image.version=", env!("CARGO_PKG_VERSION"))])
    .args(["--label", "org.opencontainers.image.licenses=Apache-2.0"])
    .arg(all());
    output(&mut bud)?;
    let _ = fs::remove_file(archive);
    let digest_file = archive.with_extension("digest");
    run(buildah()
        .args(["manifest", "push", "--quiet", "--all", "--digestfile"])
        .arg(&digest_file)
        .arg(&name)
        .arg(format!("oci-archive:{}", archive.display())))?;
    fs::read_to_string(&digest_file).map_err(|error| failed(&digest_file, &error))
}

/// With its store in our own folder.
fn buildah() -> Command {
    let mut command = command("buildah");
    let store = folder().join("store");
    command.arg("--root").arg(store.join("root")).arg("--runroot").arg(store.join("run"));
    command.args(["--storage-driver", "vfs"]);
    command
}
