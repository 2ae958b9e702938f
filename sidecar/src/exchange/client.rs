//! The client of the exchanges. It is made at the first one: a pod that never asks pays neither its time nor its memory.
//! It is made anew when a file's roots have changed, which is looked at whenever it is used, as with the token file.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::transport::{At, Fault, Https};
use crate::config::{Entra as Config, Roots};
use crate::roots;

#[derive(Default)]
pub(super) struct Clients(Mutex<Option<Made>>);

struct Made {
    /// What the file held, if the roots are a file's.
    pem: Option<Zeroizing<Vec<u8>>>,
    https: Https,
}

// === impl Clients ===

impl Clients {
    /// The client that trusts what is to be trusted now.
    ///
    /// # Errors
    /// There is none yet, and it cannot be made.
    pub(super) fn current(&self, config: &Config) -> Result<Https, Fault> {
        // Nothing in between panics.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match (slot.take(), config.token_proxy.as_ref().map(|token_proxy| &token_proxy.roots)) {
            (made, Some(Roots::File(path))) => renewed(made, config, path)?,
            (Some(made), _) => made,
            (None, Some(Roots::Data(roots))) => Made { pem: None, https: https(config, only(roots)?)? },
            (None, Some(Roots::Authority) | None) => {
                Made { pem: None, https: https(config, public_and(&config.roots)?)? }
            }
        };
        Ok(slot.insert(made).https.clone())
    }
}

/// The client for the file at `path`. While the file is being replaced it may be empty or half written: then what was
/// trusted is trusted on.
fn renewed(made: Option<Made>, config: &Config, path: &Path) -> Result<Made, Fault> {
    let useless = |error: roots::Invalid| Fault::Unusable(format!("no roots in {} ({error})", path.display()));
    match (made, roots::read(path).map_err(useless)) {
        (Some(made), Ok(pem)) if made.pem.as_ref() == Some(&pem) => Ok(made),
        (made, pem) => {
            let next = pem.and_then(|pem| {
                let roots = roots::parse(&pem).map_err(useless)?;
                Ok(Made { https: https(config, only(&roots)?)?, pem: Some(pem) })
            });
            match (next, made) {
                (Ok(next), _) => {
                    info!(path = %path.display(), "Trusting the roots in the file");
                    Ok(next)
                }
                (Err(fault), Some(made)) => {
                    warn!(error = %fault, "The custom token endpoint is trusted by its last good roots");
                    Ok(made)
                }
                (Err(fault), None) => Err(fault),
            }
        }
    }
}

fn https(config: &Config, roots: RootCertStore) -> Result<Https, Fault> {
    let named = config.token_proxy.as_ref().filter(|token_proxy| token_proxy.sni_name.is_some());
    let at = named.and_then(|token_proxy| token_proxy.url.host()).map(|host| At(host.to_owned()));
    Https::new(roots, config.proxy.clone(), at).map_err(|error| Fault::Unusable(error.to_string()))
}

fn public_and(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    let public = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    with(public, roots)
}

fn only(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    with(RootCertStore::empty(), roots)
}

fn with(mut store: RootCertStore, roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Fault> {
    for root in roots {
        store.add(root.clone()).map_err(|error| Fault::Unusable(error.to_string()))?;
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That a certificate of a public authority is refused follows from this.
    #[test]
    fn a_token_endpoints_roots_are_the_only_ones() {
        let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate").cert;
        assert_eq!(only(&[ca.der().clone()]).expect("roots").len(), 1);
        assert!(public_and(&[ca.der().clone()]).expect("roots").len() > 100);
    }
}
