//! Texts of the configuration that obey a rule. A value of these types is a valid one.

use std::{fmt, marker::PhantomData, str::FromStr, time::Duration};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use thiserror::Error;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Why a value of the configuration is refused: the value and the rule it breaks.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{value:?} {rule}")]
pub struct Invalid {
    /// What was given, cut after 80 characters.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

// === impl Invalid ===

impl Invalid {
    fn new(value: &str, rule: &'static str) -> Self {
        Self { value: value.chars().take(80).collect(), rule }
    }
}

/// Reads a value inside the deserializer, so that an error carries the path of the value, not of what holds it.
struct Parsed<T>(PhantomData<T>);

struct Seconds;

impl<T: FromStr<Err = Invalid>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl Visitor<'_> for Seconds {
    type Value = TokenLifetime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<TokenLifetime, E> {
        seconds.try_into().map_err(E::custom)
    }
}

/// A text type with one rule: parsed from `str` and from YAML, shown as it came.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(Invalid::new(text, $rule)) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Parsed(PhantomData))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// A verified domain of a tenant, such as `contoso.onmicrosoft.com`: at least two labels of RFC 1123.
    Domain,
    "must be a domain name such as contoso.onmicrosoft.com",
    |text| text.contains('.') && is_host_name(text)
}

text! {
    /// A host that the emulator is reached by: a DNS name or an IP address, without port.
    Host,
    "must be a DNS name or an IP address, without port",
    |text| text.parse::<std::net::IpAddr>().is_ok() || is_host_name(text)
}

text! {
    /// The display name of an application: 1 to 120 characters.
    DisplayName,
    "must have 1 to 120 characters",
    |text| has_characters(text, 1, 120)
}

text! {
    /// The name of a federated credential: 3 to 120 characters
    /// (<https://learn.microsoft.com/graph/api/resources/federatedidentitycredentials-overview>).
    CredentialName,
    "must have 3 to 120 characters",
    |text| has_characters(text, 3, 120)
}

text! {
    /// The issuer of a federated credential: an `https` URL of at most 600 characters, compared character by character,
    /// trailing slash included.
    Issuer,
    "must be an https URL of at most 600 characters, without query and fragment",
    |text| has_characters(text, 1, 600) && is_issuer(text)
}

text! {
    /// The subject of a federated credential, 1 to 600 characters: `system:serviceaccount:NAMESPACE:NAME`.
    Subject,
    "must have 1 to 600 characters",
    |text| has_characters(text, 1, 600)
}

text! {
    /// The audience of a federated credential, 1 to 600 characters; exactly one is allowed.
    Audience,
    "must have 1 to 600 characters",
    |text| has_characters(text, 1, 600)
}

text! {
    /// What tokens can be asked for: an application id URI or a GUID, 1 to 255 visible characters.
    Resource,
    "must have 1 to 255 visible characters and must not end in /.default",
    |text| has_characters(text, 1, 255) && !text.contains(char::is_whitespace) && !text.ends_with("/.default")
}

text! {
    /// The name of a key vault: 3 to 24 letters, digits and single hyphens, the first a letter, the last no hyphen
    /// (<https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates>).
    VaultName,
    "must be 3 to 24 letters, digits and single hyphens, starting with a letter and not ending with a hyphen",
    |text| {
        (3..=24).contains(&text.len())
            && is_hyphenated(text)
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !text.ends_with('-')
            && !text.contains("--")
    }
}

text! {
    /// The name of a secret: 1 to 127 letters, digits and hyphens.
    SecretName,
    "must be 1 to 127 letters, digits and hyphens",
    |text| (1..=127).contains(&text.len()) && is_hyphenated(text)
}

text! {
    /// The version of a secret: 32 hexadecimal digits in lower case.
    VersionId,
    "must be 32 hexadecimal digits in lower case",
    |text| text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A GUID in the hyphenated form, the only one that Entra writes; shown in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

/// How long an access token is valid: 2 to 86,400 seconds. Entra's own are 60 to 90 minutes, those of managed identities
/// 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLifetime(Duration);

/// Certificates (PEM) of authorities that cluster issuers have theirs from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots(Vec<CertificateDer<'static>>);

/// The value of a secret: never printed, wiped on drop.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct SecretValue(Zeroizing<String>);

// === impl Audience ===

impl Default for Audience {
    /// [`DEFAULT_AUDIENCE`](super::DEFAULT_AUDIENCE).
    fn default() -> Self {
        Self(super::DEFAULT_AUDIENCE.to_owned())
    }
}

// === impl Guid ===

impl FromStr for Guid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // `Uuid` also reads braces, a URN and 32 bare digits.
        let guid = (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten();
        guid.map(Self).ok_or_else(|| Invalid::new(text, "must be a GUID such as 11111111-2222-3333-4444-555555555555"))
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(PhantomData))
    }
}

impl From<Uuid> for Guid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

// === impl TokenLifetime ===

impl TokenLifetime {
    /// The lifetime.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<u64> for TokenLifetime {
    type Error = Invalid;

    fn try_from(seconds: u64) -> Result<Self, Invalid> {
        if (2..=86_400).contains(&seconds) {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err(Invalid::new(&seconds.to_string(), "must be 2 to 86400 seconds"))
        }
    }
}

impl<'de> Deserialize<'de> for TokenLifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(Seconds)
    }
}

impl Default for TokenLifetime {
    /// One hour.
    fn default() -> Self {
        Self(Duration::from_secs(3600))
    }
}

// === impl Roots ===

impl Roots {
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

impl FromStr for Roots {
    type Err = Invalid;

    fn from_str(pem: &str) -> Result<Self, Invalid> {
        match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            Ok(_) | Err(_) => Err(Invalid::new(pem, "must be one or more PEM certificates")),
        }
    }
}

impl<'de> Deserialize<'de> for Roots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Parsed(PhantomData))
    }
}

// === impl SecretValue ===

impl SecretValue {
    /// Takes the text over; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every call is a place to look at when a leak is suspected.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

// === rules ===

/// Labels of RFC 1123: 1 to 63 letters, digits and inner hyphens each, 253 characters in all.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && is_hyphenated(label) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_hyphenated(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_issuer(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| url.scheme() == "https" && url.has_host() && url.query().is_none() && url.fragment().is_none())
}

fn has_characters(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.contains(char::is_control)
}
