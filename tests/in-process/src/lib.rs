//! The parts together, in one process, over real sockets: a cluster's issuer, an Entra ID with a vault, and sidecars.
//!
//! ```text
//! issuer --token--> volume --> sidecar (as the webhook's variables set it up) --> Entra ID --keys--> issuer
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge::local::kubelet::{self, Environment};
use podbadge_emulator::{
    Emulator, Running,
    config::Config,
    issuer::{Claims, ClusterIssuer, Object, RunningIssuer, ServiceAccountToken},
};
use podbadge_sidecar::{app::App, config::Config as SidecarConfig};
use podbadge_sidecar_core::contract;
use serde_json::Value;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// The tenant of [`CLIENT_ID`].
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// The application that trusts `system:serviceaccount:shop:orders`.
pub const CLIENT_ID: &str = "22222222-2222-4222-8222-222222222222";
/// What the vault takes tokens for.
pub const RESOURCE: &str = "https://vault.azure.net";
/// What only the pod knows.
pub const HEADER: &str = "7f3f9c1e-0000-4000-8000-00000000f00d";

/// Everything around a sidecar.
pub struct World {
    /// The cluster's issuer.
    pub issuer: RunningIssuer,
    /// Entra ID and the vault.
    pub entra: Running,
    folder: TempDir,
}

/// A sidecar that serves.
pub struct Sidecar {
    /// Where.
    pub address: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What a sidecar answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Seconds, where it says so.
    pub retry_after: Option<u64>,
    /// The body; `null` where it is not JSON.
    pub body: Value,
}

/// The two forms in which a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As of the instance metadata service.
    Imds,
    /// As of App Service.
    AppService,
}

impl World {
    /// Starts issuer and Entra ID; `adapt` changes the directory before.
    pub async fn start(adapt: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        let issuer = ClusterIssuer::start(any_port, &[]).await.unwrap();
        let directory = format!(
            "tenants: [{{ id: {TENANT} }}]\n\
             applications:\n\
             - clientId: {CLIENT_ID}\n  \
               tenant: {TENANT}\n  \
               name: orders\n  \
               servicePrincipalId: 33333333-3333-4333-8333-333333333333\n  \
               federatedCredentials:\n  \
               - {{ name: orders, issuer: '{}', subject: 'system:serviceaccount:shop:orders' }}\n\
             vaults:\n\
             - name: shop\n  \
               tenant: {TENANT}\n  \
               readers: [{CLIENT_ID}]\n  \
               secrets: [{{ name: greeting, versions: [{{ value: hello }}] }}]\n",
            issuer.url()
        );
        let mut config = Config::from_yaml(&directory).unwrap();
        config.trusted_cas.push(issuer.ca_pem().parse().unwrap());
        adapt(&mut config);
        let entra = Emulator::start(config, any_port).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), entra.ca_pem()).unwrap();
        Self { issuer, entra, folder }
    }

    /// The mount path of the token volume.
    #[must_use]
    pub fn mount_path(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// The file that the sidecar trusts Entra ID by.
    #[must_use]
    pub fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// The claims that the cluster puts into the token of a pod of `shop/orders`.
    #[must_use]
    pub fn claims(&self) -> Claims {
        let account = Object::new("orders", "0b1c2d3e-0000-4000-8000-000000000001");
        let mut token = ServiceAccountToken::new("shop", account);
        token.pod = Some(Object::new("orders-0", "0b1c2d3e-0000-4000-8000-000000000002"));
        let id = "0b1c2d3e-0000-4000-8000-000000000003".parse().unwrap();
        token.claims(self.issuer.url(), SystemTime::now(), Duration::from_secs(3600), id)
    }

    /// Writes a token into the volume.
    pub fn write(&self, token: &str) {
        kubelet::write(&self.mount_path(), &[("azure-identity-token", token)]).unwrap();
    }

    /// Signs claims and writes them into the volume.
    pub fn project(&self, claims: &Claims) {
        self.write(&self.issuer.sign(claims).unwrap());
    }

    /// The variables of a sidecar, as the webhook injects them.
    #[must_use]
    pub fn variables(&self) -> Environment {
        [
            (contract::CLIENT_ID, CLIENT_ID.to_owned()),
            (contract::TENANT_ID, TENANT.to_owned()),
            (contract::AUTHORITY_HOST, self.entra.authority_url().to_owned()),
            (contract::FEDERATED_TOKEN_FILE, self.mount_path().join("azure-identity-token").display().to_string()),
            (contract::EXPECTED_IDENTITY_HEADER, HEADER.to_owned()),
            (contract::CA_FILE, self.ca_file()),
            // The emulator knows a credential at once, and what it refuses is refused for good.
            (contract::CREDENTIAL_SPREADING, "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// A client that trusts the vault.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.entra.ca_pem().as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap()
    }
}

impl Sidecar {
    /// Starts a sidecar with these variables and no others, on a free port.
    ///
    /// # Panics
    ///
    /// It does not accept them.
    #[must_use]
    pub fn start(variables: &Environment) -> Self {
        let read = |name: &str| variables.get(name).map(Into::into);
        let config = SidecarConfig::from_vars(&read).unwrap().on_any_port();
        let app = App::bind(config).unwrap();
        let address = app.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
                Ok(())
            };
            app.run(stopped).await.unwrap();
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, client, stop: Some(stop), task }
    }

    /// Asks with a GET.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            retry_after: response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap()),
            body: serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default(),
        }
    }

    /// Asks for a token as SDKs do.
    pub async fn token(&self, form: Form, resource: &str) -> Answer {
        let query = format!("resource={resource}");
        match form {
            Form::Imds => {
                let path = format!("{}?api-version=2018-02-01&{query}", contract::IMDS_TOKEN_PATH);
                self.get(&path, &[("Metadata", "true")]).await
            }
            Form::AppService => {
                let path = format!("{}?api-version=2019-08-01&{query}", contract::APP_SERVICE_TOKEN_PATH);
                self.get(&path, &[("X-IDENTITY-HEADER", HEADER)]).await
            }
        }
    }

    /// Ends it in order.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }
}

impl Answer {
    /// The text that a user sees.
    #[must_use]
    pub fn text(&self, form: Form) -> &str {
        let field = match form {
            Form::Imds => "error_description",
            Form::AppService => "message",
        };
        self.body[field].as_str().unwrap_or_default()
    }
}
