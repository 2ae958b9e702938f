//! What Podbadge stands beside in clusters, for the cluster tests: the program it replaces, and one it works with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::go;
use crate::process::{Failure, command, failed, no_arguments, output, root, target};

/// Another project's programs, and a folder of its module that is installed along with them.
struct Peer {
    /// The folder of its Go module in `tests/cluster`, and of what is built, in `target/peers`.
    name: &'static str,
    module: &'static str,
    programs: &'static [(&'static str, &'static str)],
    /// Where it is in the module, and what it is called beside the programs.
    folder: (&'static str, &'static str),
}

const PEERS: [Peer; 2] = [
    Peer {
        name: "azure-workload-identity",
        module: "github.com/Azure/azure-workload-identity",
        programs: &[("manager", "github.com/Azure/azure-workload-identity/cmd/webhook")],
        folder: ("charts/workload-identity-webhook", "chart"),
    },
    Peer {
        name: "cert-manager",
        module: "github.com/cert-manager/cert-manager",
        programs: &[
            ("controller", "github.com/cert-manager/cert-manager/cmd/controller"),
            ("cainjector", "github.com/cert-manager/cert-manager/cmd/cainjector"),
        ],
        folder: ("deploy/crds", "crds"),
    },
];

/// Builds Azure Workload Identity and cert-manager into `target/peers/NAME/VERSION`, where the cluster tests look for them,
/// with the one's chart and the other's custom resource definitions; what is there is kept.
pub(crate) fn peers(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("peers", arguments)?;
    for peer in &PEERS {
        println!("{}", peer.built()?.display());
    }
    Ok(())
}

// === impl Peer ===

impl Peer {
    fn built(&self) -> Result<PathBuf, Failure> {
        let module = root().join("tests/cluster").join(self.name);
        let folder = target().join("peers").join(self.name).join(go::version(&module, self.module)?);
        go::build(&module, &folder, self.programs, "-s -w")?;
        let (source, name) = self.folder;
        let (last, next) = (folder.join(name), folder.join(name).with_extension("part"));
        if !last.is_dir() {
            let of_module =
                output(command("go").current_dir(&module).args(["list", "-m", "-f", "{{.Dir}}", self.module]))?;
            copy(&Path::new(of_module.trim()).join(source), &next)?;
            fs::rename(&next, &last).map_err(|error| failed(&last, &error))?;
        }
        Ok(folder)
    }
}

/// Copies a folder's files; unlike theirs, which Go protects, the copies can be written.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|error| failed(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| failed(from, &error))? {
        let path = entry.map_err(|error| failed(from, &error))?.path();
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &copied)?;
        } else {
            let bytes = fs::read(&path).map_err(|error| failed(&path, &error))?;
            fs::write(&copied, bytes).map_err(|error| failed(&copied, &error))?;
        }
    }
    Ok(())
}
