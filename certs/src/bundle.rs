//! The authorities that clients are told to trust: what stands in `caBundle`.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;

use crate::material::{Certificate, Error, Material, Names};

/// Authorities to trust at the same time. The first one signs; those after it signed before and are trusted until
/// every replica serves a leaf of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle(Vec<Certificate>);

impl Bundle {
    /// Old authorities kept at most: rotations come months apart, so more of them mean that something replaces the
    /// Secret over and over. Even then there is a new one only when the last is served (`plan::Action::Restore`), so
    /// that nobody serves the oldest any more.
    const RETIRED: usize = 7;

    /// Reads a PEM bundle, such as `ca.crt` or `caBundle`; what is not a certificate in it is ignored, as Go does.
    ///
    /// # Errors
    /// If a certificate in it cannot be read. Nothing in it is an empty bundle.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let read = |der: Result<_, _>| Certificate::parse(der.map_err(|_| Error::Certificate)?);
        CertificateDer::pem_slice_iter(pem).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The bundle after a change of authority: `signing` first, then those of `self`. Whether they are valid still is
    /// not asked: that depends on a clock, and trusting one that has ended does no harm.
    #[must_use]
    pub fn succeeded_by(&self, signing: Certificate) -> Self {
        let retired: Vec<Certificate> =
            self.0.iter().filter(|old| **old != signing).take(Self::RETIRED).cloned().collect();
        Self(std::iter::once(signing).chain(retired).collect())
    }

    /// The bundle that also trusts what `live` does, which is what API servers trust now: somebody may serve what they
    /// trust, because the Secret was restored from a backup, was deleted, or is new here. Only what all have `followed`
    /// away from is left out: `live` has been the same for long, and the authority that signs here is its first. Says
    /// whether anything is new.
    #[must_use]
    pub fn adopting(&self, live: &Self, followed: bool) -> (Self, bool) {
        if followed && live.signing() == self.signing() {
            return (self.clone(), false);
        }
        let (signing, retired) = self.0.split_at(self.0.len().min(1));
        let lacking: Vec<Certificate> = live.0.iter().filter(|one| !self.contains(one)).cloned().collect();
        let is_new = !lacking.is_empty();
        // What is trusted now comes before what was.
        let all = signing.iter().cloned().chain(lacking).chain(retired.iter().cloned());
        (Self(all.take(1 + Self::RETIRED).collect()), is_new)
    }

    /// The bundle that trusts what either does.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let lacking = other.0.iter().filter(|one| !self.contains(one));
        Self(self.0.iter().chain(lacking).cloned().collect())
    }

    /// The bundle that trusts what both do.
    #[must_use]
    pub fn shared_with(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|one| other.contains(one)).cloned().collect())
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

    /// The authority that signed this leaf.
    #[must_use]
    pub fn signer_of(&self, leaf: &Material, names: &Names, now: OffsetDateTime) -> Option<&Certificate> {
        self.0.iter().find(|one| one.verify(leaf, names, now).is_ok())
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
