//! The control plane of the cluster tests.

use std::path::{Path, PathBuf};

use crate::go;
use crate::process::{Failure, cargo, root, run, target};

const CONTROL_PLANE: [(&str, &str); 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// Builds etcd, kube-apiserver, kube-controller-manager and kubectl into `target/control-plane/VERSION`, where the cluster
/// tests look for them; what is there is kept. `--kubernetes 1.30` takes that version's module instead of the newest.
pub(crate) fn control_plane(arguments: &[String]) -> Result<(), Failure> {
    let module = root().join("tests/cluster/control-plane");
    let folder = match arguments {
        [] => built(&module)?,
        [flag, version] if flag == "--kubernetes" => built(&module_of(&module, version)?)?,
        _ => return Err(Failure::usage("control-plane takes nothing, or --kubernetes VERSION")),
    };
    println!("{}", folder.display());
    Ok(())
}

/// Runs the cluster suite; `--kubernetes 1.30` on that version. Further arguments are the suite's own.
pub(crate) fn cluster(arguments: &[String]) -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["test", "--locked", "--package", "podbadge-cluster-tests", "--test", "cluster", "--"]);
    let rest = match arguments {
        [flag, version, rest @ ..] if flag == "--kubernetes" => {
            let module = module_of(&root().join("tests/cluster/control-plane"), version)?;
            command.env("KUBEBUILDER_ASSETS", built(&module)?);
            rest
        }
        rest => rest,
    };
    run(command.args(rest))
}

/// The module of a version other than the newest.
fn module_of(newest: &Path, version: &str) -> Result<PathBuf, Failure> {
    let module = newest.join(version);
    let is_plain = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain && module.join("go.mod").is_file() {
        Ok(module)
    } else {
        Err(Failure::usage(format!("there is no Kubernetes {version} below {}", newest.display())))
    }
}

fn built(module: &Path) -> Result<PathBuf, Failure> {
    let version = go::version(module, "k8s.io/kubernetes")?;
    let flags = linker_flags(&version)
        .ok_or_else(|| Failure::failed(format!("{}: `{version}` is no Kubernetes version", module.display())))?;
    let folder = target().join("control-plane").join(version);
    go::build(module, &folder, &CONTROL_PLANE, &flags)?;
    Ok(folder)
}

/// Without its version stamped in, an API server calls itself v0.0.0 and clients that look do not know it.
fn linker_flags(version: &str) -> Option<String> {
    let (major, rest) = version.split_once('.')?;
    let (minor, _patch) = rest.split_once('.')?;
    let stamp = "-X k8s.io/component-base/version.git";
    Some(format!("-s -w {stamp}Version=v{version} {stamp}Major={major} {stamp}Minor={minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_has_all_three_parts() {
        let flags = linker_flags("1.36.3").unwrap();
        for part in ["gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"] {
            assert!(flags.contains(part), "{flags}");
        }
        assert_eq!(linker_flags("1.36"), None);
    }
}
