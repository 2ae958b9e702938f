//! The authorities that clients are told to trust: what stands in `caBundle`.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;

use crate::material::{Certificate, Error};

/// Authorities to trust at the same time. The first one signs; those after it signed before and are trusted until
/// every replica serves a leaf of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<Certificate>);

impl Bundle {
    /// Old authorities kept at most: rotations come months apart, so more of them mean that something replaces the
    /// Secret over and over.
    const RETIRED: usize = 3;

    /// Reads a PEM bundle, such as `ca.crt` or `caBundle`; what is not a certificate in it is ignored, as Go does.
    ///
    /// # Errors
    /// If a certificate in it cannot be read. Nothing in it is an empty bundle.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let read = |der: Result<_, _>| Certificate::parse(der.map_err(|_| Error::Certificate)?);
        CertificateDer::pem_slice_iter(pem).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The bundle after a change of authority: `signing` first, then those of `self` that are still valid.
    #[must_use]
    pub fn succeeded_by(&self, signing: Certificate, now: OffsetDateTime) -> Self {
        let usable = |old: &&Certificate| **old != signing && old.validity().contains(now);
        let retired: Vec<Certificate> = self.0.iter().filter(usable).take(Self::RETIRED).cloned().collect();
        Self(std::iter::once(signing).chain(retired).collect())
    }

    /// The bundle without the authorities that no longer sign.
    #[must_use]
    pub fn without_retired(&self) -> Self {
        Self(self.0.iter().take(1).cloned().collect())
    }

    /// The authority that signs.
    #[must_use]
    pub fn signing(&self) -> Option<&Certificate> {
        self.0.first()
    }

    /// Whether authorities that no longer sign are trusted.
    #[must_use]
    pub fn has_retired(&self) -> bool {
        self.0.len() > 1
    }

    /// Whether `authority` is trusted.
    #[must_use]
    pub fn contains(&self, authority: &Certificate) -> bool {
        self.0.contains(authority)
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bundle as PEM text, in order.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.iter().map(Certificate::to_pem).collect()
    }
}
