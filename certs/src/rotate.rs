//! The loop that keeps everything right: read, plan, issue and store, inject, publish. Every replica runs it; one writes.

mod advice;
mod failure;

use std::{convert::Infallible, future::pending, time::Duration};

use kube::Client;
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

use self::{
    advice::Advice,
    failure::{Failure, Stop},
};
use crate::{
    bundle::Bundle,
    event::{Event, Step, Trouble},
    inject::{Configuration, Injector, Live},
    issue,
    material::{Certificate, Names, rfc3339},
    plan::{self, Action, Publish, Served, Trust, View},
    policy::Policy,
    resolver::Serving,
    skew::{Reading, Skew},
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
    /// The MutatingWebhookConfiguration whose `caBundle` is ours: get, patch. By it the API server is taken to trust us.
    pub configuration: String,
    /// The ValidatingWebhookConfiguration whose `caBundle` is ours, if there is one: get, patch. It is kept as well as can
    /// be, and the webhook works without it.
    pub advice: Option<String>,
    /// The names of the webhook's Service.
    pub names: Names,
    /// Lifetimes and intervals.
    pub policy: Policy,
}

/// A replica's part, as the election has it. Two that write at once do no harm, for every write is bound to the version
/// that was read; one that writes alone keeps the others from making what is thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// Not known yet: nothing is written.
    #[default]
    Unknown,
    /// Somebody else writes.
    Follows,
    /// This replica writes.
    Leads,
    /// No election can be held, so that everybody writes.
    Unled,
}

struct Rotation<On> {
    store: Store,
    injector: Injector,
    advice: Option<Advice>,
    names: Names,
    policy: Policy,
    serving: Serving,
    start: Instant,
    part: Part,
    served: Option<Served>,
    /// The authority of the newest leaf, if every `caBundle` that admission depends on trusts it, and since when
    /// we know.
    trusted: Option<(Certificate, Duration)>,
    /// The bundle of each of them, and since when we know.
    steady: Option<(Bundle, Duration)>,
    /// The last state without fault.
    last: Option<Whole>,
    skew: Skew,
    ready: bool,
    on: On,
}

impl SelfManaged {
    /// Keeps Secret, `caBundle` and what is `serving` right until dropped. What fails is logged once, told to `on` and
    /// tried again; the last good certificate stays served. Where the API server tells the time, that counts instead of
    /// `clock`: it is who judges certificates.
    pub async fn run(
        self,
        serving: Serving,
        clock: impl Fn() -> OffsetDateTime,
        mut part: watch::Receiver<Part>,
        on: impl FnMut(Event),
    ) -> Infallible {
        let policy = self.policy;
        let mut rotation = Rotation::new(self, serving, on);
        let mut trouble = Trouble::of_certificates();
        loop {
            rotation.plays(*part.borrow_and_update());
            let round = tokio::time::timeout(policy.patience, rotation.round(&clock)).await;
            let wait = match round.unwrap_or_else(|_| Err(Failure::late(Step::Wait, policy.patience))) {
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
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed(&mut part) => {}
            }
        }
    }
}

async fn changed(part: &mut watch::Receiver<Part>) {
    if part.changed().await.is_err() {
        pending::<()>().await;
    }
}

// === impl Rotation ===

impl<On: FnMut(Event)> Rotation<On> {
    fn new(managed: SelfManaged, serving: Serving, on: On) -> Self {
        let SelfManaged { client, namespace, secret, configuration, advice, names, policy } = managed;
        Self {
            store: Store::new(client.clone(), namespace, secret),
            advice: advice.map(|name| Advice::new(client.clone(), name, &policy)),
            injector: Injector::new(client, Configuration::Mutating(configuration)),
            names,
            policy,
            serving,
            start: Instant::now(),
            part: Part::default(),
            served: None,
            trusted: None,
            steady: None,
            last: None,
            skew: Skew::default(),
            ready: false,
            on,
        }
    }

    fn plays(&mut self, part: Part) {
        let before = std::mem::replace(&mut self.part, part);
        if (before == Part::Leads) != (part == Part::Leads) {
            (self.on)(Event::Leads(part == Part::Leads));
        }
        if part == Part::Unled {
            if before != Part::Unled {
                tracing::warn!(
                    "No lease can be had: every replica keeps certificates, and they agree by the Secret's version"
                );
            }
            (self.on)(Event::Failed(Step::Lease));
        }
    }

    /// One look at everything; how long to wait until the next.
    async fn round(&mut self, clock: &impl Fn() -> OffsetDateTime) -> Result<Duration, Failure> {
        let mut conflict = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(clock).await {
                Err(Stop::Conflict(failure)) => conflict = Some(failure),
                Err(Stop::Failed(failure)) => return Err(failure),
                Ok(wait) => return Ok(wait),
            }
        }
        conflict.map_or(Ok(self.policy.retry), Err)
    }

    async fn attempt(&mut self, clock: &impl Fn() -> OffsetDateTime) -> Result<Duration, Stop> {
        // In this order: see `Injector::apply`. Failing to read it must not keep a certificate from being served.
        let advice = async {
            match &self.advice {
                Some(advice) if self.writes() => Some(advice.read().await),
                _ => None,
            }
        };
        let (live, advice) = tokio::join!(self.injector.read(), advice);
        let stored = self.store.read().await?;
        let now = self.time(clock(), stored.date());
        let mut state = State::parse(stored.data(), &self.names, now);
        let trusted = live.as_ref().map(Live::bundle).unwrap_or_default();
        let steady = self.look(live.as_ref().ok(), &trusted);
        let followed = steady.is_some_and(|steady| steady >= self.policy.followed());
        let (bundle, adopted) = state.bundle.adopting(&trusted, followed);
        state.bundle = bundle;
        let mut failed = None;

        if self.writes() {
            let steady = steady.filter(|_| state.bundle == trusted);
            let view = View { adopted, steady, remembers: self.remembered(now).is_some() };
            let action = plan::next(&state, &view, &self.policy, now);
            match self.carry_out(action, &state, &trusted, now) {
                Ok(None) => {}
                Ok(Some(whole)) => match self.store.write(&stored, &whole.to_data()).await {
                    Ok(()) => {
                        let until = rfc3339(whole.leaf.validity().not_after);
                        tracing::info!(?action, until, "Stored certificates");
                        if matches!(action, Action::NewAuthority(_) | Action::NewLeaf(_)) {
                            (self.on)(Event::Issued);
                        }
                        state = whole.into();
                    }
                    Err(error @ store::Error::Conflict { .. }) => return Err(error.into()),
                    // Without permission to write, what there is may still be good.
                    Err(error) => failed = Some(Stop::from(error)),
                },
                Err(error) => failed = Some(Stop::from(error)),
            }
        }

        let live = match live {
            Err(error) => {
                failed = failed.or(Some(error.into()));
                None
            }
            Ok(live) => {
                let injected = match self.inject(&live, &state).await {
                    Err(Stop::Conflict(failure)) => return Err(Stop::Conflict(failure)),
                    outcome => outcome.map_err(|stop| failed.get_or_insert(stop)).is_ok_and(|injected| injected),
                };
                Some(if injected { state.bundle.clone() } else { live.shared() })
            }
        };
        // What is served may not be in the Secret's bundle but in the live one, which has to be known for that.
        let bundle = (live.is_some() && state.leaf.is_ok()).then(|| state.bundle.clone());
        let mut wait = self.publish(state, live.as_ref(), now);
        if let (Some(keeper), Some(read), Some(bundle)) = (&mut self.advice, advice, bundle) {
            let advice::Outcome { events, again } = keeper.write(read, &bundle).await;
            events.into_iter().for_each(&mut self.on);
            if again {
                wait = wait.min(self.policy.retry);
            }
        }
        failed.map_or(Ok(wait), Err)
    }

    /// Whether it is this replica that writes.
    fn writes(&self) -> bool {
        matches!(self.part, Part::Leads | Part::Unled)
    }

    /// The time of day by which certificates are judged.
    fn time(&mut self, local: OffsetDateTime, server: Option<OffsetDateTime>) -> OffsetDateTime {
        let Reading { now, changed, telling } = self.skew.read(local, server);
        if let Some(seconds) = changed {
            (self.on)(Event::Skewed(seconds));
        }
        match telling {
            Some(0) => tracing::info!("The clock agrees with the API server's again"),
            Some(seconds_behind) => {
                tracing::warn!(seconds_behind, "The clock differs from the API server's, whose time is used");
            }
            None => {}
        }
        now
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// For how long every `caBundle` that admission depends on has been `trusted`, the same.
    fn look(&mut self, live: Option<&Live>, trusted: &Bundle) -> Option<Duration> {
        let uptime = self.uptime();
        if !live.is_some_and(|live| live.is(trusted)) {
            self.steady = None;
        } else if self.steady.as_ref().is_none_or(|(steady, _)| steady != trusted) {
            self.steady = Some((trusted.clone(), uptime));
        }
        self.steady.as_ref().map(|(_, since)| uptime.saturating_sub(*since))
    }

    /// The last state, if its authority is not served yet, and its leaf could still be.
    fn remembered(&self, now: OffsetDateTime) -> Option<&Whole> {
        let last = self.last.as_ref()?;
        let is_served = self.served.as_ref().is_some_and(|served| served.authority == *last.authority.certificate());
        (!is_served && last.leaf.validity().contains(now)).then_some(last)
    }

    fn carry_out(
        &self,
        action: Action,
        state: &State,
        trusted: &Bundle,
        now: OffsetDateTime,
    ) -> Result<Option<Whole>, issue::Error> {
        let State { authority, bundle, leaf } = state;
        match (action, authority, leaf) {
            (Action::NewLeaf(_), Ok(authority), _) => {
                let leaf = issue::leaf(authority, &self.names, &self.policy, now)?;
                Ok(Some(Whole { authority: authority.clone(), bundle: bundle.clone(), leaf }))
            }
            (Action::Adopt, Ok(authority), Ok(leaf)) => {
                Ok(Some(Whole { authority: authority.clone(), bundle: bundle.clone(), leaf: leaf.clone() }))
            }
            (Action::Retire, Ok(authority), Ok(leaf)) => {
                Ok(Some(Whole { authority: authority.clone(), bundle: bundle.without_retired(), leaf: leaf.clone() }))
            }
            (Action::Restore, ..) => Ok(self.remembered(now).cloned().map(|last| {
                let bundle = last.bundle.adopting(trusted, false).0;
                Whole { bundle, ..last }
            })),
            // A deleted Secret took its bundle along, but what API servers trust was adopted.
            (Action::NewAuthority(_), ..) => issue::whole(&self.names, &self.policy, bundle, now).map(Some),
            (Action::Keep | Action::NewLeaf(_) | Action::Adopt | Action::Retire, ..) => Ok(None),
        }
    }

    /// Makes `caBundle` the state's, if this replica writes and there is something to be trusted; whether it is now.
    async fn inject(&mut self, live: &Live, state: &State) -> Result<bool, Stop> {
        if state.leaf.is_err() || !self.writes() {
            return Ok(live.is(&state.bundle));
        }
        if self.injector.apply(live, &state.bundle).await? {
            tracing::info!("Wrote caBundle");
            (self.on)(Event::Injected);
        }
        Ok(true)
    }

    /// Serves the state's leaf if it may be served; how long to wait until the next round. `live` is what every `caBundle`
    /// that admission depends on trusts, if that is known.
    fn publish(&mut self, state: State, live: Option<&Bundle>, now: OffsetDateTime) -> Duration {
        let State { authority, bundle, leaf } = state;
        let unready = if self.ready { self.policy.poll } else { self.policy.retry };
        let Ok(leaf) = leaf else { return unready };
        let Some(signer) = bundle.signer_of(&leaf, &self.names, now).cloned() else { return unready };
        let uptime = self.uptime();
        if let Some(live) = live {
            if !live.contains(&signer) {
                self.trusted = None;
            } else if self.trusted.as_ref().is_none_or(|(trusted, _)| *trusted != signer) {
                self.trusted = Some((signer.clone(), uptime));
            }
        }
        let trusted = self.trusted.as_ref().filter(|(trusted, _)| *trusted == signer);
        let candidate = trusted.map(|(_, since)| uptime.saturating_sub(*since));
        let is_served = |served: &Served| live.is_none_or(|live| live.contains(&served.authority));
        let trust = Trust { candidate, served: self.served.as_ref().is_some_and(is_served) };
        let is_ready = plan::ready(candidate, &bundle, &self.policy);
        if let Ok(authority) = authority {
            self.last = Some(Whole { authority, bundle, leaf: leaf.clone() });
        }
        if let Publish::In(rest) = plan::publish(self.served.as_ref(), &signer, trust, &self.policy, uptime) {
            return rest.min(self.policy.poll);
        }
        let not_after = leaf.validity().not_after;
        let before = self.serving.current().map(|current| current.generation);
        let generation = self.serving.publish(leaf);
        if before != Some(generation) {
            tracing::info!(generation, not_after = rfc3339(not_after), "Serving a self-managed certificate");
            self.served = Some(Served { authority: signer, ends: uptime + (not_after - now).unsigned_abs() });
            (self.on)(Event::Published { generation, not_after });
        }
        if is_ready && !std::mem::replace(&mut self.ready, true) {
            (self.on)(Event::Ready);
        }
        if self.ready { self.policy.poll } else { self.policy.retry }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
