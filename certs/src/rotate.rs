//! The loop that keeps everything right: read, plan, issue and store, inject, publish. Every replica runs it; none leads.

use std::{convert::Infallible, time::Duration};

use kube::Client;
use time::OffsetDateTime;

use crate::{
    bundle::Bundle,
    event::{Event, Step, Trouble},
    inject::{self, Configuration, Injector, Live},
    issue,
    material::{Certificate, Names},
    plan::{self, Action, Publish, Served},
    policy::Policy,
    resolver::Serving,
    state::{State, Whole},
    store::{self, Store},
};

/// How often one round reads again because somebody else wrote first.
const ATTEMPTS: usize = 5;

/// Certificates that the webhook makes for itself.
pub struct SelfManaged {
    /// The cluster.
    pub client: Client,
    /// Where the Secret is.
    pub namespace: String,
    /// The Secret that replicas share: get, update, create.
    pub secret: String,
    /// The webhook configurations whose `caBundle` is ours: get, patch.
    pub configurations: Vec<Configuration>,
    /// The names of the webhook's Service.
    pub names: Names,
    /// Lifetimes and intervals.
    pub policy: Policy,
}

struct Rotation<On> {
    store: Store,
    injector: Injector,
    names: Names,
    policy: Policy,
    serving: Serving,
    served: Option<Served>,
    trusted: Option<Trusted>,
    ready: bool,
    on: On,
}

/// An authority that every `caBundle` of ours holds, and since when we know.
struct Trusted {
    authority: Certificate,
    since: OffsetDateTime,
}

/// What went wrong in a round, where and why.
struct Failure {
    step: Step,
    reason: String,
}

impl SelfManaged {
    /// Keeps Secret, `caBundle` and what is `serving` right until dropped. What fails is logged once, told to `on` and
    /// tried again; the last good certificate stays served.
    pub async fn run(self, serving: Serving, clock: impl Fn() -> OffsetDateTime, on: impl FnMut(Event)) -> Infallible {
        let Self { client, namespace, secret, configurations, names, policy } = self;
        let mut rotation = Rotation {
            store: Store::new(client.clone(), namespace, secret),
            injector: Injector::new(client, configurations),
            names,
            policy,
            serving,
            served: None,
            trusted: None,
            ready: false,
            on,
        };
        let mut trouble = Trouble::default();
        loop {
            let round = tokio::time::timeout(policy.patience, rotation.round(&clock)).await;
            let wait = match round.unwrap_or_else(|_| Err(Failure::late(policy.patience))) {
                Ok(wait) => {
                    if let Some(event) = trouble.over() {
                        (rotation.on)(event);
                    }
                    wait
                }
                Err(Failure { step, reason }) => {
                    (rotation.on)(trouble.failed(step, reason));
                    policy.retry
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

// === impl Rotation ===

impl<On: FnMut(Event)> Rotation<On> {
    /// One look at everything; how long to wait until the next.
    async fn round(&mut self, clock: &impl Fn() -> OffsetDateTime) -> Result<Duration, Failure> {
        let mut conflict = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(clock()).await {
                Err(Stop::Conflict(failure)) => conflict = Some(failure),
                Err(Stop::Failed(failure)) => return Err(failure),
                Ok(wait) => return Ok(wait),
            }
        }
        conflict.map_or(Ok(self.policy.retry), Err)
    }

    async fn attempt(&mut self, now: OffsetDateTime) -> Result<Duration, Stop> {
        // In this order: see `Injector::apply`. Failing to read it must not keep a certificate from being served.
        let live = self.injector.read().await;
        let stored = self.store.read().await?;
        let mut state = State::parse(stored.data(), &self.names, now);
        let mut failed = None;

        let action = plan::next(&state, &self.policy, now);
        match self.carry_out(action, &state, live.as_ref().ok(), now) {
            Ok(None) => {}
            Ok(Some(whole)) => match self.store.write(&stored, &whole.to_data()).await {
                Ok(()) => {
                    tracing::info!(?action, until = ?whole.leaf, "Stored new certificates");
                    (self.on)(Event::Issued);
                    state = whole.into();
                }
                Err(error @ store::Error::Conflict { .. }) => return Err(error.into()),
                // Without permission to write, what there is may still be good.
                Err(error) => failed = Some(Stop::from(error)),
            },
            Err(error) => failed = Some(Stop::from(error)),
        }

        let mut wait = self.policy.poll;
        if state.leaf.is_ok() {
            match live {
                Ok(live) => match self.inject(&live, &state.bundle, now).await {
                    Err(Stop::Conflict(failure)) => return Err(Stop::Conflict(failure)),
                    outcome => failed = failed.or(outcome.err()),
                },
                Err(error) => failed = failed.or(Some(error.into())),
            }
            wait = wait.min(self.publish(state, now));
        }
        failed.map_or(Ok(wait), Err)
    }

    fn carry_out(
        &self,
        action: Action,
        state: &State,
        live: Option<&Live>,
        now: OffsetDateTime,
    ) -> Result<Option<Whole>, issue::Error> {
        let State { authority, bundle, leaf } = state;
        match (action, authority, leaf) {
            (Action::NewLeaf(_), Ok(authority), _) => {
                let leaf = issue::leaf(authority, &self.names, &self.policy, now)?;
                Ok(Some(Whole { authority: authority.clone(), bundle: bundle.clone(), leaf }))
            }
            (Action::Retire, Ok(authority), Ok(leaf)) => {
                Ok(Some(Whole { authority: authority.clone(), bundle: bundle.without_retired(), leaf: leaf.clone() }))
            }
            (Action::NewAuthority(_), ..) => {
                // A deleted Secret took its bundle along, but other replicas still serve what API servers trust.
                let trusted =
                    if bundle.is_empty() { live.map(Live::bundle).unwrap_or_default() } else { bundle.clone() };
                issue::whole(&self.names, &self.policy, &trusted, now).map(Some)
            }
            (Action::Keep | Action::NewLeaf(_) | Action::Retire, ..) => Ok(None),
        }
    }

    async fn inject(&mut self, live: &Live, bundle: &Bundle, now: OffsetDateTime) -> Result<(), Stop> {
        let outcome = self.injector.apply(live, bundle).await;
        if matches!(outcome, Ok(true)) {
            tracing::info!("Wrote caBundle");
            (self.on)(Event::Injected);
        }
        if let Some(authority) = bundle.signing()
            && (outcome.is_ok() || live.trusts(authority))
            && self.trusted.as_ref().is_none_or(|trusted| trusted.authority != *authority)
        {
            self.trusted = Some(Trusted { authority: authority.clone(), since: now });
        }
        outcome.map(|_| ()).map_err(Stop::from)
    }

    /// Serves the state's leaf if it may be served; how long to wait if not.
    fn publish(&mut self, state: State, now: OffsetDateTime) -> Duration {
        let (Some(authority), Ok(leaf)) = (state.bundle.signing(), state.leaf) else { return self.policy.poll };
        let not_after = leaf.validity().not_after;
        let candidate = Served { authority: authority.clone(), not_after };
        let trusted = self.trusted.as_ref().filter(|trusted| trusted.authority == *authority);
        let since = trusted.map(|trusted| (now - trusted.since).unsigned_abs());
        let is_trusted = trusted.is_some();
        if let Publish::In(rest) = plan::publish(self.served.as_ref(), &candidate, since, &self.policy, now) {
            return rest;
        }
        let before = self.serving.current().map(|current| current.generation);
        let generation = self.serving.publish(leaf);
        self.served = Some(candidate);
        if before != Some(generation) {
            tracing::info!(generation, %not_after, "Serving a self-managed certificate");
            (self.on)(Event::Published { generation, not_after });
        }
        if is_trusted && !std::mem::replace(&mut self.ready, true) {
            (self.on)(Event::Ready);
        }
        self.policy.poll
    }
}

// === impl Failure ===

/// Why an attempt ended.
enum Stop {
    /// Somebody else wrote first: look again.
    Conflict(Failure),
    /// Not to be helped now.
    Failed(Failure),
}

impl Failure {
    fn late(patience: Duration) -> Self {
        Self { step: Step::Wait, reason: format!("the API server took longer than {patience:?}") }
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

#[cfg(test)]
mod tests;
