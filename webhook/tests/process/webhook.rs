//! The webhook as a child process, with a certificate of its own.

use serde_json::Value;
use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command as AsyncCommand},
    time::timeout,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_podbadge-webhook");
const NAME: &str = "podbadge-webhook.podbadge-system.svc";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Webhook {
    child: Child,
    webhook: SocketAddr,
    admin: SocketAddr,
    ca: String,
    // Holds the files until the process has ended.
    _files: TempDir,
}

impl Webhook {
    /// Starts the process on free ports and reads from its log where it listens.
    pub(crate) async fn start(kubeconfig: &str) -> Self {
        Self::start_with(kubeconfig, &[]).await
    }

    pub(crate) async fn start_with(kubeconfig: &str, variables: &[(&str, &str)]) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let files = TempDir::new().unwrap();
        let path = |name: &str| files.path().join(name);
        let certificate = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let ca = certificate.cert.pem();
        std::fs::write(path("kubeconfig"), kubeconfig).unwrap();
        std::fs::write(path("tls.crt"), &ca).unwrap();
        std::fs::write(path("tls.key"), certificate.signing_key.serialize_pem()).unwrap();
        // As many files as container runtimes allow at first.
        let mut child = AsyncCommand::new("/bin/sh")
            .args(["-c", "ulimit -S -n 1024; exec \"$0\" \"$@\"", PROGRAM])
            .args(["--listen-address=127.0.0.1:0", "--admin-address=127.0.0.1:0", "--tls=files", "--tls-dir"])
            .arg(files.path())
            .env_clear()
            .env("KUBECONFIG", path("kubeconfig"))
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (webhook, admin) = timeout(PATIENCE, async {
            loop {
                let line = log.next_line().await.unwrap().expect("it ended before it listened");
                let Ok(event) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let address = |field: &str| event["fields"][field].as_str().or(event[field].as_str())?.parse().ok();
                if let (Some(webhook), Some(admin)) = (address("webhook"), address("admin")) {
                    break (webhook, admin);
                }
            }
        })
        .await
        .unwrap();
        // Somebody has to read on, or the process would stall on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { child, webhook, admin, ca, _files: files }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.webhook.port())
    }

    pub(crate) fn client(&self, http1: bool) -> reqwest::Client {
        let builder = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.ca.as_bytes()).unwrap()])
            .resolve(NAME, self.webhook)
            .no_proxy()
            .timeout(PATIENCE);
        if http1 { builder.http1_only() } else { builder }.build().unwrap()
    }

    /// Asks the admin port.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let response = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let response = response.get(format!("http://{}{path}", self.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The most memory that was ever resident, in MiB.
    pub(crate) fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let most =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
        most.unwrap() / 1024
    }

    pub(crate) async fn ready(&self) {
        timeout(PATIENCE, async { while self.admin("/readyz").await.0 != 200 {} }).await.expect("it was never ready");
    }

    pub(crate) fn terminate(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Waits for the end; the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it did not end").unwrap().code()
    }
}

/// Runs the program where it has to refuse; its exit code and what it said.
pub(crate) fn refused(flags: &[&str]) -> (Option<i32>, String) {
    refused_with(flags, &[])
}

pub(crate) fn refused_with(flags: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(flags).env_clear().envs(variables.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}
