//! The values that annotations hold, each a type that cannot be wrong.

pub use podbadge_sidecar_core::text::{cut, excerpt};

use crate::contract;
use podbadge_sidecar_core::ids::{ClientId, TenantId};
use std::{fmt, ops::RangeInclusive, str::FromStr};
use uuid::Uuid;

/// A client or tenant id, small: nearly all are GUIDs, and a cluster has many.
#[derive(Clone, PartialEq, Eq)]
pub enum Id {
    /// A GUID in its usual lower-case form.
    Guid(Uuid),
    /// Anything else, kept as it was written: a domain as tenant, capital letters, mistakes.
    Other(Box<str>),
}

/// The value of an annotation, or what is kept of one that is too long to be read.
pub type Bounded<T> = Result<T, Box<TooLong>>;

/// A value that is longer than its annotation's ([`contract::longest`]). The text goes on after "it ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be no longer than {longest} bytes, and has {length}")]
pub struct TooLong {
    /// How it begins.
    pub excerpt: Box<str>,
    length: usize,
    longest: usize,
}

/// The lifetime of a projected token, 3600..=86400 seconds
/// (<https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiration(u32);

/// How the applications of a pod reach the sidecar, as `podbadge.io/sidecar` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By variables that name the endpoint.
    Endpoint,
    /// By redirection of the metadata address besides.
    Redirect,
    /// There is no sidecar.
    None,
}

/// What an audience, an image or a signer is, and a header or a log line bears: something, without blanks.
pub fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// The value, unless it is longer than that annotation's may be.
///
/// # Errors
///
/// It is; what it holds is not kept, for a wrong value must cost no more memory than a right one.
pub fn bounded<'v>(key: &str, value: &'v str) -> Bounded<&'v str> {
    let (length, longest) = (value.len(), contract::longest(key));
    if length <= longest {
        Ok(value)
    } else {
        Err(Box::new(TooLong { excerpt: excerpt(value).into(), length, longest }))
    }
}

/// Reads a decimal number as people write one: the standard library also takes a leading plus sign.
pub(crate) fn decimal<T: FromStr>(value: &str) -> Option<T> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

// === impl Id ===

impl Id {
    /// Reads an annotation's value; blanks around it are dropped and an empty one is none.
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if value.is_empty() {
            return None;
        }
        let mut buffer = Uuid::encode_buffer();
        Some(match Uuid::try_parse(value) {
            Ok(guid) if guid.hyphenated().encode_lower(&mut buffer) == value => Self::Guid(guid),
            _ => Self::Other(value.into()),
        })
    }

    /// How many bytes of text it takes beside its own few.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Guid(_) => 0,
            Self::Other(text) => text.len(),
        }
    }

    /// The client id that it is, if it is one: a GUID, in any letter case.
    pub fn client_id(&self) -> Option<ClientId> {
        match self {
            Self::Guid(guid) => Some(ClientId::from(*guid)),
            Self::Other(text) => text.parse().ok(),
        }
    }

    /// Whether it can be a client id.
    pub fn is_guid(&self) -> bool {
        self.client_id().is_some()
    }

    /// Whether it can be a tenant: a GUID or a domain.
    pub fn is_tenant(&self) -> bool {
        match self {
            Self::Guid(_) => true,
            Self::Other(text) => text.parse::<TenantId>().is_ok(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => guid.hyphenated().fmt(out),
            Self::Other(text) => out.write_str(text),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

// === impl TooLong ===

impl TooLong {
    /// How many bytes are kept of it.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.excerpt.len()
    }
}

// === impl Expiration ===

impl Expiration {
    /// What Azure Workload Identity uses where nobody says otherwise: one hour.
    pub const DEFAULT: Self = Self(3600);
    /// The allowed seconds.
    pub const RANGE: RangeInclusive<u32> = 3600..=86400;

    /// Reads an annotation's value: a whole number of seconds within [`Self::RANGE`].
    pub fn parse(value: &str) -> Option<Self> {
        let seconds = decimal(value)?;
        Self::RANGE.contains(&seconds).then_some(Self(seconds))
    }

    /// The lifetime in seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

// === impl Mode ===

impl Mode {
    /// Reads the annotation's value; `None` where it is no mode.
    pub fn parse(value: &str) -> Option<Self> {
        Some(match value {
            "endpoint" => Self::Endpoint,
            "redirect" => Self::Redirect,
            "none" => Self::None,
            _ => return None,
        })
    }
}
