//! A faithful local Entra ID, a small Key Vault beside it, and a small cluster issuer: the whole way of a workload
//! identity without Azure and without a cluster.
//!
//! ```text
//! issuer::ClusterIssuer --mint--> assertion --POST--> Emulator: /T/oauth2/v2.0/token --> access token
//!        ^                                               |                                  |
//!        +------- discovery, keys (over the network) ----+         vault: /secrets/NAME <---+
//! ```
//!
//! ```no_run
//! use std::time::{Duration, SystemTime};
//!
//! use podbadge_emulator::{
//!     Emulator,
//!     config::Config,
//!     fault::{Endpoint, Fault},
//!     issuer::{ClusterIssuer, Object, ServiceAccountToken},
//! };
//!
//! # async fn run(yaml: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let any_port = ([127, 0, 0, 1], 0).into();
//! let issuer = ClusterIssuer::start(any_port, &[]).await?;
//! let assertion = issuer.mint(
//!     &ServiceAccountToken::new("shop", Object::new("orders", "8f2c1e1a-0000-4000-8000-000000000000")),
//!     SystemTime::now(),
//!     Duration::from_secs(3600),
//! )?;
//!
//! let mut config = Config::from_yaml(yaml)?;
//! config.trusted_cas.push(issuer.ca_pem().parse()?);
//! let emulator = Emulator::start(config, any_port).await?;
//! println!("AZURE_AUTHORITY_HOST={}", emulator.authority_url());
//! println!("vault: {:?}, trust: {}", emulator.vault_url("orders-vault"), emulator.ca_pem());
//!
//! emulator.inject(Fault::answer(Endpoint::Token, 503)?.retry_after(2).times(3.try_into()?));
//! println!("{:?}", emulator.exchanges());
//! emulator.stop().await;
//! issuer.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What differs from Azure, on purpose: assertions get no leeway in time, an unknown key id fetches the issuer's keys at
//! once, tokens are of version 1.0 whatever the resource, and everybody may ask for any known resource.

pub mod config;
pub mod fault;
pub mod issuer;
pub mod signing;

mod clock;
mod counts;
mod directory;
mod emulator;
mod entra;
mod server;
mod tls;
mod vault;

pub use self::{
    counts::Exchanges,
    emulator::{Emulator, Running, StartError},
    entra::issuers::Error as IssuersError,
    tls::Error as TlsError,
};
