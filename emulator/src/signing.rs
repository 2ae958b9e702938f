//! RSA keys that sign tokens, and how they are published.

use aws_lc_rs::digest;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    jwk::{Jwk, PublicKeyUse},
};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, PublicKeyData as _};
use serde::Serialize;
use thiserror::Error;

/// An RSA key of 2048 bits that signs tokens with RS256.
pub struct SigningKey {
    header: Header,
    private: EncodingKey,
    public: DecodingKey,
    jwk: Jwk,
}

/// Why a key cannot be made or used.
#[derive(Debug, Error)]
pub enum Error {
    /// Making the key or its certificate failed.
    #[error("cannot make a signing key")]
    Generate(#[from] rcgen::Error),
    /// Reading it back or signing with it failed.
    #[error("cannot use the signing key")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

// === impl SigningKey ===

impl SigningKey {
    /// A key as kube-apiserver signs service-account tokens with: its id is the unpadded base64url SHA-256 of the public
    /// key in PKIX form (Kubernetes, `pkg/serviceaccount/jwt.go`, `keyIDFromPublicKey`), and the header carries `alg`
    /// and `kid` alone. Takes tens of milliseconds of CPU.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn for_service_accounts() -> Result<Self, Error> {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &pair.subject_public_key_info()));
        let mut key = Self::new(&pair, id)?;
        key.header.typ = None;
        Ok(key)
    }

    /// A key as Entra signs access tokens with: its id is the SHA-1 thumbprint of its certificate, in `x5t` too.
    pub(crate) fn for_entra() -> Result<Self, Error> {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256)?;
        let mut certificate = CertificateParams::default();
        certificate.distinguished_name.push(DnType::CommonName, "accounts.accesscontrol.windows.net");
        let certificate = certificate.self_signed(&pair)?;
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der()));
        let mut key = Self::new(&pair, id.clone())?;
        key.header.x5t = Some(id.clone());
        // Entra publishes no `alg`.
        key.jwk.common.key_algorithm = None;
        key.jwk.common.x509_sha1_fingerprint = Some(id);
        key.jwk.common.x509_chain = Some(vec![STANDARD.encode(certificate.der())]);
        Ok(key)
    }

    fn new(pair: &KeyPair, id: String) -> Result<Self, Error> {
        let private = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::RS256)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(id.clone());
        let public = DecodingKey::from_jwk(&jwk)?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(id);
        Ok(Self { header, private, public, jwk })
    }

    /// The key's id, the `kid` of what it signs.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header.kid.as_deref().unwrap_or_default()
    }

    /// Signs claims into a compact JWT.
    ///
    /// # Errors
    /// If the claims cannot be written as JSON.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        Ok(jsonwebtoken::encode(&self.header, claims, &self.private)?)
    }

    /// The public key (RFC 7517).
    pub(crate) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    pub(crate) const fn public(&self) -> &DecodingKey {
        &self.public
    }
}
