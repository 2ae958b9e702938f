//! The pod's status, told to the API server after every change.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::wait::until;

/// How a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

pub(super) struct Report {
    api: Api<Pod>,
    name: String,
    uid: Option<String>,
    host: Ipv4Addr,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    address: Option<Ipv4Addr>,
    initialized: bool,
    started: Timestamp,
    /// In the order of the pod.
    inits: Vec<String>,
    apps: Vec<String>,
    containers: BTreeMap<String, Entry>,
}

struct Entry {
    image: String,
    state: Value,
    last: Value,
    started: bool,
    ready: bool,
    restarts: u32,
}

// === impl Report ===

impl Report {
    pub(super) fn new(api: Api<Pod>, pod: &Pod, host: Ipv4Addr) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let inits = spec.init_containers.unwrap_or_default();
        let names = |containers: &[Container]| containers.iter().map(|container| container.name.clone()).collect();
        let state = State {
            phase: Phase::Pending,
            address: None,
            initialized: inits.is_empty(),
            started: Timestamp::now(),
            inits: names(&inits),
            apps: names(&spec.containers),
            containers: inits.iter().chain(&spec.containers).map(entry).collect(),
        };
        Self { api, name: pod.name_any(), uid: pod.uid(), host, state: Mutex::new(state) }
    }

    pub(super) async fn address(&self, address: Ipv4Addr) {
        self.change(|state| state.address = Some(address)).await;
    }

    pub(super) async fn initialized(&self) {
        self.change(|state| (state.initialized, state.phase) = (true, Phase::Running)).await;
    }

    pub(super) async fn phase(&self, phase: Phase) {
        self.change(|state| state.phase = phase).await;
    }

    pub(super) async fn waiting(&self, container: &str, reason: &str, message: &str) {
        self.entry(container, |entry| entry.state = json!({"waiting": {"reason": reason, "message": message}})).await;
    }

    pub(super) async fn running(&self, container: &str) {
        self.entry(container, |entry| entry.state = json!({"running": {"startedAt": Timestamp::now()}})).await;
    }

    pub(super) async fn started(&self, container: &str) {
        self.entry(container, |entry| entry.started = true).await;
    }

    pub(super) async fn ready(&self, container: &str, ready: bool) {
        self.entry(container, |entry| entry.ready = ready).await;
    }

    pub(super) async fn terminated(&self, container: &str, code: i32, message: &str) {
        let reason = if code == 0 { "Completed" } else { "Error" };
        let state = json!({"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": Timestamp::now()}});
        self.entry(container, |entry| {
            entry.state = state;
            entry.started = false;
            entry.ready = false;
        })
        .await;
    }

    pub(super) async fn restarting(&self, container: &str) {
        self.entry(container, |entry| {
            entry.restarts += 1;
            entry.last = std::mem::replace(&mut entry.state, json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        })
        .await;
    }

    async fn entry(&self, container: &str, change: impl FnOnce(&mut Entry)) {
        self.change(|state| {
            if let Some(entry) = state.containers.get_mut(container) {
                change(entry);
            }
        })
        .await;
    }

    async fn change(&self, change: impl FnOnce(&mut State)) {
        // Held while the status is sent, so that an older one never goes over a newer one.
        let mut state = self.state.lock().await;
        change(&mut state);
        let patch = json!({"metadata": {"uid": self.uid}, "status": state.status(self.host)});
        // The API server may be away for a moment.
        let told = until("the status is told", async || {
            match self.api.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // Gone, or another pod of that name.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
                told => Ok(told.map(drop)?),
            }
        });
        if let Err(error) = told.await {
            eprintln!("node: status of {}: {error:#}", self.name);
        }
    }
}

fn entry(container: &Container) -> (String, Entry) {
    let entry = Entry {
        image: container.image.clone().unwrap_or_default(),
        state: json!({"waiting": {"reason": "PodInitializing"}}),
        last: json!({}),
        started: false,
        ready: false,
        restarts: 0,
    };
    (container.name.clone(), entry)
}

// === impl State ===

impl State {
    fn status(&self, host: Ipv4Addr) -> Value {
        let ready = self.phase == Phase::Running
            && self.apps.iter().all(|name| self.containers.get(name).is_some_and(|entry| entry.ready));
        let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
        json!({
            "phase": format!("{:?}", self.phase),
            "startTime": self.started,
            "hostIP": host,
            "podIP": self.address,
            "podIPs": self.address.map(|address| json!([{"ip": address}])),
            "conditions": [
                condition("PodScheduled", true),
                condition("Initialized", self.initialized),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "initContainerStatuses": self.statuses(&self.inits),
            "containerStatuses": self.statuses(&self.apps),
        })
    }

    fn statuses(&self, names: &[String]) -> Vec<Value> {
        let status = |name: &String| {
            let Entry { image, state, last, started, ready, restarts } = self.containers.get(name)?;
            Some(json!({
                "name": name, "image": image, "imageID": image, "state": state, "lastState": last,
                "started": started, "ready": ready, "restartCount": restarts,
            }))
        };
        names.iter().filter_map(status).collect()
    }
}
