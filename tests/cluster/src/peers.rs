//! What Podbadge stands beside in clusters: Azure Workload Identity, which it replaces, and cert-manager.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::control_plane::build::recipe;

const MODULES: &str = env!("CARGO_MANIFEST_DIR");
const AZURE_WORKLOAD_IDENTITY: Peer = Peer {
    name: "azure-workload-identity",
    module: "github.com/Azure/azure-workload-identity",
    holds: &["manager", "chart/Chart.yaml"],
};
const CERT_MANAGER: Peer = Peer {
    name: "cert-manager",
    module: "github.com/cert-manager/cert-manager",
    holds: &["controller", "cainjector", "crds/README.md"],
};

/// The folders of what was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peers {
    /// The program `manager` and the `chart`.
    pub azure_workload_identity: PathBuf,
    /// The programs `controller` and `cainjector`, and the custom resource definitions in `crds`.
    pub cert_manager: PathBuf,
}

struct Peer {
    name: &'static str,
    module: &'static str,
    holds: &'static [&'static str],
}

// === impl Peers ===

impl Peers {
    /// Finds them below the target directory, where those that are missing are built.
    pub(crate) fn built(target: &Path) -> Result<Self> {
        if let Some(found) = Self::found(target) {
            return Ok(found);
        }
        let output = recipe(target, "peers")?;
        let folders: Vec<&str> = output.lines().collect();
        let [azure_workload_identity, cert_manager] = folders[..] else { bail!("cargo xtask peers: {output}") };
        Ok(Self {
            azure_workload_identity: AZURE_WORKLOAD_IDENTITY.complete(Path::new(azure_workload_identity))?,
            cert_manager: CERT_MANAGER.complete(Path::new(cert_manager))?,
        })
    }

    /// What was built before.
    pub(crate) fn found(target: &Path) -> Option<Self> {
        let found = |peer: &Peer| -> Result<PathBuf> {
            peer.complete(&target.join("peers").join(peer.name).join(peer.version()?))
        };
        Some(Self {
            azure_workload_identity: found(&AZURE_WORKLOAD_IDENTITY).ok()?,
            cert_manager: found(&CERT_MANAGER).ok()?,
        })
    }
}

// === impl Peer ===

impl Peer {
    fn complete(&self, folder: &Path) -> Result<PathBuf> {
        match self.holds.iter().find(|file| !folder.join(file).is_file()) {
            Some(missing) => bail!("there is no {missing} in {}", folder.display()),
            None => folder.canonicalize().with_context(|| folder.display().to_string()),
        }
    }

    /// The version that the Go module asks for, as `1.6.0`.
    fn version(&self) -> Result<String> {
        let path = Path::new(MODULES).join(self.name).join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let version = text.lines().find_map(|line| {
            let line = line.trim();
            line.strip_prefix("require ").unwrap_or(line).strip_prefix(self.module)?.strip_prefix(" v")
        });
        Ok(version.with_context(|| format!("{}: no {}", path.display(), self.module))?.trim().to_owned())
    }
}
