//! An authority of our own and one serving certificate from it, made anew at each start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// How long the certificates are valid; some clients refuse more than 825 days.
const VALIDITY: Duration = Duration::days(365);

/// What a server needs, and what its clients need to trust it.
pub(crate) struct Identity {
    pub(crate) ca_pem: String,
    pub(crate) server: Arc<ServerConfig>,
}

/// Why no certificate could be made.
#[derive(Debug, Error)]
pub enum Error {
    /// Making or signing a certificate failed.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused what was made.
    #[error("cannot serve the certificate")]
    Tls(#[from] rustls::Error),
}

// === impl Identity ===

impl Identity {
    /// Makes an authority called `name` and a certificate for `hosts` (DNS names and IP addresses).
    pub(crate) fn new(name: &str, hosts: Vec<String>) -> Result<Self, Error> {
        let ca = authority(name)?;
        let key = KeyPair::generate()?;
        let mut leaf = dated(CertificateParams::new(hosts)?);
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 checks certificates as strictly as RFC 5280 has it.
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&key, &ca)?;

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), ca.der().clone()], key)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { ca_pem: ca.pem(), server: Arc::new(server) })
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = dated(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, format!("{name} CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn dated(mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    // Clients in containers and virtual machines may be a little behind.
    params.not_before = now - Duration::hours(1);
    params.not_after = now + VALIDITY;
    params
}
