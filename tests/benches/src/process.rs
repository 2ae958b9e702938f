//! A process under measurement: on one core, with what the kernel says of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core of what is measured.
const SERVER: usize = 0;
/// The core of everything else: load, stand-ins, this program.
const CLIENT: usize = 1;

/// A running process; it ends with this value.
pub(crate) struct Process {
    child: Child,
    /// The moment before it was forked.
    pub(crate) started: Instant,
}

/// Keeps this thread, and every thread and process it starts from now on, away from the measured core.
///
/// Where there is one core only, the figures hold both sides: false.
pub(crate) fn stand_aside() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) && pin(CLIENT).is_ok()
}

/// Goes ahead of whatever else runs here, as do all processes started from now on, where we may: being put aside in the
/// middle of a request costs time on the core as well, for the caches that have gone cold.
pub(crate) fn go_ahead() {
    let _ = rustix::process::setpriority_process(None, -15);
}

/// The time that the work takes on the measured core, which has nothing else to do meanwhile.
pub(crate) fn on_measured_core(work: impl FnOnce() + Send + 'static) -> Result<Duration> {
    let pinned = std::thread::spawn(move || {
        let _ = pin(SERVER);
        work();
        time_on_core(Path::new("/proc/thread-self/schedstat"))
    });
    pinned.join().map_err(|_| anyhow::anyhow!("the work panicked"))?.map(Duration::from_nanos)
}

fn time_on_core(schedstat: &Path) -> Result<u64> {
    let text = fs::read_to_string(schedstat).with_context(|| format!("cannot read {}", schedstat.display()))?;
    first_number(&text).with_context(|| format!("{} holds `{text}`", schedstat.display()))
}

fn pin(core: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a free port")?;
    listener.local_addr().context("cannot read the bound port")
}

/// KiB in MiB.
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

impl Process {
    /// Starts the command on the measured core. Its log goes to `log`, shown if it does not come up.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A child is born on its parent thread's core; a program that changes cores would count as a start of its own.
        let spawned = std::thread::spawn(move || {
            let _ = pin(SERVER);
            let started = Instant::now();
            command.spawn().map(|child| Self { child, started })
        });
        let spawned = spawned.join().map_err(|_| anyhow::anyhow!("starting {name} panicked"))?;
        spawned.with_context(|| format!("cannot start {name}"))
    }

    /// Asks `ready` again and again until it is true; gives the time since the start.
    pub(crate) fn until(&mut self, log: &Path, mut ready: impl FnMut() -> bool) -> Result<Duration> {
        const PATIENCE: Duration = Duration::from_secs(20);
        const PAUSE: Duration = Duration::from_micros(50);
        loop {
            if ready() {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", tail(log));
            }
            if self.started.elapsed() > PATIENCE {
                bail!("it is not ready after {PATIENCE:?}: {}", tail(log));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The time on a core so far, of all threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let mut nanos = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            nanos += time_on_core(&task?.path().join("schedstat"))?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident memory now, in KiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Resident memory at its highest, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(first_number).with_context(|| format!("{path} has no {field}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
