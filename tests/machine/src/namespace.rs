//! Network namespaces.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::{panic, thread};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network of its own, for as long as the process that holds it.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// With nothing but a loopback interface, which is up.
    ///
    /// # Errors
    /// This process may not make one.
    pub fn new() -> Result<Self> {
        // It ends with its input, so with this process, however that comes about.
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("unshare cannot be started")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("its output")?).read_line(&mut line)?;
        if line.is_empty() {
            bail!("unshare --net: {}", holder.wait()?);
        }
        Ok(Self { holder })
    }

    /// Does something in this network, on a thread of its own, since a thread stays where it was moved. Threads and
    /// processes that it starts are there as well.
    ///
    /// # Errors
    /// The namespace is gone, or what was done failed.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder.id())).context("the network namespace")?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                what()
            });
            inside.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
