//! One review: read, screened, looked up, decided, answered.

use crate::{
    lookup::{Lookup, Question, Unavailable},
    metrics::Outcome as Metric,
    review::{self, Audit, NoReview, OfPod, Request, Review},
};
use podbadge_webhook_core::{
    decision::{self, Known, OptIn, Outcome, Reason, Screen},
    pod::Pod,
    settings::Settings,
    warning::Warning,
};
use std::{sync::Arc, time::Duration};

/// Decides reviews.
#[derive(Debug)]
pub struct Admission<L> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) lookup: L,
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
    /// The system gave no random bits.
    #[error("no random bits are to be had for a pod on the host network")]
    Random,
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
            Review::Object(OfPod::Creation, request) => self.pod(&request, deadline).await,
            Review::Object(OfPod::Ephemeral, request) => self.ephemeral(&request, deadline).await,
            Review::Other { uid, what } => {
                let text = format!("podbadge-webhook was asked about {what}; check the rules of its configuration");
                Ok(Answer::skipped(uid.as_str(), Reason::NotAPod, &[Warning::new(text)]))
            }
            Review::BadObject { uid, error } => Ok(Answer::denied(uid.as_str(), "bad_pod", error, &[])),
        }
    }

    async fn pod(&self, request: &Request<'_>, deadline: Duration) -> Result<Answer, Error> {
        let Request { uid, namespace, object: Some(pod), .. } = request else {
            return Ok(Answer::skipped(request.uid.as_str(), Reason::NotAPod, &[]));
        };
        let uid = uid.as_str();
        let opt_in = match decision::screen(pod, &self.settings) {
            Screen::LookUp(opt_in) => opt_in,
            Screen::Skip(reason) => {
                let mut warnings = Vec::new();
                decision::warn_of_odd_label(pod, &mut warnings);
                return Ok(Answer::skipped(uid, reason, &warnings));
            }
        };
        let namespace = namespace.as_ref().map_or("default", |namespace| namespace.as_str());
        let question = Question { namespace, service_account: pod.spec.service_account(), opt_in };
        let facts = self.lookup.facts(question, deadline).await?;
        let known = Known { random: random(pod)?, ..facts.known() };
        Ok(Answer::of(uid, &decision::decide(pod, namespace, opt_in, known, &self.settings)))
    }

    async fn ephemeral(&self, request: &Request<'_>, deadline: Duration) -> Result<Answer, Error> {
        let Request { uid, namespace, object: Some(pod), old_object, .. } = request else {
            return Ok(Answer::skipped(request.uid.as_str(), Reason::NotAPod, &[]));
        };
        let namespace = namespace.as_ref().map_or("default", |namespace| namespace.as_str());
        let question =
            Question { namespace, service_account: pod.spec.service_account(), opt_in: OptIn::ServiceAccount };
        let facts = self.lookup.facts(question, deadline).await?;
        let nothing = Pod::default();
        let before = old_object.as_ref().unwrap_or(&nothing);
        Ok(Answer::of(uid.as_str(), &decision::decide_ephemeral(pod, before, facts.known(), &self.settings)))
    }
}

/// Random bits for a pod on the host network; no other needs them.
fn random(pod: &Pod<'_>) -> Result<u128, Error> {
    if !pod.spec.host_network {
        return Ok(0);
    }
    let mut bytes = [0; 16];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(u128::from_ne_bytes(bytes))
}

// === impl Answer ===

impl Answer {
    /// A pod that is none of our business.
    fn skipped(uid: &str, reason: Reason, warnings: &[Warning]) -> Self {
        let body = review::patched(uid, None, warnings, None);
        Self { body, outcome: Metric::Allow, reason: reason.as_str(), denial: None }
    }

    fn of(uid: &str, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Allow { reason, patch, warnings, identity } => {
                // What is said of nearly every pod of a cluster is no news.
                let audit = (*reason != Reason::NotOptedIn)
                    .then(|| Audit { outcome: reason.as_str(), identity: identity.as_deref() });
                let body = review::patched(uid, patch.as_ref(), warnings, audit);
                Self { body, outcome: Metric::Allow, reason: reason.as_str(), denial: None }
            }
            Outcome::Deny { denial, warnings } => Self::denied(uid, denial.as_str(), denial.to_string(), warnings),
        }
    }

    fn denied(uid: &str, reason: &'static str, message: String, warnings: &[Warning]) -> Self {
        let body = review::denied(uid, &message, warnings, Audit { outcome: reason, identity: None });
        Self { body, outcome: Metric::Deny, reason, denial: Some(message) }
    }
}
