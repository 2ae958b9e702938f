//! All that there is beside a client: a pod's network, the sidecar, an Entra ID with a vault, the cluster's issuer.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command as Plain, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podbadge_emulator::config::Config;
use podbadge_emulator::issuer::{ClusterIssuer, Object, RunningIssuer, ServiceAccountToken};
use podbadge_emulator::{Emulator, Running};
use podbadge_machine::wait::until;
use podbadge_sidecar_core::contract;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::pod::{self, CHOSEN, Environment, OWN, TENANT, Way};

const RESOURCE: &str = "https://vault.azure.net";
/// As the container runtime starts the injected init container.
const INJECTED: [&str; 3] = ["--bounding-set=-all,+net_admin", "--inh-caps=-all", "--no-new-privs"];

/// The world of one test, inside the network that it was made in.
pub struct World {
    way: Way,
    binary: PathBuf,
    folder: TempDir,
    issuer: RunningIssuer,
    /// Faults are injected here.
    pub entra: Running,
    vault: String,
    sidecar: OnceCell<Child>,
    http: reqwest::Client,
}

impl World {
    /// What the vault's secret is.
    pub const SECRET: &str = "hello from the vault";

    /// All but the sidecar; `binaries` is the folder of its program.
    ///
    /// # Errors
    /// The emulator's own, or the redirection cannot be made.
    pub async fn start(way: Way, binaries: &Path) -> Result<Self> {
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let issuer = ClusterIssuer::start(any_port, &[]).await?;
        let subject = account("orders").subject();
        let application = |client_id: &str, object_id: &str| {
            json!({
                "clientId": client_id, "tenant": TENANT, "name": "orders", "servicePrincipalId": object_id,
                "federatedCredentials": [{"name": "orders", "issuer": issuer.url(), "subject": subject}],
            })
        };
        let config = json!({
            "tenants": [{"id": TENANT}],
            "applications": [
                application(OWN, "33333333-3333-4333-8333-333333333333"),
                application(CHOSEN, "55555555-5555-4555-8555-555555555555"),
            ],
            "vaults": [{
                "name": "orders-vault", "tenant": TENANT, "readers": [OWN, CHOSEN],
                "secrets": [{"name": "greeting", "versions": [{"value": Self::SECRET}]}],
            }],
            "trustedCas": [issuer.ca_pem()],
        });
        let entra = Emulator::start(Config::from_yaml(&config.to_string())?, any_port).await?;
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("ca.pem"), entra.ca_pem())?;
        let vault = entra.vault_url("orders-vault").context("the vault")?.to_owned();
        let ca = reqwest::Certificate::from_pem(entra.ca_pem().as_bytes())?;
        let http = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build()?;
        let binary = binaries.join("podbadge-sidecar");
        let world = Self { way, binary, folder, issuer, entra, vault, sidecar: OnceCell::new(), http };
        world.become_pod_of("orders")?;
        if way == Way::Redirect {
            redirect(&world.binary)?;
        }
        Ok(world)
    }

    /// Has the pod run as a service account from now on. The identities trust `orders`.
    ///
    /// # Errors
    /// The token file cannot be written.
    pub fn become_pod_of(&self, service_account: &str) -> Result<()> {
        let token = self.issuer.mint(&account(service_account), SystemTime::now(), Duration::from_secs(3600))?;
        fs::write(self.token_file(), token).context("token file")
    }

    /// Starts the sidecar, with further variables, and waits until it serves.
    ///
    /// # Errors
    /// It does not.
    pub async fn start_sidecar(&self, more: &[(&str, &str)]) -> Result<()> {
        let mut variables = pod::sidecar(self.entra.authority_url())?;
        let token_file = self.token_file().display().to_string();
        let ca_file = self.folder.path().join("ca.pem").display().to_string();
        let own = [
            (contract::FEDERATED_TOKEN_FILE, token_file.as_str()),
            (contract::CA_FILE, ca_file.as_str()),
            // The emulator knows a credential at once, and what it refuses is refused for good.
            (contract::CREDENTIAL_SPREADING, "0"),
        ];
        variables.extend(own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&self.binary);
            command.args(arguments).env_clear().envs(&variables).kill_on_drop(true);
            command
        };
        let sidecar = command(&[]).stderr(File::create(self.log())?).spawn().context("the sidecar")?;
        if self.sidecar.set(sidecar).is_err() {
            bail!("there is a sidecar already");
        }
        let waited = command(&[contract::WAIT]).stderr(Stdio::null()).status().await?;
        if !waited.success() {
            bail!("the sidecar does not serve: {}", self.said());
        }
        Ok(())
    }

    /// What the sidecar wrote.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// All variables of a client.
    ///
    /// # Errors
    /// The webhook's golden pod is not what it was.
    pub fn application(&self) -> Result<Environment> {
        let mut variables = self.way.application(self.entra.authority_url())?;
        let home = self.folder.path().display().to_string();
        let ca = self.folder.path().join("ca.pem").display().to_string();
        // For the vault; the sidecar is asked without TLS.
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            variables.insert(name.to_owned(), ca.clone());
        }
        variables.insert("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        variables.insert("HOME".to_owned(), home);
        Ok(variables)
    }

    /// The vault's URL.
    #[must_use]
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// Reads a token and opens the vault with it; it must be of the pod's own identity, or of the chosen one.
    ///
    /// # Errors
    /// It is another one's, or of no use.
    pub async fn check(&self, token: &str, chosen: Option<&str>) -> Result<()> {
        let claims = token.split('.').nth(1).context("the token is no JWT")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        for (claim, wanted) in [("appid", chosen.unwrap_or(OWN)), ("tid", TENANT), ("aud", RESOURCE)] {
            if claims[claim] != wanted {
                bail!("the token's {claim} is {}, not {wanted}", claims[claim]);
            }
        }
        let url = format!("{}/secrets/greeting?api-version=7.5", self.vault);
        let response = self.http.get(url).bearer_auth(token).send().await?.error_for_status()?;
        let secret: Value = serde_json::from_slice(&response.bytes().await?)?;
        if secret["value"] != Self::SECRET {
            bail!("the vault answered {secret}");
        }
        Ok(())
    }

    /// Waits until the sidecar has answered somebody's request for a token with this outcome.
    ///
    /// # Errors
    /// It does not.
    pub async fn told(&self, outcome: &str) -> Result<()> {
        let label = format!("outcome=\"{outcome}\"");
        until(&format!("somebody is told: {outcome}"), async || {
            let metrics = self.get("/metrics").await?.text().await?;
            let mut lines = metrics.lines().filter(|line| line.starts_with("podbadge_sidecar_requests_total"));
            // They begin at zero.
            if lines.any(|line| line.contains(&label) && !line.ends_with(" 0")) { Ok(()) } else { bail!("not yet") }
        })
        .await
    }

    /// Waits until the sidecar hands out tokens.
    ///
    /// # Errors
    /// It does not.
    pub async fn recovered(&self) -> Result<()> {
        let path = format!("{}?api-version=2018-02-01&resource={RESOURCE}", contract::IMDS_TOKEN_PATH);
        until("a token once the authority is back", async || {
            self.get(&path).await?.error_for_status().map(drop).map_err(Into::into)
        })
        .await
    }

    /// Waits until somebody has asked for a connection where nobody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn knocked(&self) -> Result<()> {
        until("a connection is refused", async || if refused()? > 0 { Ok(()) } else { bail!("not yet") }).await
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response> {
        let url = format!("http://127.0.0.1:{}{path}", contract::DEFAULT_PORT);
        Ok(self.http.get(url).header("Metadata", "true").send().await?)
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("azure-identity-token")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("sidecar.log")
    }
}

/// Redirects the metadata address of this network, as the injected init container does.
///
/// # Errors
/// The kernel or the rights for it are missing; the message is the program's own.
pub fn redirect(sidecar: &Path) -> Result<()> {
    let output = Plain::new("setpriv")
        .args(INJECTED)
        .arg(sidecar)
        .arg(contract::REDIRECT)
        .env_clear()
        .env(contract::PORT, contract::DEFAULT_PORT.to_string())
        .output()
        .context("setpriv cannot be started")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn account(name: &str) -> ServiceAccountToken {
    ServiceAccountToken::new("shop", Object::new(name, "0b1c2d3e-0000-4000-8000-000000000001"))
}

/// How many connections that were begun in this network have failed.
fn refused() -> Result<u64> {
    // Not `/proc/net`: that is the network of the program's first thread.
    let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (names, values) = (lines.next().context("Tcp")?, lines.next().context("Tcp")?);
    let (_, value) = names.zip(values).find(|(name, _)| *name == "AttemptFails").context("AttemptFails")?;
    Ok(value.parse()?)
}
