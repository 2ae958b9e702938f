//! The certificate that TLS connections are served with: one immutable snapshot, swapped whole.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::material::{Material, provider};

/// What is served now. Clones share it; connections that are open keep what they began with.
#[derive(Clone, Default)]
pub struct Serving(Arc<Shared>);

/// One published certificate.
#[derive(Debug)]
pub struct Snapshot {
    /// What is served.
    pub material: Material,
    /// Counts what was published, from 1.
    pub generation: u64,
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 only (RFC 8446).
    #[default]
    Tls13,
}

#[derive(Default)]
struct Shared {
    current: ArcSwapOption<Snapshot>,
    publishing: Mutex<()>,
}

// === impl Serving ===

impl Serving {
    /// Serves `material` from the next handshake on and returns its generation, which grows by one with every change.
    /// The same certificate again changes nothing.
    pub fn publish(&self, material: Material) -> u64 {
        let _one_at_a_time = self.0.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.0.current.load();
        if let Some(current) = current.as_ref().filter(|current| current.material.chain() == material.chain()) {
            return current.generation;
        }
        let generation = current.as_ref().map_or(0, |current| current.generation) + 1;
        self.0.current.store(Some(Arc::new(Snapshot { material, generation })));
        generation
    }

    /// What is served now; `None` before the first [`Serving::publish`], when handshakes fail.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.0.current.load_full()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current.load().as_ref().map(|current| Arc::clone(current.material.certified()))
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.current()).finish()
    }
}

/// A server's TLS settings over `serving`: HTTP/2 or HTTP/1.1 by ALPN, no client certificates, no session tickets (the
/// API server keeps none, and every one costs memory).
///
/// # Errors
/// If the crypto provider lacks the versions.
pub fn server_config(serving: &Serving, min_version: MinVersion) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(serving.clone()));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
