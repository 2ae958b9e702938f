//! The leader's rounds: all pods that may be left behind, page by page.

use super::{
    Error, Healer,
    asked::Asked,
    cluster::{self, Page, Place},
    findings::{Finding, Findings},
    foreign::Foreigners,
    report::Reports,
};
use crate::lookup::{Entry, Facts};
use crate::trouble::Trouble;
use kube::Client;
use podbadge_webhook_core::{
    contract,
    heal::{
        Verdict,
        evictions::{Candidate, Decision, Evictions, Limits, Outcome, OwnerKey, Wait},
        judge,
        owner::{Controller, Health, Owner},
        view::Live,
    },
    identity::ServiceAccount,
    pod::Pod,
    settings::{Annotated, Settings},
};
use serde_json::value::RawValue;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How soon the next round comes while something waits to be evicted.
const SOON: Duration = Duration::from_secs(30);

/// The most owners, and the most service accounts, that are remembered within a round; the pods of one come one after the
/// other.
const OWNERS: usize = 64;

/// What the leader remembers from round to round.
pub(super) struct Rounds<'h> {
    healer: &'h Healer,
    settings: &'h Settings,
    evictions: Evictions,
    reports: Reports,
    foreigners: Foreigners,
    start: Instant,
    /// Counts the rounds, so that another namespace comes first in each.
    number: usize,
}

/// Service accounts that were read in this round, by namespace and name; `None` where one has gone.
struct Accounts<'h> {
    client: &'h Client,
    read: HashMap<String, Option<Arc<ServiceAccount>>>,
}

/// Owners that were read in this round, as text; `None` where one has gone.
struct Owners<'h> {
    client: &'h Client,
    read: HashMap<Box<str>, Option<String>>,
}

// === impl Rounds ===

impl<'h> Rounds<'h> {
    pub(super) fn new(healer: &'h Healer, settings: &'h Settings, limits: Limits) -> Self {
        Self {
            evictions: Evictions::new(limits),
            reports: Reports::new(healer.client.clone(), healer.config.holder.clone()),
            foreigners: Foreigners::new(
                healer.client.clone(),
                healer.config.webhook_configuration.clone(),
                healer.config.holder.clone(),
            ),
            healer,
            settings,
            start: Instant::now(),
            number: 0,
        }
    }

    /// Goes round after round until dropped.
    pub(super) async fn run(&mut self) {
        let interval = self.healer.config.interval;
        let mut trouble = Trouble::default();
        loop {
            let round = self.round().await;
            self.healer.metrics.round(round.is_ok());
            if let Some(count) = self.foreigners.look().await {
                self.healer.metrics.foreign(count);
            }
            let wait = match round {
                Ok(waits) => {
                    trouble.over();
                    if waits { interval.min(SOON) } else { interval }
                }
                Err(error) => {
                    trouble.met(&error.to_string(), "Pods that were left behind cannot be looked for, trying again");
                    interval.min(SOON)
                }
            };
            sleep(wait).await;
        }
    }

    /// One round; whether something waits for the next.
    async fn round(&mut self) -> Result<bool, Error> {
        let findings = self.look().await?;
        self.healer.metrics.found(findings.missed, findings.stale, findings.uncertain);
        if findings.missed + findings.stale > 0 {
            tracing::info!(missed = findings.missed, stale = findings.stale, "Pods were left behind");
        }
        let kept = findings.kept.into_turns(self.number);
        self.number = self.number.wrapping_add(1);
        self.reports.tell(&kept).await;
        if !self.healer.config.evict {
            return Ok(false);
        }
        self.evict(&kept).await
    }

    /// Looks at all pods that may be left behind. Labelled ones may be anywhere, others where a service account is annotated.
    async fn look(&self) -> Result<Findings, Error> {
        let Healer { client, config, index, .. } = self.healer;
        let mut look = Look {
            healer: self.healer,
            settings: self.settings,
            asked: Asked::read(client.clone(), &config.webhook_configuration).await?,
            accounts: Accounts { client, read: HashMap::new() },
            owners: Owners { client, read: HashMap::new() },
            findings: Findings::default(),
        };
        look.pods(None, &format!("{}=true", contract::USE)).await?;
        if self.settings.annotated == Annotated::Enabled {
            for namespace in index.annotated_namespaces() {
                look.pods(Some(&namespace), &format!("{} notin (true,false)", contract::USE)).await?;
            }
        }
        Ok(look.findings)
    }

    /// Evicts what may be evicted now; whether something waits for the next round.
    async fn evict(&mut self, kept: &[Finding]) -> Result<bool, Error> {
        let Healer { client, namespace, service, metrics, .. } = self.healer;
        let candidates: Vec<Candidate> = kept.iter().map(|finding| finding.candidate.clone()).collect();
        let wanted = self.evictions.note(self.start.elapsed(), &candidates);
        if wanted.is_empty() && candidates.is_empty() {
            metrics.waits(&HashMap::new());
            return Ok(false);
        }
        let ready = cluster::ready_replicas(client, Place { namespace, name: service }).await?;
        let health = self.health(&wanted, kept).await?;
        let decisions = self.evictions.decide(self.start.elapsed(), &candidates, &health, ready);
        let mut waiting = HashMap::new();
        let mut goes_on = false;
        for (finding, decision) in kept.iter().zip(decisions) {
            match decision {
                Decision::Evict => {
                    self.evict_one(finding).await;
                    goes_on = true;
                }
                Decision::Wait(wait) => {
                    *waiting.entry(wait).or_insert(0) += 1;
                    goes_on |= !matches!(wait, Wait::Refused | Wait::NoController | Wait::Room);
                }
            }
        }
        metrics.waits(&waiting);
        Ok(goes_on)
    }

    /// How the owners are that something may be evicted from.
    async fn health(&self, wanted: &[OwnerKey], kept: &[Finding]) -> Result<HashMap<OwnerKey, Health>, Error> {
        let mut owners = Owners { client: &self.healer.client, read: HashMap::new() };
        let mut health = HashMap::new();
        for key in wanted {
            let found = kept.iter().find(|finding| finding.candidate.owner.as_ref() == Some(key));
            let Some((finding, (kind, name))) = found.and_then(|found| Some((found, found.owner.as_ref()?))) else {
                continue;
            };
            let place = Place { namespace: &finding.candidate.namespace, name };
            if let Some(owner) = owners.read(*kind, place, &key.uid).await? {
                health.insert(key.clone(), owner.health());
            }
        }
        Ok(health)
    }

    async fn evict_one(&mut self, finding: &Finding) {
        let Finding { name, candidate, .. } = finding;
        let namespace = &candidate.namespace;
        let Some(key) = &candidate.owner else { return };
        let place = Place { namespace, name };
        let (outcome, error) = cluster::evict(&self.healer.client, place, &candidate.uid).await;
        self.evictions.done(self.start.elapsed(), key, outcome);
        self.healer.metrics.evicted(outcome);
        match (outcome, error) {
            (Outcome::Evicted, _) => {
                tracing::info!(%namespace, pod = %name, "Evicted, to be replaced with its identity");
                self.reports.evicted(finding).await;
            }
            (outcome, error) => {
                let error = error.as_ref().map(crate::lookup::told).unwrap_or_default();
                tracing::info!(%namespace, pod = %name, outcome = outcome.as_str(), error, "Not evicted");
            }
        }
    }
}

/// One look at all pods.
struct Look<'h> {
    healer: &'h Healer,
    settings: &'h Settings,
    asked: Asked,
    accounts: Accounts<'h>,
    owners: Owners<'h>,
    findings: Findings,
}

// === impl Look ===

impl Look<'_> {
    /// Looks at the pods with these labels, of one namespace or of all.
    async fn pods(&mut self, namespace: Option<&str>, labels: &str) -> Result<(), Error> {
        let mut next: Option<String> = None;
        loop {
            let text = cluster::page(&self.healer.client, namespace, labels, next.as_deref()).await?;
            let page = Page::read(&text)?;
            for item in &page.items {
                self.pod(item).await?;
            }
            next = page.next();
            if next.is_none() {
                return Ok(());
            }
        }
    }

    async fn pod(&mut self, text: &RawValue) -> Result<(), Error> {
        let Healer { namespace: own, index, .. } = self.healer;
        let settings = self.settings;
        // What cannot be read was none of ours when it was admitted.
        let (Ok(pod), Ok(live)) = (Pod::from_json(text.get().as_bytes()), Live::from_json(text.get())) else {
            return Ok(());
        };
        let namespace = live.namespace();
        // The watch may be late: an account it has not seen is judged in the next round.
        let name = pod.spec.service_account();
        let entry = index.service_account(namespace, name);
        if namespace == own || entry == Entry::Missing {
            return Ok(());
        }
        let service_account = match entry {
            Entry::Elsewhere => self.accounts.read(Place { namespace, name }).await?,
            entry => entry.known(),
        };
        if service_account.is_none() {
            return Ok(());
        }
        let facts = Facts { service_account, namespace: index.namespace(namespace), limits: index.limits(namespace) };
        let reach = self.asked.reach(namespace).await?;
        let mut verdict = judge(&pod, &live, facts.known(), reach, None, settings);
        if matches!(verdict, Verdict::Suspect)
            && let Some(reference) = live.controller()
            && let Some(kind) = Controller::of(reference)
        {
            let place = Place { namespace, name: reference.name.as_str() };
            if let Some(owner) = self.owners.read(kind, place, reference.uid.as_str()).await? {
                verdict = judge(&pod, &live, facts.known(), reach, Some(&owner), settings);
            }
        }
        self.findings.add(&live, verdict);
        Ok(())
    }
}

// === impl Accounts ===

impl Accounts<'_> {
    async fn read(&mut self, place: Place<'_>) -> Result<Option<Arc<ServiceAccount>>, Error> {
        let key = format!("{}/{}", place.namespace, place.name);
        if let Some(known) = self.read.get(&key) {
            return Ok(known.clone());
        }
        if self.read.len() == OWNERS {
            self.read.clear();
        }
        let account = cluster::account(self.client, place).await?.map(Arc::new);
        self.read.insert(key, account.clone());
        Ok(account)
    }
}

// === impl Owners ===

impl Owners<'_> {
    /// The owner with this uid, if it is still there.
    async fn read(&mut self, kind: Controller, place: Place<'_>, uid: &str) -> Result<Option<Owner<'_>>, Error> {
        if !self.read.contains_key(uid) {
            if self.read.len() == OWNERS {
                self.read.clear();
            }
            let text = cluster::owner(self.client, kind, place).await?;
            self.read.insert(uid.into(), text);
        }
        let text = self.read.get(uid).and_then(Option::as_deref);
        Ok(text.and_then(|text| Owner::from_json(text).ok()).filter(|owner| owner.uid() == uid))
    }
}
