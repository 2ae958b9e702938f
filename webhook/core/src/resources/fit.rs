//! What is wanted, made to fit what is demanded.

use super::{Amounts, Limits, Quantity, Resources, limits::Bounds};
use crate::pod::{Container, Pod};
use serde::Deserialize;

/// Kubernetes counts processors in thousandths and everything else in whole ones.
const MILLI: Quantity = Quantity::milli(1);
const ONE: Quantity = Quantity::whole(1);

/// Enough processor for the sidecar to start and to exchange tokens without being felt. A ratio, or a Guaranteed pod, would
/// otherwise set aside in every pod what the limit only allows for moments.
const ENOUGH_CPU: Quantity = Quantity::milli(50);

/// Enough memory for it, where a limit is demanded and the operator named none.
const ENOUGH_MEMORY: Quantity = Quantity::mebi(32);

/// Enough disk for its logs, which the kubelet turns over at 10 MiB, five times.
const ENOUGH_STORAGE: Quantity = Quantity::mebi(64);

/// A container's or a pod's `resources`, as far as the class of the pod depends on it. It is read apart from the pod, because
/// nearly all pods get no container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    requests: Option<Compute>,
    limits: Option<Compute>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Compute {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
}

/// One resource: how finely it is counted, and how far its limit may be lowered for the sake of a ratio.
struct Kind {
    unit: Quantity,
    enough: Quantity,
    /// Whether too little of it only slows the program down.
    compressible: bool,
}

/// The resources of a container beside others that all have limits equal to their requests, or not.
pub(super) fn fit(wanted: &Resources, limits: &Limits, guaranteed: bool) -> Resources {
    let cpu = Kind { unit: MILLI, enough: ENOUGH_CPU, compressible: true };
    let memory = Kind { unit: ONE, enough: ENOUGH_MEMORY, compressible: false };
    let storage = Kind { unit: ONE, enough: ENOUGH_STORAGE, compressible: false };
    let Resources { requests, limits: most } = wanted;
    let cpu = cpu.fit(requests.cpu, most.cpu, limits.cpu, guaranteed);
    let memory = memory.fit(requests.memory, most.memory, limits.memory, guaranteed);
    // Disk does not decide about the class.
    let storage = storage.fit(requests.ephemeral_storage, most.ephemeral_storage, limits.ephemeral_storage, false);
    Resources {
        requests: Amounts { cpu: cpu.0, memory: memory.0, ephemeral_storage: storage.0 },
        limits: Amounts { cpu: cpu.1, memory: memory.1, ephemeral_storage: storage.1 },
    }
}

/// Whether the pod has resources of its own, which its containers share.
pub(super) fn has_pod_resources(pod: &Pod<'_>) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Whole {
        requests: Option<serde_json::Map<String, serde_json::Value>>,
        limits: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let Some(resources) = pod.spec.resources else {
        return false;
    };
    // What cannot be read is there for a reason, and the API server's to judge.
    let Ok(Whole { requests, limits }) = serde_json::from_str(resources.get()) else {
        return true;
    };
    [requests, limits].into_iter().flatten().any(|amounts| !amounts.is_empty())
}

/// Whether every container has limits equal to its requests, for processor and memory both
/// (<https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/#guaranteed>).
pub(super) fn is_guaranteed(pod: &Pod<'_>) -> bool {
    pod.spec.all_containers().all(is_exact)
}

fn is_exact(container: &Container<'_>) -> bool {
    let Some(Ok(View { requests, limits: Some(limits) })) =
        container.resources.map(|resources| serde_json::from_str(resources.get()))
    else {
        return false;
    };
    // A limit alone is the request, too; the API server has already written it where it sends the pod.
    let exact = |limit: Option<Quantity>, request: Option<Quantity>| {
        limit.is_some_and(|limit| !limit.is_zero() && request.is_none_or(|request| request == limit))
    };
    let requests = requests.unwrap_or_default();
    exact(limits.cpu, requests.cpu) && exact(limits.memory, requests.memory)
}

// === impl Kind ===

impl Kind {
    /// Request and limit of one resource.
    fn fit(
        &self,
        request: Option<Quantity>,
        limit: Option<Quantity>,
        bounds: Bounds,
        guaranteed: bool,
    ) -> (Option<Quantity>, Option<Quantity>) {
        if bounds == Bounds::NONE && !guaranteed {
            return (request, limit);
        }
        let tied = guaranteed || bounds.ratio.is_some();
        // As the API server fills in what is not named: a limit alone is the request, too.
        let request = request.or(limit).or(bounds.request);
        let limit = limit.or(bounds.limit);
        let must = |demanded: bool, amount: Option<Quantity>| amount.filter(|_| demanded);
        let limit = limit.or(must(tied || bounds.max.is_some(), request.max(Some(self.enough))));
        let request = request.or(must(tied, limit)).or(bounds.min);
        let [request, limit] = [request, limit].map(|amount| amount.map(|amount| amount.rounded_up(self.unit)));
        let (request, limit) = bounds.clamp(self.unit, request, limit);
        match (request, limit) {
            (Some(request), Some(limit)) if tied => {
                let ratio = if guaranteed { ONE } else { bounds.ratio.unwrap_or(ONE).max(ONE) };
                let (request, limit) = self.tie(request, limit, ratio);
                (Some(request), Some(limit))
            }
            other => other,
        }
    }

    /// Brings a limit to at most `ratio` times its request: by less limit where that only makes the program slower, and for
    /// the rest by more request. Neither leaves the range from the one to the other.
    fn tie(&self, request: Quantity, limit: Quantity, ratio: Quantity) -> (Quantity, Quantity) {
        let floor = if self.compressible { self.enough.min(limit) } else { limit };
        let limit = request.times(ratio, self.unit).clamp(floor, limit);
        (request.max(limit.divided_by(ratio, self.unit)), limit)
    }
}

// === impl Bounds ===

impl Bounds {
    /// Both amounts within what is allowed. Where the least is above the most no container is admitted, whatever it says.
    fn clamp(
        &self,
        unit: Quantity,
        request: Option<Quantity>,
        limit: Option<Quantity>,
    ) -> (Option<Quantity>, Option<Quantity>) {
        let within = |amount: Quantity| {
            let raised = self.min.map_or(amount, |min| amount.max(min.rounded_up(unit)));
            self.max.map_or(raised, |max| raised.min(max))
        };
        let limit = limit.map(within);
        let request = request.map(within).map(|request| limit.map_or(request, |limit| request.min(limit)));
        (request, limit)
    }
}
