//! One review: read, screened, looked up, decided, answered.

use crate::{
    lookup::{Lookup, Question, Unavailable},
    metrics::Outcome as Metric,
    review::{self, NoReview, Request, Review},
};
use podbadge_webhook_core::{
    decision::{self, Outcome, Reason, Screen},
    settings::Settings,
    warning::Warning,
};
use std::{sync::Arc, time::Duration};

/// Decides reviews.
#[derive(Debug)]
pub struct Admission<L> {
    settings: Arc<Settings>,
    lookup: L,
}

/// The answer to a review, and what to tell the operator of it.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview to send back.
    pub body: Vec<u8>,
    /// Allow or deny.
    pub outcome: Metric,
    /// The reason's label.
    pub reason: &'static str,
    /// What the pod's author is told, if they have to mend something.
    pub denial: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request was no review.
    #[error(transparent)]
    NoReview(#[from] NoReview),
    /// The service account could not be looked up.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl<L: Lookup> Admission<L> {
    /// Decides with these settings, looking service accounts up there.
    pub fn new(settings: Arc<Settings>, lookup: L) -> Self {
        Self { settings, lookup }
    }

    /// Answers one review; a look-up may take `deadline`.
    ///
    /// # Errors
    ///
    /// The body is no review, or the service account cannot be looked up.
    pub async fn answer(&self, body: &[u8], deadline: Duration) -> Result<Answer, Error> {
        match review::read(body)? {
            Review::Pod(request) => self.pod(&request, deadline).await,
            Review::Other { uid, what } => {
                let text = format!("podbadge-webhook was asked about {what}; check the rules of its configuration");
                Ok(Answer::allowed(uid.as_str(), Reason::NotAPod, None, &[Warning::new(text)]))
            }
            Review::BadPod { uid, error } => Ok(Answer::denied(uid.as_str(), "bad_pod", error, &[])),
        }
    }

    async fn pod(&self, request: &Request<'_>, deadline: Duration) -> Result<Answer, Error> {
        let Request { uid, namespace, object: Some(pod), .. } = request else {
            return Ok(Answer::allowed(request.uid.as_str(), Reason::NotAPod, None, &[]));
        };
        let uid = uid.as_str();
        let opt_in = match decision::screen(pod, &self.settings) {
            Screen::LookUp(opt_in) => opt_in,
            Screen::Skip(reason) => {
                let mut warnings = Vec::new();
                decision::warn_of_odd_label(pod, &mut warnings);
                return Ok(Answer::allowed(uid, reason, None, &warnings));
            }
        };
        let namespace = namespace.as_ref().map_or("default", |namespace| namespace.as_str());
        let question = Question { namespace, service_account: pod.spec.service_account(), opt_in };
        let facts = self.lookup.facts(question, deadline).await?;
        Ok(match decision::decide(pod, namespace, opt_in, facts.known(), &self.settings) {
            Outcome::Allow { reason, patch, warnings } => Answer::allowed(uid, reason, patch.as_ref(), &warnings),
            Outcome::Deny { denial, warnings } => Answer::denied(uid, denial.as_str(), denial.to_string(), &warnings),
        })
    }
}

// === impl Answer ===

impl Answer {
    fn allowed(
        uid: &str,
        reason: Reason,
        patch: Option<&podbadge_webhook_core::patch::Patch>,
        warnings: &[Warning],
    ) -> Self {
        let body = review::patched(uid, patch, warnings);
        Self { body, outcome: Metric::Allow, reason: reason.as_str(), denial: None }
    }

    fn denied(uid: &str, reason: &'static str, message: String, warnings: &[Warning]) -> Self {
        let body = review::denied(uid, &message, warnings);
        Self { body, outcome: Metric::Deny, reason, denial: Some(message) }
    }
}
