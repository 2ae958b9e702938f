//! Pod networks: a network namespace each, joined by the bridge.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::sandbox::{BRIDGE, HOST, PREFIX};

/// The last two octets of the first pod's address.
const FIRST: u16 = 0x0101;

/// Gives out addresses from 10.77.1.0 on.
#[derive(Debug, Default)]
pub(crate) struct Network {
    given: AtomicU16,
}

/// A pod's own network.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    /// The network namespace, as `ip netns` names it.
    pub(crate) namespace: String,
    pub(crate) address: Ipv4Addr,
}

impl Network {
    pub(crate) async fn attach(&self) -> Result<Attachment> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.checked_add(FIRST).context("no pod address is left")?.to_be_bytes();
        let address = Ipv4Addr::new(10, 77, high, low);
        let namespace = format!("pod{number}");
        ip(
            &[],
            &format!(
                "netns add {namespace}\n\
             link add {namespace} type veth peer name eth0 netns {namespace}\n\
             link set {namespace} master {BRIDGE} up\n"
            ),
        )
        .await?;
        ip(
            &["-n", &namespace],
            &format!(
                "link set lo up\n\
             address add {address}/{PREFIX} dev eth0\n\
             link set eth0 up\n\
             route add default via {HOST}\n"
            ),
        )
        .await?;
        Ok(Attachment { namespace, address })
    }

    pub(crate) async fn detach(&self, attachment: &Attachment) -> Result<()> {
        ip(&[], &format!("netns delete {}\n", attachment.namespace)).await
    }
}

/// Kills every process in a pod's network with SIGKILL, as a crash does.
///
/// # Errors
/// No such pod, or nothing runs in it.
pub async fn kill(pod: Ipv4Addr) -> Result<()> {
    let [.., high, low] = pod.octets();
    let number = u16::from_be_bytes([high, low]).checked_sub(FIRST).with_context(|| format!("{pod} is no pod's"))?;
    let output = Command::new("ip").args(["netns", "pids", &format!("pod{number}")]).output().await?;
    let pids = String::from_utf8(output.stdout)?;
    let pids: Vec<&str> = pids.split_whitespace().collect();
    ensure!(!pids.is_empty(), "nothing runs at {pod}");
    let status = Command::new("kill").arg("-KILL").args(pids).status().await?;
    ensure!(status.success(), "kill: {status}");
    Ok(())
}

/// Keeps the API server's packets from a pod, and nothing else, until dropped: the pod can still be called.
#[derive(Debug)]
pub struct CutOff {
    selector: Vec<String>,
}

impl CutOff {
    /// # Errors
    /// A kernel without policy routing.
    pub async fn from_api_server(pod: Ipv4Addr) -> Result<Self> {
        let port = crate::control_plane::PORT;
        let selector: Vec<String> =
            format!("to {pod} ipproto tcp sport {port} unreachable").split(' ').map(str::to_owned).collect();
        ip(&[], &format!("rule add {}\n", selector.join(" "))).await?;
        Ok(Self { selector })
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        let status = std::process::Command::new("ip").args(["rule", "delete"]).args(&self.selector).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("ip rule delete {}: failed", self.selector.join(" "));
        }
    }
}

/// Runs a batch of commands of iproute2.
async fn ip(options: &[&str], batch: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip cannot be started")?;
    let mut input = child.stdin.take().context("ip's input")?;
    input.write_all(batch.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("ip {batch}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
