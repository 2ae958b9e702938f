//! The cluster's authority, the certificates that it gives, and the key that signs service-account tokens.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256, RsaKeySize,
};

/// A private authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate and its key, PEM.
pub struct Identity {
    /// The certificate alone.
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
}

/// Files of the control plane's own.
pub(crate) struct Files {
    pub(crate) authority: PathBuf,
    pub(crate) serving: (PathBuf, PathBuf),
    pub(crate) signing_key: PathBuf,
}

// === impl Authority ===

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// No randomness.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// A server's, for host names and IP addresses.
    ///
    /// # Errors
    /// A name that is neither.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A client's, whom the API server knows by `user` and `group`.
    ///
    /// # Errors
    /// No randomness.
    pub fn client(&self, user: &str, group: &str) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        Ok(Identity { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

// === impl Files ===

impl Files {
    /// Writes what the programs are given by file.
    pub(crate) fn write(folder: &Path, authority: &Authority, names: &[&str]) -> Result<Self> {
        let serving = authority.server(names)?;
        // Entra accepts RS256 only, so an issuer that federates with it signs with RSA.
        let signing = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok(path)
        };
        Ok(Self {
            authority: write("ca.crt", &authority.pem)?,
            serving: (write("apiserver.crt", &serving.certificate)?, write("apiserver.key", &serving.key)?),
            signing_key: write("service-account.key", &signing.serialize_pem())?,
        })
    }
}
