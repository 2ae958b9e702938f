//! One review of a service account or a workload: read, looked up where that helps, reviewed, answered. It never fails: an
//! answer with less advice is better than none.

use crate::{
    admit::{Admission, Answer},
    lookup::{Lookup, Question},
    metrics::Outcome,
    review::{self, Audit, NoReview, Request, Review},
};
use podbadge_webhook_core::{
    advice::{self, Context, Kind, Object},
    pod::Text,
    warning::{self, Warning},
};
use std::time::Duration;

/// What became of a review: a closed set, for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was nothing to say.
    Silent,
    /// There was.
    Warned,
    /// The service account could not be looked up, so there may have been more to say.
    Lookup,
    /// The review is not about an object to advise on.
    Other,
    /// The object could not be read.
    BadObject,
    /// It holds what cannot have been meant, and the installation is strict.
    Mistake,
}

impl<L: Lookup> Admission<L> {
    /// Answers one review of a service account or a workload: allowed, but in a strict installation not with what cannot
    /// have been meant. A look-up may take `deadline`.
    ///
    /// # Errors
    ///
    /// The body is no review.
    pub async fn advise(&self, body: &[u8], deadline: Duration) -> Result<Answer, NoReview> {
        Ok(match review::read_advised(body)? {
            Review::Object(kind, request) => match &request.object {
                Some(object) => self.review(&request, object, kind, deadline).await,
                None => allowed(&request.uid, Reason::Other, &[]),
            },
            Review::Other { uid, what } => {
                let text = format!("podbadge-webhook was asked about {what}; check the rules of its configuration");
                allowed(&uid, Reason::Other, &[Warning::new(text)])
            }
            Review::BadObject { uid, error } => {
                let text = format!("podbadge-webhook has no advice: {error}");
                allowed(&uid, Reason::BadObject, &[Warning::new(text)])
            }
        })
    }

    async fn review(
        &self,
        request: &Request<'_, Object<'_>>,
        object: &Object<'_>,
        kind: Kind,
        deadline: Duration,
    ) -> Answer {
        let namespace = request.namespace.as_ref().map_or("default", Text::as_str);
        let (mut facts, mut reason) = (None, None);
        if let Some(advice::Question { service_account, opt_in }) = object.question(&self.settings) {
            match self.lookup.facts(Question { namespace, service_account, opt_in }, deadline).await {
                Ok(found) => facts = Some(found),
                Err(error) => {
                    tracing::warn!(%error, "Advised without it");
                    reason = Some(Reason::Lookup);
                }
            }
        }
        let known = facts.as_ref().map(|facts| facts.known());
        let context = Context { kind, namespace, known, settings: &self.settings };
        let warnings = advice::review(object, context);
        match warning::mistakes(&warnings).filter(|_| self.settings.strict) {
            Some(message) => denied(&request.uid, message, warnings),
            None => {
                let told = if warnings.is_empty() { Reason::Silent } else { Reason::Warned };
                allowed(&request.uid, reason.unwrap_or(told), &warnings)
            }
        }
    }
}

fn allowed(uid: &Text<'_>, reason: Reason, warnings: &[Warning]) -> Answer {
    let body = review::patched(uid.as_str(), None, warnings, None);
    Answer { body, outcome: reason.outcome(), reason: reason.as_str(), denial: None }
}

fn denied(uid: &Text<'_>, message: String, mut warnings: Vec<Warning>) -> Answer {
    warnings.retain(|warning| !warning.is_mistake());
    let reason = Reason::Mistake;
    let body = review::denied(uid.as_str(), &message, &warnings, Audit { outcome: reason.as_str(), identity: None });
    Answer { body, outcome: reason.outcome(), reason: reason.as_str(), denial: Some(message) }
}

// === impl Reason ===

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 6] = [Self::Silent, Self::Warned, Self::Lookup, Self::Other, Self::BadObject, Self::Mistake];

    /// The outcome that goes with it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Mistake => Outcome::Deny,
            Self::Silent | Self::Warned | Self::Lookup | Self::Other | Self::BadObject => Outcome::Allow,
        }
    }

    /// The reason as a label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Warned => "warned",
            Self::Lookup => "lookup",
            Self::Other => "other",
            Self::BadObject => "bad_object",
            Self::Mistake => "mistake",
        }
    }
}
