//! Probes: what decides that a container has started, is ready, is alive.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::{interval, sleep, timeout};

use super::pod::Instance;
use super::process::Inside;

/// Runs a probe in its rhythm until it has succeeded often enough.
///
/// # Errors
/// It failed as often as it may; what it said last.
pub(super) async fn passes(instance: &Instance, container: &Container, inside: &Inside, probe: &Probe) -> Result<()> {
    let needed = probe.success_threshold.unwrap_or(1);
    let allowed = probe.failure_threshold.unwrap_or(3);
    let (mut passed, mut failed) = (0, 0);
    sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let mut ticks = interval(seconds(probe.period_seconds, 10));
    loop {
        ticks.tick().await;
        match once(instance, container, inside, probe).await {
            Ok(()) => (passed, failed) = (passed + 1, 0),
            Err(error) if failed + 1 >= allowed => return Err(error),
            Err(_) => (passed, failed) = (0, failed + 1),
        }
        if passed >= needed {
            return Ok(());
        }
    }
}

/// Runs a probe in its rhythm until it has failed as often as it may.
pub(super) async fn fails(instance: &Instance, container: &Container, inside: &Inside, probe: &Probe) {
    while passes(instance, container, inside, probe).await.is_ok() {
        sleep(seconds(probe.period_seconds, 10)).await;
    }
}

async fn once(instance: &Instance, container: &Container, inside: &Inside, probe: &Probe) -> Result<()> {
    let limit = seconds(probe.timeout_seconds, 1);
    timeout(limit, attempt(instance, container, inside, probe)).await.context("timed out")?
}

async fn attempt(instance: &Instance, container: &Container, inside: &Inside, probe: &Probe) -> Result<()> {
    if let Some(exec) = &probe.exec {
        let command = exec.command.as_deref().unwrap_or_default();
        let output = inside.exec(command).output().await?;
        if !output.status.success() {
            bail!(
                "{}: {}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    } else if let Some(get) = &probe.http_get {
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = get.host.clone().unwrap_or_else(|| instance.address().to_string());
        let url = format!("{scheme}://{host}:{}{}", port(container, &get.port)?, get.path.as_deref().unwrap_or("/"));
        let status = instance.shared.http.get(&url).send().await?.status();
        if status.is_client_error() || status.is_server_error() {
            bail!("{url}: {status}");
        }
    } else if let Some(tcp) = &probe.tcp_socket {
        TcpStream::connect((instance.address(), port(container, &tcp.port)?)).await?;
    } else {
        bail!("this node knows no such probe");
    }
    Ok(())
}

fn port(container: &Container, port: &IntOrString) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_deref() == Some(name));
            named.with_context(|| format!("container {}: no port {name}", container.name))?.container_port
        }
    };
    Ok(u16::try_from(number)?)
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.map_or(default, |value| u64::from(value.unsigned_abs())))
}
