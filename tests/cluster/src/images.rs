//! The images that the node knows, each by the programs of this machine that it stands for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use podbadge_sidecar_core::contract;

use crate::install::Chart;
use crate::node::Image;
use crate::tools::Tools;

/// Nothing but what every container has: a shell and its friends.
pub const SHELL: &str = "test/shell";
/// A Python application: `read_secret.py VAULT_URL NAME` by default.
pub const APPLICATION: &str = "test/application";

/// The one that Azure Workload Identity's own chart names.
const AZURE_WORKLOAD_IDENTITY: &str = "mcr.microsoft.com/oss/azure/workload-identity/webhook:v1.6.0";
/// Where images keep the emulator's certificate authority.
const AUTHORITY: &str = "/test/authority.pem";
const NON_ROOT: u32 = contract::USER_ID;

/// All images, by name. Those of webhook and sidecar have the names that the chart gives them.
pub(crate) fn all(tools: &Tools, chart: &Chart, authority: &Path) -> Result<BTreeMap<String, Image>> {
    let (webhook, sidecar) = chart.images()?;
    let program = |inside: &str| (PathBuf::from(inside), tools.podbadge.join(inside.trim_start_matches('/')));
    let trust = (PathBuf::from(AUTHORITY), authority.to_owned());
    let upstream = (PathBuf::from("/manager"), tools.peers.azure_workload_identity.join("manager"));
    Ok(BTreeMap::from([
        (SHELL.to_owned(), Image::default()),
        (APPLICATION.to_owned(), application(&tools.python, trust.clone())?),
        (webhook, Image { holds: vec![program("/podbadge-webhook")], user: NON_ROOT, ..Image::default() }),
        (
            // As an operator with an authority of their own would build theirs on ours.
            sidecar,
            Image {
                holds: vec![program(contract::PROGRAM), trust],
                entrypoint: vec![contract::PROGRAM.to_owned()],
                variables: vec![
                    (contract::CA_FILE.to_owned(), AUTHORITY.to_owned()),
                    // The emulator knows a credential at once.
                    (contract::CREDENTIAL_SPREADING.to_owned(), "0".to_owned()),
                ],
                user: NON_ROOT,
            },
        ),
        (AZURE_WORKLOAD_IDENTITY.to_owned(), Image { holds: vec![upstream], user: NON_ROOT, ..Image::default() }),
    ]))
}

fn application(environment: &Path, trust: (PathBuf, PathBuf)) -> Result<Image> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("application");
    let mut holds = vec![(environment.to_owned(), environment.to_owned()), ("/application".into(), sources), trust];
    let base = base(environment)?;
    if !base.starts_with("/usr") {
        holds.push((base.clone(), base));
    }
    Ok(Image {
        holds,
        entrypoint: vec!["python".to_owned(), "/application/read_secret.py".to_owned()],
        variables: vec![
            ("PATH".to_owned(), format!("{}:/usr/bin:/bin", environment.join("bin").display())),
            ("REQUESTS_CA_BUNDLE".to_owned(), AUTHORITY.to_owned()),
        ],
        user: 0,
    })
}

/// The installation that a virtual environment borrows its Python from.
fn base(environment: &Path) -> Result<PathBuf> {
    let path = environment.join("pyvenv.cfg");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let home = text.lines().find_map(|line| line.strip_prefix("home = ")).context("pyvenv.cfg has no home")?;
    Ok(Path::new(home).parent().unwrap_or(Path::new("/usr")).to_owned())
}
