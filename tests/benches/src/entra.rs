//! Entra ID for the sidecar: the emulator, with one application that trusts one service account.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use podbadge_emulator::config::Config;
use podbadge_emulator::issuer::{ClusterIssuer, Object, RunningIssuer, ServiceAccountToken};
use podbadge_emulator::{Emulator, Running};

use crate::cluster::{CLIENT_ID, TENANT_ID};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running authority, with the files that a pod would have.
pub(crate) struct Entra {
    emulator: Running,
    /// Entra fetches its keys whenever it verifies.
    _issuer: RunningIssuer,
    token_file: PathBuf,
    ca_file: PathBuf,
}

impl Entra {
    pub(crate) async fn start(directory: &Path) -> Result<Self> {
        let issuer = ClusterIssuer::start(ANY_PORT, &[]).await.context("starting the cluster issuer")?;
        let account = Object::new("payments-api", "1f0c9f1c-7b1e-4d1a-a1de-3a9f5d5f6c11");
        let account = ServiceAccountToken::new("payments-prod", account);
        let token = issuer.mint(&account, SystemTime::now(), Duration::from_secs(3600))?;

        let mut config = Config::from_yaml(&yaml(issuer.url(), &account.subject()))?;
        config.trusted_cas.push(issuer.ca_pem().parse()?);
        let emulator = Emulator::start(config, ANY_PORT).await.context("starting the emulator")?;

        let (token_file, ca_file) = (directory.join("azure-identity-token"), directory.join("entra-ca.pem"));
        fs::write(&token_file, token)?;
        fs::write(&ca_file, emulator.ca_pem())?;
        Ok(Self { emulator, _issuer: issuer, token_file, ca_file })
    }

    /// The variables of the sidecar's container.
    pub(crate) fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AZURE_CLIENT_ID", CLIENT_ID.to_owned()),
            ("AZURE_TENANT_ID", TENANT_ID.to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", self.token_file.display().to_string()),
            ("AZURE_AUTHORITY_HOST", self.emulator.authority_url().to_owned()),
            ("PODBADGE_CA_FILE", self.ca_file.display().to_string()),
        ]
    }
}

fn yaml(issuer: &str, subject: &str) -> String {
    format!(
        "tenants:\n  - id: {TENANT_ID}\n\
         applications:\n  - clientId: {CLIENT_ID}\n    tenant: {TENANT_ID}\n    name: payments\n    \
         servicePrincipalId: 5a0f7d0e-3b1f-4f55-9c39-6a2f0f3f7a10\n    federatedCredentials:\n      \
         - name: bench\n        issuer: {issuer}\n        subject: {subject}\n"
    )
}
