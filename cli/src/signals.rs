//! Being told to stop.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process in order, caught from the moment it exists: whoever reads that everything is up may
/// send one at once.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Catches SIGTERM and SIGINT.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub(crate) fn catch() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: None })
    }

    /// As well as [`Self::catch`] the end of the terminal, SIGHUP.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub(crate) fn catch_hangup_too() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::catch()? })
    }

    /// Waits for one of them.
    pub(crate) async fn one(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hangup => {}
        }
    }
}
