//! `podbadge-sidecar flush`: what a person runs in the container (`kubectl exec`) after roles or groups have changed. The
//! image has no `kill`, and where the pod's processes are shared the serving one has any number.

use std::os::unix::fs::MetadataExt as _;
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

/// Why no token will be replaced.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// `/proc` is not there, or not readable.
    #[error("cannot look for the serving process in /proc")]
    Proc(#[source] io::Error),
    /// Not in this container, or not this user's.
    #[error("no sidecar serves here: run this in its container, as its user")]
    Nobody,
}

/// Tells every process that serves with this program (there is one, as there is one port) to replace its tokens.
pub(crate) fn flush() -> Result<(), Error> {
    let program = |process: &str| fs::metadata(format!("/proc/{process}/exe")).map(|file| (file.dev(), file.ino()));
    let ours = program("self").map_err(Error::Proc)?;
    let mut told = false;
    for process in fs::read_dir("/proc").map_err(Error::Proc)?.flatten() {
        let name = process.file_name();
        let Some((name, number)) = name.to_str().and_then(|name| Some((name, name.parse().ok()?))) else {
            continue;
        };
        // Whoever does not, such as a probe and this process itself, would end.
        let serves = fs::read_to_string(process.path().join("status")).is_ok_and(|status| catches_hangup(&status));
        if serves && program(name).is_ok_and(|theirs| theirs == ours) {
            told |= Pid::from_raw(number).is_some_and(|process| kill_process(process, Signal::HUP).is_ok());
        }
    }
    if told { Ok(()) } else { Err(Error::Nobody) }
}

/// From the mask of caught signals (proc_pid_status(5)), in which SIGHUP is the first.
fn catches_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_not_end() {
        for (mask, catches) in [("0000000000000001", true), ("0000000180004003", true), ("0000000180004002", false)] {
            assert_eq!(catches_hangup(&format!("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t{mask}\n")), catches);
        }
        assert!(!catches_hangup("Name:\tx\n"));
    }
}
