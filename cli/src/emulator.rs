//! `podbadge emulator`: a local Entra ID with key vaults, from a YAML file.

use crate::{failure::Wrong, signals::Signals};
use anyhow::Context as _;
use podbadge_emulator::{
    Emulator, Running, StartError,
    config::{Config, Roots},
};
use podbadge_runtime::args::LogArgs;
use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tempfile::TempPath;

/// Run a local Entra ID with key vaults, for tests and for trying things out.
///
/// Prints where it listens, one fact a line, and runs until SIGTERM or Ctrl-C. Whoever is to use it needs its authority
/// certificate: PODBADGE_CA_FILE for the sidecar, SSL_CERT_FILE, REQUESTS_CA_BUNDLE or NODE_EXTRA_CA_CERTS for others.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tenants, applications, federated credentials, vaults and faults: a YAML file, see examples/emulator.yaml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Address of Entra ID; vaults without a port of their own get a free one beside it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where to write the certificate (PEM) of the emulator's authority, else into a temporary file
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Certificates (PEM) of the authority of a cluster's issuer, beside the public ones; may be given several times
    #[arg(long, value_name = "FILE")]
    issuer_ca_file: Vec<PathBuf>,
    #[command(flatten)]
    logs: LogArgs,
}

/// Runs the subcommand.
///
/// # Errors
///
/// The configuration cannot be used, or an address not be had.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let config = config(args)?;
    args.logs.init()?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::catch().context("cannot wait for signals")?;
        let vaults: Vec<_> = config.vaults.iter().map(|vault| vault.name.to_string()).collect();
        let emulator = Emulator::start(config, args.listen).await.map_err(|error| match error {
            StartError::Config(error) => wrong(&args.config, &error),
            error => error.into(),
        })?;
        let authority = Authority::write(args.ca_file.as_deref(), emulator.ca_pem())?;
        tell(&emulator, &vaults, authority.path())?;
        signals.one().await;
        emulator.stop().await;
        Ok(())
    })
}

fn config(args: &Args) -> Result<Config, Wrong> {
    let mut config = Config::from_yaml(&read("--config", &args.config)?)
        .map_err(|error| Wrong(format!("{}: {error}", args.config.display())))?;
    for file in &args.issuer_ca_file {
        let roots: Roots = read("--issuer-ca-file", file)?
            .parse()
            .map_err(|error| Wrong(format!("--issuer-ca-file {}: {error}", file.display())))?;
        config.trusted_cas.push(roots);
    }
    Ok(config)
}

fn read(flag: &str, file: &Path) -> Result<String, Wrong> {
    fs::read_to_string(file).map_err(|error| Wrong(format!("{flag} {}: {error}", file.display())))
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> anyhow::Error {
    Wrong(format!("{}: {error}", file.display())).into()
}

fn tell(emulator: &Running, vaults: &[String], authority: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "authority {}", emulator.authority_url())?;
    for name in vaults {
        writeln!(out, "vault {name} {}", emulator.vault_url(name).unwrap_or_default())?;
    }
    writeln!(out, "ca-file {}", authority.display())?;
    out.flush()?;
    Ok(())
}

/// The file of the emulator's authority certificate.
enum Authority {
    /// It stays.
    Named(PathBuf),
    /// It goes with the process.
    Temporary(TempPath),
}

impl Authority {
    fn write(path: Option<&Path>, pem: &str) -> anyhow::Result<Self> {
        if let Some(path) = path {
            fs::write(path, pem).map_err(|error| Wrong(format!("--ca-file {}: {error}", path.display())))?;
            return Ok(Self::Named(path.to_owned()));
        }
        let mut file = tempfile::Builder::new().prefix("podbadge-emulator-").suffix(".pem").tempfile()?;
        file.write_all(pem.as_bytes()).context("temporary file")?;
        Ok(Self::Temporary(file.into_temp_path()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(path) => path,
        }
    }
}
