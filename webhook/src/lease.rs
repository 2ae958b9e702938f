//! A Lease: read, decided about by `core::election`, and written with the version that was read.

use crate::trouble::Trouble;
use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use podbadge_webhook_core::election::{Election, Record, Step};
use std::{future::Future, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// How long a request may take: shorter than the holder's deadline, so that there is a second try.
const PATIENCE: Duration = Duration::from_secs(4);

/// No Lease is believed to be good for longer: whatever somebody has written into it, a replica that is gone is replaced.
const LONGEST: Duration = Duration::from_secs(60);

/// A Lease that makes one replica the leader.
pub(crate) struct Lease {
    api: Api<Object>,
    name: String,
    start: Instant,
}

/// Where this replica stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Another one leads, or will.
    Follows,
    /// This one leads, until then without another renewal.
    Leads(Instant),
    /// It does not lead, and the lease cannot be read or written.
    Fails,
}

// === impl Standing ===

impl Standing {
    /// Until when this replica leads.
    pub(crate) const fn leads_until(self) -> Option<Instant> {
        match self {
            Self::Leads(until) => Some(until),
            Self::Unknown | Self::Follows | Self::Fails => None,
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(client: Client, namespace: &str, name: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, start: Instant::now() }
    }

    /// Gets and keeps the lease, tells where this replica `stands`, and gives it back at the `end`.
    pub(crate) async fn keep(
        &self,
        mut election: Election,
        stands: &watch::Sender<Standing>,
        end: impl Future<Output = ()>,
    ) {
        let mut trouble = Trouble::default();
        let keeping = async {
            loop {
                let failure = match timeout(PATIENCE, self.turn(&mut election)).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("{}: {}", self.name, crate::lookup::told(&error))),
                    Err(_) => Some(format!("{}: no answer in time", self.name)),
                };
                match &failure {
                    None => trouble.over(),
                    Some(reason) => trouble.met(reason, "The lease cannot be kept, trying again"),
                }
                let until = election.leads_until().map(|until| self.start + until);
                let standing = match until.filter(|until| *until > Instant::now()) {
                    Some(until) => Standing::Leads(until),
                    None if failure.is_some() => Standing::Fails,
                    None => Standing::Follows,
                };
                stands.send_if_modified(|current| std::mem::replace(current, standing) != standing);
                sleep(election.terms().retry).await;
            }
        };
        tokio::select! {
            () = keeping => {}
            () = end => {}
        }
        let led = election.leads(self.start.elapsed());
        stands.send_replace(Standing::Follows);
        if led && !matches!(timeout(PATIENCE, self.release(&election)).await, Ok(Ok(()))) {
            tracing::warn!("The lease was not given back; it runs out by itself");
        }
    }

    /// One look at the lease.
    async fn turn(&self, election: &mut Election) -> kube::Result<()> {
        let live = self.api.get_opt(&self.name).await?;
        let now = self.start.elapsed();
        let step = election.next(now, live.as_ref().map(record).as_ref());
        let written = match (step, live) {
            (Step::Follow, _) => {
                election.lost();
                return Ok(());
            }
            (Step::Create, _) | (_, None) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = Object { metadata, spec: Some(spec(election, None)) };
                self.api.create(&PostParams::default(), &lease).await
            }
            (Step::Take, Some(lease)) => self.write(lease, |old| spec(election, Some(old))).await,
            (Step::Renew, Some(lease)) => {
                let renew = |old| LeaseSpec { renew_time: Some(MicroTime(Timestamp::now())), ..old };
                self.write(lease, renew).await
            }
        };
        match written {
            Ok(_) => {
                election.won(now);
                Ok(())
            }
            // Somebody was faster: the next look tells who.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                election.lost();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Writes the lease in place of the version that was read.
    async fn write(&self, mut lease: Object, change: impl FnOnce(LeaseSpec) -> LeaseSpec) -> kube::Result<Object> {
        lease.spec = Some(change(lease.spec.unwrap_or_default()));
        self.api.replace(&self.name, &PostParams::default(), &lease).await
    }

    /// Gives the lease back, so that another replica need not wait until it has run out.
    async fn release(&self, election: &Election) -> kube::Result<()> {
        let lease = self.api.get(&self.name).await?;
        if record(&lease).holder.as_deref() == Some(election.me()) {
            let empty =
                |old| LeaseSpec { holder_identity: None, lease_duration_seconds: Some(1), renew_time: None, ..old };
            self.write(lease, empty).await?;
        }
        Ok(())
    }
}

fn record(lease: &Object) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds).min(LONGEST),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// The lease as ours, new or taken from another holder.
fn spec(election: &Election, old: Option<LeaseSpec>) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    LeaseSpec {
        holder_identity: Some(election.me().to_owned()),
        lease_duration_seconds: i32::try_from(election.terms().duration.as_secs()).ok(),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_transitions: old.map(|old| old.lease_transitions.unwrap_or(0).saturating_add(1)),
        ..LeaseSpec::default()
    }
}
