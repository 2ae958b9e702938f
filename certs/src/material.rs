//! Certificates and keys that were checked: a value of these types is usable.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier, verify_server_name},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};
use zeroize::{Zeroize, Zeroizing};

/// Why a certificate or key is not usable. Never carries any of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("is missing")]
    Missing,
    /// No certificate in the PEM text, or one that is none.
    #[error("holds no readable PEM certificate")]
    Certificate,
    /// No private key in the PEM text, or one that is none, or of a kind TLS does not use.
    #[error("holds no readable PEM private key (PKCS#8, PKCS#1 or SEC1; RSA, ECDSA or Ed25519)")]
    Key,
    /// Key and certificate belong to different pairs.
    #[error("holds a private key that does not belong to the certificate")]
    Mismatch,
    /// The certificate is for other names.
    #[error("holds a certificate that is not valid for {0}")]
    Name(String),
    /// Its time has not come.
    #[error("holds a certificate that is not valid before {}", rfc3339(*.0))]
    Early(OffsetDateTime),
    /// Its time is over.
    #[error("holds a certificate that expired at {}", rfc3339(*.0))]
    Expired(OffsetDateTime),
    /// The certificate was not signed by the authority beside it.
    #[error("holds a certificate that its authority did not sign")]
    Authority,
    /// The certificate is no authority's: clients in Go would refuse whatever it signed.
    #[error("holds a certificate that may not sign others")]
    NotAnAuthority,
    /// A name that cannot be in a certificate.
    #[error("{0:?} is not a DNS name")]
    NotAName(String),
}

/// The names a server is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    called: ServerName<'static>,
    all: Vec<String>,
}

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: OffsetDateTime,
    /// The last moment.
    pub not_after: OffsetDateTime,
}

/// One X.509 certificate; two are equal if their bytes are.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
}

/// A private key as PEM text: never printed, wiped when the last clone goes.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<Vec<u8>>>);

/// What a TLS server presents, checked: the key belongs to the certificate, the certificate is for the names and in its
/// time.
#[derive(Clone)]
pub struct Material {
    chain: Vec<Certificate>,
    key: Key,
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// A certificate authority that can sign: its key belongs to its certificate, which is in its time.
#[derive(Clone, Debug)]
pub struct Authority {
    certificate: Certificate,
    key: Key,
}

// === impl Names ===

impl Names {
    /// The names of a Service. The API server calls a webhook `<service>.<namespace>.svc` (Kubernetes, "Dynamic
    /// Admission Control", Service reference).
    ///
    /// # Errors
    /// [`Error::NotAName`].
    pub fn of_service(service: &str, namespace: &str) -> Result<Self, Error> {
        let called = format!("{service}.{namespace}.svc");
        Self::new(called, [format!("{service}.{namespace}"), service.to_owned()])
    }

    /// The name (or IP address) that clients call, and others that a certificate we make is valid for as well.
    ///
    /// # Errors
    /// [`Error::NotAName`].
    pub fn new(called: String, others: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let all: Vec<String> = std::iter::once(called).chain(others).collect();
        let mut parsed = Vec::with_capacity(all.len());
        for name in &all {
            parsed.push(ServerName::try_from(name.clone()).map_err(|_| Error::NotAName(name.clone()))?);
        }
        // There is at least the one put in first.
        let called = parsed.swap_remove(0);
        Ok(Self { called, all })
    }

    /// The name clients call; the only one a certificate must have.
    #[must_use]
    pub fn called(&self) -> String {
        self.called.to_str().into_owned()
    }

    /// All names, the called one first.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.all
    }
}

// === impl Validity ===

impl Validity {
    /// Whether `now` is within.
    #[must_use]
    pub fn contains(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    fn check(&self, now: OffsetDateTime) -> Result<(), Error> {
        if now < self.not_before {
            return Err(Error::Early(self.not_before));
        }
        if now > self.not_after {
            return Err(Error::Expired(self.not_after));
        }
        Ok(())
    }

    fn narrowed_to(self, other: Self) -> Self {
        Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) }
    }
}

// === impl Certificate ===

impl Certificate {
    /// Reads one DER certificate (RFC 5280).
    ///
    /// # Errors
    /// [`Error::Certificate`].
    pub fn parse(der: CertificateDer<'static>) -> Result<Self, Error> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| Error::Certificate)?;
        let validity = Validity {
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
        };
        Ok(Self { der, validity })
    }

    /// Whether it is an authority's (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
    fn may_sign(&self) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.der) else { return false };
        let usage = parsed.key_usage().ok().flatten();
        parsed.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign())
    }

    /// From when to when it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Checks a leaf as a client that trusts this certificate alone would.
    ///
    /// # Errors
    /// [`Error::Authority`].
    pub fn verify(&self, leaf: &Material, names: &Names, now: OffsetDateTime) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(|_| Error::Authority)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
            .build()
            .map_err(|_| Error::Authority)?;
        let chain: Vec<CertificateDer<'static>> = leaf.chain.iter().map(|one| one.der.clone()).collect();
        let (first, intermediates) = chain.split_first().ok_or(Error::Certificate)?;
        let now = UnixTime::since_unix_epoch((now - OffsetDateTime::UNIX_EPOCH).unsigned_abs());
        let verdict = verifier.verify_server_cert(first, intermediates, &names.called, &[], now);
        verdict.map(|_| ()).map_err(|_| Error::Authority)
    }

    /// Its DER bytes.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// As PEM text.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("CERTIFICATE", self.der.to_vec()), config)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(until {})", rfc3339(self.validity.not_after))
    }
}

// === impl Key ===

impl Key {
    /// A key from PEM text; whether it is one is checked where it meets its certificate.
    #[must_use]
    pub fn new(pem: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(pem)))
    }

    /// The PEM text, for storing.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.0
    }

    fn parse(&self) -> Result<Zeroizing<PrivateKeyDer<'static>>, Error> {
        // The parser's own errors quote the text.
        PrivateKeyDer::from_pem_slice(&self.0).map(Zeroizing::new).map_err(|_| Error::Key)
    }

    fn belongs_to(&self, chain: &[Certificate]) -> Result<CertifiedKey, Error> {
        let key = aws_lc_rs::sign::any_supported_type(&*self.parse()?).map_err(|_| Error::Key)?;
        let certified = CertifiedKey::new(chain.iter().map(|one| one.der.clone()).collect(), key);
        certified.keys_match().map_err(|_| Error::Mismatch)?;
        Ok(certified)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

// === impl Material ===

impl Material {
    /// Reads and checks a PEM chain (server's certificate first) and its key.
    ///
    /// # Errors
    /// [`Error`], the first check that failed.
    pub fn from_pem(chain: &[u8], key: Key, names: &Names, now: OffsetDateTime) -> Result<Self, Error> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .map(|der| Certificate::parse(der.map_err(|_| Error::Certificate)?))
            .collect::<Result<Vec<_>, _>>()?;
        let first = chain.first().ok_or(Error::Certificate)?;
        let certified = key.belongs_to(&chain)?;
        let parsed = ParsedCertificate::try_from(&first.der).map_err(|_| Error::Certificate)?;
        verify_server_name(&parsed, &names.called).map_err(|_| Error::Name(names.called()))?;
        // A chain is as valid as its weakest link.
        let validity = chain.iter().skip(1).fold(first.validity, |all, one| all.narrowed_to(one.validity));
        validity.check(now)?;
        Ok(Self { chain, key, certified: Arc::new(certified), validity })
    }

    /// From when to when the whole chain is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The chain, the server's certificate first.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The chain as PEM text.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::to_pem).collect()
    }

    /// The private key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// What rustls serves.
    #[must_use]
    pub const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("chain", &self.chain).finish_non_exhaustive()
    }
}

// === impl Authority ===

impl Authority {
    /// An authority from its certificate and key.
    ///
    /// # Errors
    /// [`Error`], the first check that failed.
    pub fn new(certificate: Certificate, key: Key, now: OffsetDateTime) -> Result<Self, Error> {
        key.belongs_to(std::slice::from_ref(&certificate))?;
        certificate.validity.check(now)?;
        // Said here, because rustls takes whatever it is told to trust for an authority.
        if certificate.may_sign() { Ok(Self { certificate, key }) } else { Err(Error::NotAnAuthority) }
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

/// The one crypto provider, handed over where rustls would otherwise look for an installed one and panic without.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A time as messages and log lines have it (RFC 3339).
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.unix_timestamp().to_string())
}

/// PEM text of a key that somebody else made, moved into a [`Key`] without leaving a copy.
pub(crate) fn wiped(mut pem: String) -> Key {
    let key = Key::new(pem.as_bytes().to_vec());
    pem.zeroize();
    key
}
