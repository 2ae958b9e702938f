//! Starts the local Entra ID with its vaults, and the handle of what runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;

use crate::{
    clock::Clock,
    config::{self, Config},
    counts::{Counts, Exchanges},
    directory::Directory,
    entra::{self, discovery::PUBLIC_HOSTS, issuers},
    fault::{Fault, Faults},
    server::{self, Names, Servers},
    signing::{self, SigningKey},
    tls, vault,
};

/// The local Entra ID and its key vaults.
pub struct Emulator;

/// A running emulator. Dropping it stops it, without waiting; [`Running::stop`] waits.
#[must_use = "dropping it stops the emulator"]
pub struct Running {
    authority: String,
    vaults: BTreeMap<String, String>,
    ca_pem: String,
    faults: Faults,
    counts: Counts,
    clock: Clock,
    servers: Servers,
}

/// Why an emulator does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration does not fit together.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] podbadge_runtime::serve::Error),
    /// No certificate could be made.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// No signing key could be made.
    #[error(transparent)]
    Key(#[from] signing::Error),
    /// Issuers cannot be called.
    #[error(transparent)]
    Issuers(#[from] issuers::Error),
}

// === impl Emulator ===

impl Emulator {
    /// Starts an emulator inside the current tokio runtime: the authority on `bind` (port 0 takes any free port), each
    /// vault on a port of its own on the same address. Every start makes a new authority certificate and a new signing
    /// key.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: Config, bind: SocketAddr) -> Result<Running, StartError> {
        let directory = Arc::new(Directory::new(config)?);
        let config = directory.config();
        let host = config.hosts.first().map(config::Host::as_str);
        let hosts = Arc::new(hosts(config, bind.ip()));
        let identity = tls::Identity::new("Podbadge emulator", hosts.iter().cloned().collect())?;
        let (faults, counts, clock) = (Faults::default(), Counts::default(), Clock::default());
        config.faults.iter().cloned().for_each(|fault| faults.add(fault));
        let key = Arc::new(SigningKey::for_entra()?);
        let issuers = issuers::Issuers::new(&config.trusted_cas)?;
        let bound = server::bind(bind)?;
        let authority = server::url(bound.local_addr(), host);

        let mut servers = Servers::new();
        let mut vaults = BTreeMap::new();
        for (place, own) in config.vaults.iter().enumerate() {
            let bound = server::bind(SocketAddr::new(bind.ip(), own.port.map_or(0, NonZeroU16::get)))?;
            let url = server::url(bound.local_addr(), host);
            vaults.insert(own.name.as_str().to_ascii_lowercase(), url.clone());
            let router = vault::http::router(Arc::new(vault::http::Vault {
                directory: Arc::clone(&directory),
                place,
                key: Arc::clone(&key),
                clock: clock.clone(),
                faults: faults.clone(),
                names: Names { url, hosts: Arc::clone(&hosts) },
                authority: authority.clone(),
            }));
            servers.serve(bound, Arc::clone(&identity.server), router);
        }
        let router = entra::http::router(Arc::new(entra::http::Entra {
            directory: Arc::clone(&directory),
            key,
            issuers,
            clock: clock.clone(),
            counts: counts.clone(),
            faults: faults.clone(),
            names: Names { url: authority.clone(), hosts },
        }));
        servers.serve(bound, identity.server, router);
        Ok(Running {
            authority: format!("{authority}/"),
            vaults,
            ca_pem: identity.ca_pem,
            faults,
            counts,
            clock,
            servers,
        })
    }
}

fn hosts(config: &Config, ip: IpAddr) -> BTreeSet<String> {
    let mut hosts: BTreeSet<_> = ["localhost", "127.0.0.1", "::1"].map(ToOwned::to_owned).into();
    hosts.extend(PUBLIC_HOSTS.iter().map(ToString::to_string));
    hosts.extend(config.hosts.iter().map(|host| host.as_str().to_ascii_lowercase()));
    hosts.extend(config.vaults.iter().map(|vault| format!("{}.vault.azure.net", vault.name).to_ascii_lowercase()));
    if !ip.is_unspecified() {
        hosts.insert(ip.to_string());
    }
    hosts
}

// === impl Running ===

impl Running {
    /// The authority as `AZURE_AUTHORITY_HOST` wants it: `https://127.0.0.1:PORT/`, with the trailing slash.
    #[must_use]
    pub fn authority_url(&self) -> &str {
        &self.authority
    }

    /// The URL of a vault (by name, in any letter case), without a trailing slash. `None`: there is no such vault.
    ///
    /// Azure's clients check that a vault's host ends in the challenge's `vault.azure.net`; for this URL they need
    /// `verify_challenge_resource=False` (or their language's name of it).
    #[must_use]
    pub fn vault_url(&self, name: &str) -> Option<&str> {
        self.vaults.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The certificate (PEM) of the authority that this emulator's own certificate is from. It is valid for a year and
    /// belongs to this start alone.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Adds a fault. Of several for one endpoint the oldest strikes first.
    pub fn inject(&self, fault: Fault) {
        self.faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// How the token requests so far ended.
    #[must_use]
    pub fn exchanges(&self) -> Exchanges {
        self.counts.read()
    }

    /// Moves the emulator's clock forward by whole seconds: assertions and access tokens age at once.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stops: no new connection, open requests have two seconds.
    pub async fn stop(self) {
        self.servers.stop().await;
    }
}
