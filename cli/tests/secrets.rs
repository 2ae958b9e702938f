//! Nothing secret is ever logged, not even at the highest level: emulator and sidecar as processes, what they write
//! searched for tokens, the header that only the pod knows, values of queries (a resource that was understood aside), and the vault's secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge::local::{application, kubelet, process::Program};
use podbadge_emulator::issuer::{ClusterIssuer, Object, ServiceAccountToken};
use podbadge_sidecar_core::contract;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT_ID: &str = "22222222-2222-4222-8222-222222222222";
const RESOURCE: &str = "https://vault.azure.net";
const HEADER: &str = "header-that-only-the-pod-knows";
const SECRET: &str = "secret-of-the-vault";
const QUERY: &str = "value-of-a-query";

struct Emulator {
    child: Child,
    authority: String,
    vault: String,
    ca_file: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn emulator(folder: &Path, issuer: &str, issuer_ca: &str) -> Emulator {
    let config = format!(
        "tenants: [{{ id: {TENANT} }}]\n\
         applications: [{{ clientId: {CLIENT_ID}, tenant: {TENANT}, name: orders,\n  \
         servicePrincipalId: 33333333-3333-4333-8333-333333333333, federatedCredentials: [\n  \
         {{ name: orders, issuer: '{issuer}', subject: 'system:serviceaccount:shop:orders' }}] }}]\n\
         vaults: [{{ name: shop, tenant: {TENANT}, readers: [{CLIENT_ID}],\n  \
         secrets: [{{ name: greeting, versions: [{{ value: {SECRET} }}] }}] }}]\n"
    );
    fs::write(folder.join("emulator.yaml"), config).unwrap();
    fs::write(folder.join("issuer.pem"), issuer_ca).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_podbadge"))
        .args(["emulator", "--config", "emulator.yaml", "--listen", "127.0.0.1:0", "--ca-file", "ca.pem"])
        .args(["--issuer-ca-file", "issuer.pem", "--log-level", "trace"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.join("emulator.log")).unwrap())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let facts: Vec<_> = lines.take(3).map(|line| line.unwrap().rsplit(' ').next().unwrap().to_owned()).collect();
    let ca_file = folder.join("ca.pem").display().to_string();
    Emulator { child, authority: facts[0].clone(), vault: facts[1].clone(), ca_file }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let issuer = ClusterIssuer::start(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    let emulator = emulator(folder.path(), issuer.url(), issuer.ca_pem());
    let volume = folder.path().join("tokens");
    let project = |account: &str| {
        let request = ServiceAccountToken::new("shop", Object::new(account, "u"));
        let token = issuer.mint(&request, SystemTime::now(), Duration::from_secs(3600)).unwrap();
        kubelet::write(&volume, &[("token", &token)]).unwrap();
        token
    };
    let assertion = project("orders");
    let port = free_port();
    let environment = kubelet::Environment::from(
        [
            (contract::CLIENT_ID, CLIENT_ID),
            (contract::TENANT_ID, TENANT),
            (contract::AUTHORITY_HOST, &emulator.authority),
            (contract::FEDERATED_TOKEN_FILE, volume.join("token").to_str().unwrap()),
            (contract::PORT, &port.to_string()),
            (contract::EXPECTED_IDENTITY_HEADER, HEADER),
            (contract::CA_FILE, &emulator.ca_file),
            (contract::CREDENTIAL_SPREADING, "0"),
            (contract::LOG, "trace"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let program = Program { path: env!("CARGO_BIN_EXE_podbadge").into(), arguments: vec!["sidecar".to_owned()] };
    let log = folder.path().join("sidecar.log");
    let sidecar = program.start(&environment, &log).await.unwrap();

    let authority = reqwest::Certificate::from_pem(&fs::read(&emulator.ca_file).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
    let application = kubelet::Environment::from(
        [
            (contract::IDENTITY_ENDPOINT, format!("http://127.0.0.1:{port}{}", contract::APP_SERVICE_TOKEN_PATH)),
            (contract::IDENTITY_HEADER, HEADER.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let token = application::token(&client, &application, RESOURCE).await.unwrap();
    assert_eq!(application::secret(&client, &emulator.vault, "greeting", &token).await.unwrap(), SECRET);

    // Refused by the sidecar, by Entra ID and by the vault.
    let base = format!("http://127.0.0.1:{port}");
    for (path, header) in [
        (format!("{}?resource=https://unknown.example&{QUERY}={QUERY}", contract::IMDS_TOKEN_PATH), "true"),
        (format!("{}?resource={QUERY}&resource={QUERY}", contract::IMDS_TOKEN_PATH), "true"),
        (format!("{}?resource={RESOURCE}&client_id={QUERY}", contract::IMDS_TOKEN_PATH), "true"),
        (format!("/{QUERY}?{QUERY}"), "false"),
    ] {
        let answer = client.get(format!("{base}{path}")).header("Metadata", header).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{path} {}", answer.status());
    }
    let refused = project("visitor");
    let error = application::token(&client, &application, "https://graph.microsoft.com").await.unwrap_err();
    assert!(error.to_string().contains("AADSTS700213"), "{error}");
    let forbidden = client.get(format!("{}/secrets/greeting?api-version=7.4", emulator.vault)).bearer_auth(&refused);
    assert_eq!(forbidden.send().await.unwrap().status(), 401);

    sidecar.stop().await;
    let logs = [log, folder.path().join("emulator.log")].map(|log| fs::read_to_string(log).unwrap());
    for (log, said) in logs.iter().zip(["AADSTS700213", ""]) {
        assert!(log.contains(said), "{log}");
        let payload = |jwt: &str| jwt.split('.').nth(1).unwrap().to_owned();
        for secret in ["eyJ", HEADER, SECRET, QUERY, &payload(&assertion), &payload(&refused)] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
