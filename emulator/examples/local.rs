//! An issuer, the local Entra ID and a vault, for trying a client by hand:
//!
//! ```text
//! $ cargo run -p podbadge-emulator --example local -- DIR
//! ```
//!
//! writes `ca.pem` and `token` into DIR, prints the variables that a pod would have, and serves until standard input
//! ends.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::{
    error::Error,
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use podbadge_emulator::{
    Emulator,
    config::Config,
    issuer::{ClusterIssuer, Object, ServiceAccountToken},
};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT: &str = "22222222-2222-4222-8222-222222222222";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: local DIR")?.into();
    let any_port = ([127, 0, 0, 1], 0).into();
    let issuer = ClusterIssuer::start(any_port, &[]).await?;
    let account = ServiceAccountToken::new("shop", Object::new("orders", "a0000000-0000-4000-8000-000000000000"));

    let mut config = Config::from_yaml(&yaml(issuer.url(), &account.subject()))?;
    config.trusted_cas.push(issuer.ca_pem().parse()?);
    let emulator = Emulator::start(config, any_port).await?;

    let (ca, token) = (folder.join("ca.pem"), folder.join("token"));
    fs::write(&ca, emulator.ca_pem())?;
    fs::write(&token, issuer.mint(&account, SystemTime::now(), Duration::from_secs(3600))?)?;
    println!("AZURE_AUTHORITY_HOST={}", emulator.authority_url());
    println!("AZURE_TENANT_ID={TENANT}");
    println!("AZURE_CLIENT_ID={CLIENT}");
    println!("AZURE_FEDERATED_TOKEN_FILE={}", token.display());
    println!("REQUESTS_CA_BUNDLE={}", ca.display());
    println!("VAULT_URL={}", emulator.vault_url("orders-vault").unwrap_or_default());

    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    emulator.stop().await;
    issuer.stop().await;
    Ok(())
}

fn yaml(issuer: &str, subject: &str) -> String {
    format!(
        "
tenants: [{{ id: {TENANT} }}]
applications:
  - clientId: {CLIENT}
    tenant: {TENANT}
    name: orders
    servicePrincipalId: 33333333-3333-4333-8333-333333333333
    federatedCredentials: [{{ name: orders, issuer: '{issuer}', subject: '{subject}' }}]
vaults:
  - name: orders-vault
    tenant: {TENANT}
    readers: [{CLIENT}]
    secrets: [{{ name: greeting, versions: [{{ value: hello }}] }}]
"
    )
}
