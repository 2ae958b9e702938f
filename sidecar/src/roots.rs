//! Root certificates that somebody else provides, as PEM.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::file;

/// All public roots together have a quarter of this.
const LONGEST: usize = 1024 * 1024;

/// Why there are no roots.
#[derive(Debug, Error)]
pub(crate) enum Invalid {
    /// Not there, not allowed, not a file.
    #[error("{0}")]
    Read(io::Error),
    /// More than [`LONGEST`].
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    /// Between the lines that begin and end a certificate is something else.
    #[error("{0}")]
    Pem(pem::Error),
    /// No X.509.
    #[error("{0}")]
    Certificate(rustls::Error),
    /// Nothing of PEM at all.
    #[error("it has none")]
    Empty,
}

/// The bytes of the file at `path`. It may be a projected volume's, which is memory, so this does not wait.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Invalid> {
    file::read(path, LONGEST).map_err(Invalid::Read)?.ok_or(Invalid::TooLong)
}

/// The certificates of `pem`, at least one, each fit to be a root.
pub(crate) fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Invalid> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(Invalid::Pem)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(Invalid::Certificate)?;
    }
    if certificates.is_empty() { Err(Invalid::Empty) } else { Ok(certificates) }
}
