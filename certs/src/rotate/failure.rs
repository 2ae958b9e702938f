//! Why a round did not do all it should.

use std::time::Duration;

use crate::{event::Step, inject, issue, store};

/// What went wrong, where and why.
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) reason: String,
}

/// Why an attempt ended.
pub(super) enum Stop {
    /// Somebody else wrote first: look again.
    Conflict(Failure),
    /// Not to be helped now.
    Failed(Failure),
}

impl Failure {
    /// The API server did not answer within `patience`.
    pub(super) fn late(step: Step, patience: Duration) -> Self {
        Self { step, reason: format!("the API server took longer than {patience:?}") }
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        let reason = error.to_string();
        match error {
            store::Error::Read { .. } => Self::Failed(Failure { step: Step::ReadSecret, reason }),
            store::Error::Write { .. } => Self::Failed(Failure { step: Step::WriteSecret, reason }),
            store::Error::Conflict { .. } => Self::Conflict(Failure { step: Step::WriteSecret, reason }),
        }
    }
}

impl From<inject::Error> for Stop {
    fn from(error: inject::Error) -> Self {
        let reason = error.to_string();
        match error {
            inject::Error::Read { .. } => Self::Failed(Failure { step: Step::ReadConfiguration, reason }),
            inject::Error::Write { .. } => Self::Failed(Failure { step: Step::WriteConfiguration, reason }),
            inject::Error::Conflict { .. } => Self::Conflict(Failure { step: Step::WriteConfiguration, reason }),
        }
    }
}

impl From<issue::Error> for Stop {
    fn from(error: issue::Error) -> Self {
        Self::Failed(Failure { step: Step::Issue, reason: error.to_string() })
    }
}
