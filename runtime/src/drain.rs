//! Stopping in order: not ready, keep serving for a while, drain, deadline.
//!
//! A replica that stops at once loses requests: endpoints leave a Service some seconds after the pod was told to stop
//! (Kubernetes, "Pod termination"), and until then clients keep coming. So the process first says that it is not ready
//! and goes on serving; clients on HTTP/1.1 are already asked, answer by answer, to come back on a new connection, which
//! takes them to another replica. Only then it closes.

use std::{future::Future, io, time::Duration};

use tokio::sync::watch;

use crate::ready::Readiness;

/// Whether the process is on its way out, as every server and connection sees it.
#[derive(Clone)]
pub struct Drain(watch::Receiver<Phase>);

/// Starts the drain. Dropping it does so too: servers that nobody can stop any more must not run for ever.
#[must_use = "dropping the trigger starts the drain"]
pub struct Trigger(watch::Sender<Phase>);

/// How long each step of [`shutdown`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How long to go on serving after having said "not ready"; endpoints usually leave a Service within 5 seconds.
    pub linger: Duration,
    /// How long open requests may take after that. With `linger` it should stay below the pod's
    /// `terminationGracePeriodSeconds` (30 by default), at whose end the kubelet kills.
    pub deadline: Duration,
}

/// Why [`shutdown`] left requests behind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfinished {
    /// Requests were still open at the end of [`Steps::deadline`].
    #[error("requests were still open after {0:?} of draining")]
    Deadline(Duration),
    /// A second signal asked to stop at once.
    #[error("a second signal ended the drain")]
    Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Leaving,
    Draining,
}

/// A drain that has not started, and what starts it.
pub fn drain() -> (Trigger, Drain) {
    let (trigger, drain) = watch::channel(Phase::Serving);
    (Trigger(trigger), Drain(drain))
}

/// Waits for SIGTERM (Kubernetes, systemd) or SIGINT (Ctrl-C).
///
/// # Errors
/// If the handlers cannot be installed.
pub async fn signalled() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Stops in order: not ready, serve on for `linger`, drain, wait for `servers` until `deadline`. A second signal ends
/// it at once. To be called when the first signal came; `servers` are all servers of the process, and what they return
/// is returned.
///
/// # Errors
/// [`Unfinished`] if `servers` had to be left behind; they are dropped with their connections.
pub async fn shutdown<S: Future>(
    readiness: &Readiness,
    trigger: Trigger,
    steps: Steps,
    servers: S,
) -> Result<S::Output, Unfinished> {
    let again = async {
        if let Err(error) = signalled().await {
            tracing::debug!(%error, "Cannot listen for a second signal");
            std::future::pending::<()>().await;
        }
    };
    in_order(readiness, trigger, steps, servers, again).await
}

async fn in_order<S: Future>(
    readiness: &Readiness,
    trigger: Trigger,
    Steps { linger, deadline }: Steps,
    servers: S,
    again: impl Future<Output = ()>,
) -> Result<S::Output, Unfinished> {
    readiness.stopping();
    trigger.0.send_replace(Phase::Leaving);
    tracing::info!(?linger, ?deadline, "Stopping");
    let steps = async {
        tokio::time::sleep(linger).await;
        trigger.start();
        tokio::time::sleep(deadline).await;
    };
    tokio::select! {
        biased;
        output = servers => Ok(output),
        () = again => Err(Unfinished::Signal),
        () = steps => Err(Unfinished::Deadline(deadline)),
    }
}

// === impl Drain ===

impl Drain {
    /// Whether the drain has started: no new connections, and open ones end with their requests.
    #[must_use]
    pub fn draining(&self) -> bool {
        *self.0.borrow() == Phase::Draining
    }

    /// Whether the process is about to stop, serving still or draining: answers should ask the client to come back on
    /// another connection.
    #[must_use]
    pub fn leaving(&self) -> bool {
        *self.0.borrow() != Phase::Serving
    }

    /// Waits until the drain starts.
    pub async fn started(&self) {
        // The sender's end is the drain's start (see `Trigger`), so an error means the same.
        let _ = self.0.clone().wait_for(|phase| *phase == Phase::Draining).await;
    }
}

// === impl Trigger ===

impl Trigger {
    /// Starts the drain now.
    pub fn start(self) {
        drop(self);
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.0.send_replace(Phase::Draining);
    }
}

#[cfg(test)]
mod tests;
