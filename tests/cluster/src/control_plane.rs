//! etcd, kube-apiserver and kube-controller-manager as processes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::sandbox::HOST;
use crate::wait;

pub(crate) mod build;
mod certificates;
pub(crate) mod process;

use certificates::Files;
pub use certificates::{Authority, Identity};
use process::Process;

const API_SERVER: &str = "kube-apiserver";
const ETCD: &str = "http://127.0.0.1:2379";
const SERVICES: &str = "10.96.0.0/16";
/// The port of the API server, on [`HOST`].
pub const PORT: u16 = 6443;

/// A running control plane; dropping it kills it.
pub struct ControlPlane {
    processes: Mutex<Vec<Process>>,
    kubeconfig: PathBuf,
    binaries: PathBuf,
    /// The cluster's own authority, PEM.
    pub authority: String,
    /// The API server's URL; also the issuer of service-account tokens.
    pub url: String,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts the programs in `binaries`, keeps their files and logs in `folder`, waits until the API server is ready
    /// and the controllers have begun to work.
    ///
    /// # Errors
    /// A program that cannot be started, that ends, or that is not ready in time, with the end of its log.
    pub async fn start(binaries: &Path, folder: &Path) -> Result<Self> {
        let url = format!("https://{HOST}:{PORT}");
        let authority = Authority::new("podbadge test cluster")?;
        let files = Files::write(folder, &authority, &[&HOST.to_string(), "localhost", "127.0.0.1"])?;
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, admin(&url, &authority)?).with_context(|| kubeconfig.display().to_string())?;

        let processes = vec![
            Process::start("etcd", binaries, folder, etcd())?,
            Process::start(API_SERVER, binaries, folder, api_server(&url, &files))?,
            Process::start("kube-controller-manager", binaries, folder, controllers(&kubeconfig, &files))?,
        ];
        let processes = Mutex::new(processes);
        let started = Self { processes, kubeconfig, binaries: binaries.to_owned(), authority: authority.pem, url };
        started.ready().await?;
        Ok(started)
    }

    /// A client of a cluster administrator.
    ///
    /// # Errors
    /// The kubeconfig cannot be read back.
    pub async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// kubectl of a cluster administrator.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.binaries.join("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        // What it learns of the API it would keep in the home folder.
        command.arg("--cache-dir").arg(self.kubeconfig.with_file_name("kubectl"));
        command
    }

    /// The file that makes an administrator of whoever has it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// One of the control plane's programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Kills the API server, as a crash does, starts it again, with further arguments, and waits until it is ready.
    ///
    /// # Errors
    /// It does not come back.
    pub async fn restart_api_server(&self, further: &[&str]) -> Result<()> {
        for process in self.processes.lock().await.iter_mut().filter(|process| process.name() == API_SERVER) {
            process.restart(further).await?;
        }
        self.ready().await
    }

    async fn ready(&self) -> Result<()> {
        let client = self.client().await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        let deadline = tokio::time::Instant::now() + wait::LONG;
        loop {
            self.processes.lock().await.iter_mut().try_for_each(Process::check)?;
            // The namespace's own account is made by a controller, through the API server: both work.
            match accounts.get("default").await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    bail!("the control plane is not ready after {} s: {error}", wait::LONG.as_secs())
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
    }
}

fn etcd() -> Vec<String> {
    flags(&[
        ("data-dir", "etcd"),
        ("listen-client-urls", ETCD),
        ("advertise-client-urls", ETCD),
        ("listen-peer-urls", "http://127.0.0.1:2380"),
        // Nothing here has to survive a power cut.
        ("unsafe-no-fsync", "true"),
    ])
}

fn api_server(url: &str, files: &Files) -> Vec<String> {
    let authority = files.authority.to_string_lossy();
    let key = files.signing_key.to_string_lossy();
    flags(&[
        ("etcd-servers", ETCD),
        ("advertise-address", &HOST.to_string()),
        ("secure-port", &PORT.to_string()),
        ("tls-cert-file", &files.serving.0.to_string_lossy()),
        ("tls-private-key-file", &files.serving.1.to_string_lossy()),
        ("client-ca-file", &authority),
        ("authorization-mode", "RBAC"),
        ("service-cluster-ip-range", SERVICES),
        ("service-account-issuer", url),
        ("service-account-jwks-uri", &format!("{url}/openid/v1/jwks")),
        ("service-account-key-file", &key),
        ("service-account-signing-key-file", &key),
        // Webhooks are reached at their Service's endpoints: there is no kube-proxy behind a cluster address.
        ("enable-aggregator-routing", "true"),
        ("allow-privileged", "true"),
    ])
}

fn controllers(kubeconfig: &Path, files: &Files) -> Vec<String> {
    flags(&[
        ("kubeconfig", &kubeconfig.to_string_lossy()),
        ("bind-address", "127.0.0.1"),
        ("cert-dir", "controller-manager"),
        ("root-ca-file", &files.authority.to_string_lossy()),
        ("service-account-private-key-file", &files.signing_key.to_string_lossy()),
        ("leader-elect", "false"),
        ("kube-api-qps", "500"),
        ("kube-api-burst", "1000"),
    ])
}

fn flags(flags: &[(&str, &str)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn admin(url: &str, authority: &Authority) -> Result<String> {
    use base64::Engine as _;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let admin = authority.client("admin", "system:masters")?;
    Ok(serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": url,
            "certificate-authority-data": base64(&authority.pem),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": base64(&admin.certificate),
            "client-key-data": base64(&admin.key),
        }}],
    })
    .to_string())
}
