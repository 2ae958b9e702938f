//! What is known about a pod's service account and namespace: the one thing that admission has to look up.

mod cluster;
mod freshness;
mod index;
mod live;
mod watch;

pub use cluster::Cluster;
pub use index::{Entry, Index};
pub use live::Live;
pub use watch::Watches;

use podbadge_webhook_core::{
    decision::{Known, OptIn},
    identity::{Namespace, ServiceAccount},
    resources::Limits,
};
use std::{future::Future, sync::Arc, time::Duration};

/// A pod's service account and how it opts in.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The namespace of pod and account.
    pub namespace: &'a str,
    /// The account's name.
    pub service_account: &'a str,
    /// A labelled pod expects an identity, so an account without one is worth a second look.
    pub opt_in: OptIn,
}

/// What is known, to be borrowed as [`Known`].
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `None` where there is no such service account.
    pub service_account: Option<Arc<ServiceAccount>>,
    /// The namespace's defaults.
    pub namespace: Arc<Namespace>,
    /// What the namespace's LimitRanges demand of each container, where there are any.
    pub limits: Option<Arc<Limits>>,
}

/// The service account or its namespace could not be looked up: our failure, not the user's. Whoever waited for the same
/// read gets the same failure.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The API server did not answer in time.
    #[error("the service account could not be read within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// It is not among what is kept, and there is nobody to ask.
    #[error("the service account has more annotations than are kept of its namespace")]
    NotKept,
    /// The API server answered with an error.
    #[error("the service account could not be read: {}", told(.0))]
    Failed(#[source] Arc<kube::Error>),
}

/// Where service accounts are looked up: the cluster, or a fixed set.
pub trait Lookup: Send + Sync + 'static {
    /// Answers from memory, or asks once, for at most `deadline`.
    fn facts(
        &self,
        question: Question<'_>,
        deadline: Duration,
    ) -> impl Future<Output = Result<Facts, Unavailable>> + Send;
}

/// What went wrong, on one line: the client's own text of a refusal is the whole status object.
pub(crate) fn told(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => format!("{} {}: {}", status.code, status.reason, status.message),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

// === impl Facts ===

impl Facts {
    /// The facts as decisions take them.
    pub fn known(&self) -> Known<'_> {
        let Self { service_account, namespace, limits } = self;
        let limits = limits.as_deref().unwrap_or(&Limits::NONE);
        Known { service_account: service_account.as_deref(), namespace, limits, random: 0 }
    }
}

/// A fixed set: what is not in it does not exist.
impl Lookup for Index {
    async fn facts(&self, question: Question<'_>, _deadline: Duration) -> Result<Facts, Unavailable> {
        let entry = self.service_account(question.namespace, question.service_account);
        if entry == Entry::Elsewhere {
            return Err(Unavailable::NotKept);
        }
        Ok(Facts {
            service_account: entry.known(),
            namespace: self.namespace(question.namespace),
            limits: self.limits(question.namespace),
        })
    }
}

impl<L: Lookup> Lookup for Arc<L> {
    fn facts(
        &self,
        question: Question<'_>,
        deadline: Duration,
    ) -> impl Future<Output = Result<Facts, Unavailable>> + Send {
        L::facts(self, question, deadline)
    }
}
