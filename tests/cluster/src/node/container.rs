//! A container under supervision: started, probed, restarted, ended.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::pod::Instance;
use super::process::{Inside, Process};
use super::{Stop, log_file, probe};
use crate::control_plane::process::tail;

/// What is done about a container that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Starting,
    /// It runs and its startup probe, if any, has succeeded.
    Started,
    /// It ended with this exit code and is not started again.
    Ended(i32),
}

/// The exit code of a container whose supervisor panicked.
const SUPERVISOR_LOST: i32 = 255;

pub(super) struct Supervised {
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

// === impl Restart ===

impl Restart {
    fn again(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

// === impl Supervised ===

impl Supervised {
    pub(super) fn start(instance: Arc<Instance>, container: Container, restart: Restart) -> Self {
        let (stop, stopped) = watch::channel(None);
        let (sender, progress) = watch::channel(Progress::Starting);
        let task = tokio::spawn(supervise(instance, container, restart, stopped, sender));
        Self { progress, stop, task }
    }

    /// Waits until it has started; the exit code if it ended instead.
    pub(super) async fn started(&mut self) -> Result<(), i32> {
        match self.progress.wait_for(|progress| *progress != Progress::Starting).await.as_deref() {
            Ok(Progress::Ended(code)) => Err(*code),
            Ok(_) => Ok(()),
            Err(_) => Err(SUPERVISOR_LOST),
        }
    }

    /// Waits for its end; the exit code.
    pub(super) async fn ended(&mut self) -> i32 {
        match self.progress.wait_for(|progress| matches!(progress, Progress::Ended(_))).await.as_deref() {
            Ok(Progress::Ended(code)) => *code,
            Ok(_) | Err(_) => SUPERVISOR_LOST,
        }
    }

    /// Ends it: asked first, killed when `grace` is over.
    pub(super) async fn stop(self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        // A supervisor that panicked has nothing left to stop.
        let _: Result<(), tokio::task::JoinError> = self.task.await;
    }
}

async fn supervise(
    instance: Arc<Instance>,
    container: Container,
    restart: Restart,
    mut stop: Stop,
    progress: watch::Sender<Progress>,
) {
    let report = &instance.report;
    let name = &container.name;
    let mut pause = Duration::from_secs(1);
    while stop.borrow().is_none() {
        match Process::launch(&instance, &container).await {
            Ok(started) => {
                let code = attend(&instance, &container, started, &mut stop, &progress).await;
                let message = tail(&log_file(&instance.folder, name), 20);
                report.terminated(name, code, &message).await;
                if stop.borrow().is_some() || !restart.again(code) {
                    progress.send_replace(Progress::Ended(code));
                    return;
                }
                report.restarting(name).await;
            }
            Err(error) => report.waiting(name, "CreateContainerError", &format!("{error:#}")).await,
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(Duration::from_secs(10)),
            _ = stop.changed() => {}
        }
    }
    progress.send_replace(Progress::Ended(137));
}

/// From start to end of one process; its exit code.
async fn attend(
    instance: &Instance,
    container: &Container,
    (mut process, inside): (Process, Inside),
    stop: &mut Stop,
    progress: &watch::Sender<Progress>,
) -> i32 {
    instance.report.running(&container.name).await;
    let grace = tokio::select! {
        // A process that has ended is not stopped besides.
        biased;
        code = process.ended() => return code,
        () = unhealthy(instance, container, &inside, progress) => instance.grace(),
        Ok(stop) = stop.wait_for(Option::is_some) => stop.unwrap_or_default(),
    };
    inside.terminate();
    let code = timeout(grace, process.ended()).await;
    // What the first process has left behind ends with it, as in a process namespace.
    inside.kill();
    match code {
        Ok(code) => code,
        Err(_) => process.ended().await,
    }
}

/// Returns when a startup or liveness probe has failed for good.
async fn unhealthy(instance: &Instance, container: &Container, inside: &Inside, progress: &watch::Sender<Progress>) {
    let report = &instance.report;
    let name = &container.name;
    if let Some(startup) = &container.startup_probe
        && let Err(error) = probe::passes(instance, container, inside, startup).await
    {
        eprintln!("node: {name}: startup probe: {error:#}");
        return;
    }
    progress.send_replace(Progress::Started);
    report.started(name).await;
    let readiness = async {
        match &container.readiness_probe {
            Some(readiness) => ready(instance, container, inside, readiness).await,
            None => {
                report.ready(name, true).await;
                std::future::pending().await
            }
        }
    };
    let liveness = async {
        match &container.liveness_probe {
            Some(liveness) => probe::fails(instance, container, inside, liveness).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = readiness => {}
        () = liveness => eprintln!("node: {name}: the liveness probe has failed"),
    }
}

/// Keeps the container's readiness in step with its probe.
async fn ready(instance: &Instance, container: &Container, inside: &Inside, probe: &Probe) {
    loop {
        while probe::passes(instance, container, inside, probe).await.is_err() {}
        instance.report.ready(&container.name, true).await;
        probe::fails(instance, container, inside, probe).await;
        instance.report.ready(&container.name, false).await;
    }
}
