//! The namespaces that a test run lives in.
//!
//! Inside them every port is free, every address may be added, mounts bother nobody, and whatever the run started ends
//! with it: the kernel kills a process namespace whole when its first process ends, however that came about.

use std::env;
use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::tools::Tools;

/// The address that the control plane, the node and whatever a test serves are reached at from pods.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The network of pods and [`HOST`].
pub(crate) const PREFIX: u8 = 16;
/// The bridge that joins them.
pub(crate) const BRIDGE: &str = "pods";

/// Carries [`Tools`] into the sandbox, where nothing can be fetched or installed any more.
const TOOLS: &str = "PODBADGE_CLUSTER_TOOLS";
/// As `unshare` names them. The process namespace ends when `unshare` is killed.
const NAMESPACES: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// What was handed over, if this process is the one inside.
///
/// # Errors
/// The variable holds something else than [`Tools`].
pub fn inside() -> Result<Option<Tools>> {
    match env::var(TOOLS) {
        Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| format!("{TOOLS} is damaged"))?)),
        Err(_) => Ok(None),
    }
}

/// Whether this machine lets us in.
pub(crate) fn is_allowed() -> bool {
    let mut command = Command::new("unshare");
    command.args(NAMESPACES).arg("true").output().is_ok_and(|output| output.status.success())
}

/// Runs this program again, with the same arguments, inside; returns its exit code.
///
/// # Errors
/// `unshare` cannot be started, or it was killed.
pub fn enter(tools: &Tools) -> Result<ExitCode> {
    let program = env::current_exe().context("own program")?;
    // The two outer processes pass death on: interrupting the outermost ends everything.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg("unshare")
        .args(NAMESPACES)
        .arg(program)
        .args(env::args_os().skip(1))
        .env(TOOLS, serde_json::to_string(tools)?)
        .status()
        .context("setpriv cannot be started")?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("the test run was killed: {status}"),
    }
}

/// Makes the namespaces usable: an own `/run` for `ip netns`, the loopback, the bridge with [`HOST`].
///
/// # Errors
/// A kernel without bridges, or not root.
pub fn set_up() -> Result<()> {
    run("mount", &["-t", "tmpfs", "none", "/run"])?;
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    run("ip", &["address", "add", &format!("{HOST}/{PREFIX}"), "dev", BRIDGE])?;
    run("ip", &["link", "set", BRIDGE, "up"])
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
