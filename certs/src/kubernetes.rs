//! What the API server says when it refuses, in one line and without any of the object's content.

use std::fmt;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The object is not there.
    NotFound,
    /// Somebody else changed the object first, or made it first.
    Conflict,
    /// Anything else: no permission, invalid, unreachable.
    Other(String),
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_not_found() => Self::NotFound,
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict,
            kube::Error::Api(status) => Self::Other(status.message),
            // Serde quotes what it could not read.
            kube::Error::SerdeError(_) => Self::unreadable(),
            error => Self::Other(error.to_string()),
        }
    }
}

impl Refusal {
    pub(crate) fn unreadable() -> Self {
        Self::Other("the API server's answer is unreadable".to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::Conflict => f.write_str("changed by somebody else at the same time"),
            Self::Other(message) => f.write_str(message),
        }
    }
}
