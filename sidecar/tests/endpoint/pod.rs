//! A pod: a token file, variables, and the sidecar in this process or one of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podbadge_sidecar::app::App;
use podbadge_sidecar::config::Config;
use podbadge_sidecar_core::contract::METADATA_ADDRESS;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::authority::Authority;
use crate::leaks::{self, NoLeaks};

pub(crate) const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const TENANT: &str = "22222222-2222-3333-4444-555555555555";
pub(crate) const IDENTITY_HEADER: &str = "6a9c1f00-0000-4000-8000-000000000000";
pub(crate) const IMDS: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net";
pub(crate) const APP_SERVICE: &str = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";

/// What the pod of a service account has been given.
pub(crate) struct Pod {
    folder: Arc<TempDir>,
    pub(crate) vars: BTreeMap<&'static str, String>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A sidecar that serves in this process.
pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    _leaks: NoLeaks,
    /// Kept for as long as it is read.
    _folder: Arc<TempDir>,
}

impl Pod {
    pub(crate) fn new(authority: &Authority) -> Self {
        let mut pod = Self::asking(&format!("https://{}/", authority.address));
        let ca = pod.folder.path().join("ca.crt");
        std::fs::write(&ca, &authority.ca).unwrap();
        pod.set("PODBADGE_CA_FILE", ca.to_str().unwrap());
        pod
    }

    pub(crate) fn asking(authority: &str) -> Self {
        let mut pod = Self { folder: Arc::new(tempfile::tempdir().unwrap()), vars: BTreeMap::new() };
        pod.write_token(&assertion("one"));
        let token_file = pod.token_file();
        for (name, value) in [
            ("AZURE_CLIENT_ID", CLIENT_ID),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap()),
            ("AZURE_AUTHORITY_HOST", authority),
            ("PODBADGE_IDENTITY_HEADER", IDENTITY_HEADER),
            // As if it had run for a while.
            ("PODBADGE_CREDENTIAL_SPREADING_SECONDS", "0"),
        ] {
            pod.set(name, value);
        }
        pod
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.vars.insert(name, value.to_owned());
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.path().join("azure-identity-token")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write_token(&self, text: &str) {
        std::fs::write(self.token_file(), text).unwrap();
    }

    /// Starts the sidecar on a port of the system's choice.
    pub(crate) fn start(&self) -> Sidecar {
        self.start_beside(METADATA_ADDRESS)
    }

    /// The same, with a real metadata service at another address.
    pub(crate) fn start_beside(&self, metadata_service: SocketAddrV4) -> Sidecar {
        leaks::none();
        let config = Config::from_vars(&|name| self.vars.get(name).map(OsString::from)).unwrap();
        let app = App::bind(config.on_any_port().with_metadata_service(metadata_service)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (address, metrics) = (app.local_addr(), app.metrics_addr());
        let stopped = async {
            let _ = stopped.await;
            Ok(())
        };
        Sidecar {
            address,
            metrics,
            stop,
            running: tokio::spawn(app.run(stopped)),
            _leaks: NoLeaks,
            _folder: Arc::clone(&self.folder),
        }
    }
}

impl Sidecar {
    pub(crate) async fn imds(&self) -> Answer {
        ask(self.address, &format!("GET {IMDS}"), "Metadata: true\r\n").await
    }

    pub(crate) async fn app_service(&self) -> Answer {
        let header = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
        ask(self.address, &format!("GET {APP_SERVICE}"), &header).await
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(()).unwrap();
        self.running.await.unwrap()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json; charset=utf-8", "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A token as the kubelet writes it, told apart by its id, and good for a lifetime.
pub(crate) fn assertion(id: &str) -> String {
    assertion_until(id, 4_000_000_000)
}

pub(crate) fn assertion_until(id: &str, exp: u64) -> String {
    let claims = serde_json::json!({
        "iss": "https://cluster.example/", "sub": "system:serviceaccount:shop:cart",
        "aud": ["api://AzureADTokenExchange"], "jti": id, "exp": exp,
    });
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"k"}"#), part(&claims.to_string()), part("signature"))
}

/// One request to the address that every client knows.
pub(crate) async fn ask(address: SocketAddr, line: &str, headers: &str) -> Answer {
    send(address, line, &format!("Host: 169.254.169.254\r\n{headers}")).await
}

/// One request, exactly as written, on a connection of its own.
pub(crate) async fn send(address: SocketAddr, line: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    leaks::none();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}: {answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

/// The text for a person, and that it is fit to be read.
pub(crate) fn text(answer: &Answer) -> String {
    let json = answer.json();
    let text = json.get("error_description").or(json.get("message")).unwrap().as_str().unwrap().to_owned();
    assert!(!text.is_empty() && !text.contains(['\n', '\r']) && !text.contains("eyJ"), "{text:?}");
    text
}
