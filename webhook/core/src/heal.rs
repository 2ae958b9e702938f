//! Pods left behind: they should have their identity and do not, or have one that is not theirs any more.
//!
//! ```text
//! pod as it runs -> judge -> Missed, Stale -> report
//!                                          -> evictions -> evict, or wait and why
//! ```
//!
//! | the pod | verdict |
//! |---|---|
//! | has ended, is being deleted, is a mirror of the kubelet's file | not ours |
//! | is in the webhook's own namespace, or one that its configuration does not select | not ours |
//! | says `"false"`, or nobody opts it in, or the operator only observes | not ours |
//! | has no label and is older than the webhook's configuration | not ours: nobody was there to ask |
//! | bears any mark of an injection, of whatever version and settings | never missed |
//! | bears none, and would be given nothing: all its containers are skipped | fine |
//! | bears none, and would be given its identity | missed |
//! | bears none, and a condition of the operator's own may keep it from the webhook | uncertain: only the API server can judge |
//! | bears none, and would be refused | missed, and refused: a replacement would not be admitted |
//! | was given another client or tenant id than it would get now | stale |
//! | has an id of its own, in its template | fine: the webhook never overrides it |
//! | was given a client id, and there is none any more | fine: nobody asked for the pod to lose it |
//! | was given no client id, and there is one now | stale |
//!
//! A pod that lived before its service account was annotated is missed, too: it is opted in and has no identity.

pub mod evictions;
pub mod fair;
pub mod owner;
mod stale;
pub mod view;

pub use stale::Change;

use crate::{
    contract,
    decision::{self, Known, OptIn, Outcome, Reason, Screen},
    denial::Denial,
    identity::Identity,
    plan,
    pod::{Env, Name, Pod, TokenSource},
    settings::Settings,
};
use owner::Owner;
use view::Live;

/// Which pods of a namespace the API server asks the webhook about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach<'a> {
    /// Those with the label.
    pub labelled: bool,
    /// Those without it.
    pub unlabelled: bool,
    /// Since when, as the API server writes times; `None` where it is not known.
    pub since: Option<&'a str>,
    /// Whether there are conditions that only the API server can judge: it may not ask about some of these.
    pub conditional: bool,
}

/// What is to be said of a pod that runs.
#[derive(Debug)]
pub enum Verdict {
    /// It is none of the webhook's business.
    NotOurs,
    /// It has what it should have.
    Fine,
    /// It has no identity, and may have none because it fails a condition that only the API server can judge.
    Uncertain,
    /// It should have its identity and has none.
    Missed {
        /// Why a replacement would be refused, if it would.
        refused: Option<Denial>,
    },
    /// It has another identity than it would be given now.
    Stale {
        /// What differs.
        change: Change,
        /// Why a replacement would be refused, if it would.
        refused: Option<Denial>,
    },
    /// It may be stale: whether an id was injected or is its author's own, only its template can tell.
    Suspect,
}

/// Judges a pod by both views of the same object. With its `owner`, whose template it came from, it is never
/// [`Verdict::Suspect`].
pub fn judge(
    pod: &Pod<'_>,
    live: &Live<'_>,
    known: Known<'_>,
    reach: Reach<'_>,
    owner: Option<&Owner<'_>>,
    settings: &Settings,
) -> Verdict {
    if live.has_ended() || live.is_being_deleted() || live.is_mirror() {
        return Verdict::NotOurs;
    }
    let Screen::LookUp(opt_in) = decision::screen(pod, settings) else {
        return Verdict::NotOurs;
    };
    let asked = match opt_in {
        OptIn::Label => reach.labelled,
        OptIn::ServiceAccount => reach.unlabelled,
    };
    // Nobody is to be told of the mistakes of a pod that has not asked for anything.
    let opted_in = match opt_in {
        OptIn::Label => true,
        OptIn::ServiceAccount => known.service_account.is_some_and(|account| account.client_id.is_some()),
    };
    if !asked || !opted_in {
        return Verdict::NotOurs;
    }
    let (lacking, refused) = match decision::decide(pod, live.namespace(), opt_in, known, settings) {
        Outcome::Allow { patch: Some(_), .. } => (true, None),
        Outcome::Allow { reason: Reason::Complete, .. } => (false, None),
        Outcome::Allow { .. } => return Verdict::NotOurs,
        Outcome::Deny { denial, .. } => (true, Some(denial)),
    };
    if lacking && !is_marked(pod, settings) {
        let before = opt_in == OptIn::ServiceAccount && live.is_older_than(reach.since);
        return match (before, reach.conditional) {
            (true, _) => Verdict::NotOurs,
            (false, true) => Verdict::Uncertain,
            (false, false) => Verdict::Missed { refused },
        };
    }
    judge_identity(pod, live, known, owner, settings, refused)
}

fn judge_identity(
    pod: &Pod<'_>,
    live: &Live<'_>,
    known: Known<'_>,
    owner: Option<&Owner<'_>>,
    settings: &Settings,
    refused: Option<Denial>,
) -> Verdict {
    let Some(account) = known.service_account else {
        return Verdict::Fine;
    };
    // Where nobody can tell who the pod is to be there is nothing to compare with, and the next pod's author is told.
    let Ok(identity) = Identity::resolve(pod, account, known.namespace, settings) else {
        return Verdict::Fine;
    };
    match stale::compare(live, &identity, owner) {
        stale::Comparison::Same => Verdict::Fine,
        stale::Comparison::Unknown => Verdict::Suspect,
        stale::Comparison::Changed(change) => Verdict::Stale { change, refused },
    }
}

/// Whether the pod bears a mark of an injection, by any version, with any settings, or by its author's own hand.
fn is_marked(pod: &Pod<'_>, settings: &Settings) -> bool {
    // Azure Workload Identity has had other names for the volume.
    let token = |token: &TokenSource<'_>| {
        token.audience.as_ref().is_some_and(|audience| audience.as_str() == settings.audience)
    };
    let projected = pod.spec.volumes.iter().flatten().flat_map(|volume| &volume.projected);
    let mut sources = projected.flat_map(|projected| &projected.sources);
    plan::has_identity(pod)
        || sources.any(|source| source.service_account_token.as_ref().is_some_and(token))
        || pod.spec.all_containers().any(|container| {
            let told = |env: &Env<'_>| env.has(Name::FederatedTokenFile);
            container.name.as_str() == contract::AZWI_PROXY || container.env.as_ref().is_some_and(told)
        })
}
