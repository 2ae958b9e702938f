//! Making authorities and serving certificates. The only place here with randomness in it (keys and serial numbers).

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

use crate::{
    bundle::Bundle,
    material::{self, Authority, Certificate, Key, Material, Names, wiped},
    policy::Policy,
    state::Whole,
};

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Making the key or signing failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made is not usable.
    #[error("a certificate just made {0}")]
    Check(#[from] material::Error),
}

/// A new authority with a first leaf; `trusted` are the authorities that clients trust so far and go on trusting.
///
/// # Errors
/// [`Error`].
pub fn whole(names: &Names, policy: &Policy, trusted: &Bundle, now: OffsetDateTime) -> Result<Whole, Error> {
    let authority = authority(policy, now)?;
    let bundle = trusted.succeeded_by(authority.certificate().clone());
    let leaf = leaf(&authority, names, policy, now)?;
    Ok(Whole { authority, bundle, leaf })
}

/// A new authority (ECDSA P-256), allowed to sign leaves and nothing else.
///
/// # Errors
/// [`Error`].
pub fn authority(policy: &Policy, now: OffsetDateTime) -> Result<Authority, Error> {
    let pair = Zeroizing::new(KeyPair::generate()?);
    // Two authorities must differ in name too: clients look an issuer up by it.
    let made_at = now.format(&Rfc3339).unwrap_or_else(|_| now.unix_timestamp().to_string());
    let mut params = params(&format!("Podbadge webhook authority {made_at}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = now - policy.backdate;
    params.not_after = now + policy.authority.valid;
    let certificate = Certificate::parse(params.self_signed(&*pair)?.der().clone())?;
    Ok(Authority::new(certificate, wiped(pair.serialize_pem()), now)?)
}

/// A new serving certificate (ECDSA P-256) of `authority`, which it never outlives.
///
/// # Errors
/// [`Error`].
pub fn leaf(authority: &Authority, names: &Names, policy: &Policy, now: OffsetDateTime) -> Result<Material, Error> {
    let signer = Issuer::from_ca_cert_der(authority.certificate().der(), pair(authority.key())?)?;
    let pair = Zeroizing::new(KeyPair::generate()?);
    let mut params = params(&names.called());
    params.subject_alt_names = CertificateParams::new(names.all())?.subject_alt_names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = (now - policy.backdate).max(authority.certificate().validity().not_before);
    params.not_after = (now + policy.leaf.valid).min(authority.certificate().validity().not_after);
    let certificate = params.signed_by(&*pair, &signer)?.pem();
    let leaf = Material::from_pem(certificate.as_bytes(), wiped(pair.serialize_pem()), names, now)?;
    authority.certificate().verify(&leaf, names, now)?;
    Ok(leaf)
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // The subject's limit (RFC 5280, ub-common-name); clients read the alternative names.
    params.distinguished_name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    params
}

fn pair(key: &Key) -> Result<KeyPair, rcgen::Error> {
    let text = std::str::from_utf8(key.pem()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    KeyPair::from_pem(text)
}

#[cfg(test)]
mod tests;
