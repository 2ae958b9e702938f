//! An issuer and an emulator that trusts it, with a client that trusts both.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use podbadge_emulator::{
    Emulator, Running,
    config::Config,
    issuer::{Claims, ClusterIssuer, Object, RunningIssuer, ServiceAccountToken},
};
use reqwest::{Client, ClientBuilder, RequestBuilder};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;

pub(crate) const TENANT: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const OTHER_TENANT: &str = "99999999-9999-4999-8999-999999999999";
pub(crate) const ORDERS: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const PRINCIPAL: &str = "33333333-3333-4333-8333-333333333333";
pub(crate) const STRANGER: &str = "44444444-4444-4444-8444-444444444444";
pub(crate) const UNINSTALLED: &str = "55555555-5555-4555-8555-555555555555";
pub(crate) const DISABLED: &str = "66666666-6666-4666-8666-666666666666";
pub(crate) const BARE: &str = "77777777-7777-4777-8777-777777777777";
pub(crate) const ELSEWHERE: &str = "88888888-8888-4888-8888-888888888888";
pub(crate) const VAULT_SCOPE: &str = "https://vault.azure.net/.default";
pub(crate) const CORRELATION: &str = "0a0b0c0d-1111-4222-8333-444455556666";

pub(crate) struct World {
    pub(crate) issuer: RunningIssuer,
    pub(crate) emulator: Running,
    /// Nobody listens there.
    pub(crate) closed: String,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        let any = ([127, 0, 0, 1], 0).into();
        let issuer = ClusterIssuer::start(any, &[]).await.expect("an issuer");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let closed = format!("https://{closed}");
        let mut config = Config::from_yaml(&yaml(issuer.url(), &closed)).expect("a configuration");
        config.trusted_cas.push(issuer.ca_pem().parse().expect("a certificate"));
        let emulator = Emulator::start(config, any).await.expect("an emulator");
        let client = client(&[emulator.ca_pem(), issuer.ca_pem()]);
        Self { issuer, emulator, closed, client }
    }

    /// The claims that the application `orders` trusts.
    pub(crate) fn claims(&self) -> Claims {
        let token = ServiceAccountToken {
            pod: Some(Object::new("orders-0", "b0000000-0000-4000-8000-000000000000")),
            node: Some(Object::new("node-1", "c0000000-0000-4000-8000-000000000000")),
            ..ServiceAccountToken::new("shop", Object::new("orders", "a0000000-0000-4000-8000-000000000000"))
        };
        token.claims(self.issuer.url(), SystemTime::now(), Duration::from_secs(3600), uuid::Uuid::new_v4())
    }

    /// An assertion of the cluster with changed claims.
    pub(crate) fn assertion(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.issuer.sign(&claims).expect("signed")
    }

    pub(crate) fn post(&self, tenant: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.client
            .post(format!("{}{tenant}/oauth2/v2.0/token", self.emulator.authority_url()))
            .header("client-request-id", CORRELATION)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(encode(form))
    }

    /// An access token of an application for a scope.
    pub(crate) async fn token(&self, tenant: &str, client: &str, scope: &str) -> String {
        let assertion = self.assertion(|_| {});
        let response = self.post(tenant, &form(client, &assertion, scope)).send().await.expect("an answer");
        let body: Value = response.json().await.expect("JSON");
        body["access_token"].as_str().unwrap_or_else(|| panic!("a token, not {body}")).to_owned()
    }

    pub(crate) async fn get(&self, url: &str) -> Value {
        let response = self.client.get(url).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{url}");
        response.json().await.expect("JSON")
    }
}

/// The form of a client-credentials request.
pub(crate) fn form<'f>(client: &'f str, assertion: &'f str, scope: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![
        ("client_assertion", assertion),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_id", client),
        ("grant_type", "client_credentials"),
        ("scope", scope),
    ]
}

pub(crate) fn encode(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

pub(crate) fn client(roots: &[&str]) -> Client {
    builder(roots).build().expect("a client")
}

/// A client that trusts these authorities (PEM) and nothing else.
pub(crate) fn builder(roots: &[&str]) -> ClientBuilder {
    let mut store = RootCertStore::empty();
    for pem in roots {
        store.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a root");
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(Duration::from_secs(20))
}

fn yaml(issuer: &str, closed: &str) -> String {
    format!(
        "
tenants:
  - id: {TENANT}
    domains: [contoso.onmicrosoft.com]
  - id: {OTHER_TENANT}
applications:
  - clientId: {ORDERS}
    tenant: {TENANT}
    name: orders
    servicePrincipalId: {PRINCIPAL}
    federatedCredentials:
      - {{ name: orders-in-shop, issuer: '{issuer}', subject: 'system:serviceaccount:shop:orders' }}
      - {{ name: other-audience, issuer: '{issuer}', subject: 'system:serviceaccount:shop:mail', audience: mail }}
  - clientId: {STRANGER}
    tenant: {OTHER_TENANT}
    name: stranger
    servicePrincipalId: 33333333-3333-4333-8333-333333333334
    federatedCredentials:
      - {{ name: orders-in-shop, issuer: '{issuer}', subject: 'system:serviceaccount:shop:orders' }}
  - clientId: {STRANGER}
    tenant: {TENANT}
    name: stranger here
    servicePrincipalId: 33333333-3333-4333-8333-333333333335
    federatedCredentials:
      - {{ name: orders-in-shop, issuer: '{issuer}', subject: 'system:serviceaccount:shop:orders' }}
  - {{ clientId: {UNINSTALLED}, tenant: {TENANT}, name: uninstalled }}
  - clientId: {DISABLED}
    tenant: {TENANT}
    name: disabled one
    servicePrincipalId: 33333333-3333-4333-8333-333333333336
    disabled: true
  - clientId: {BARE}
    tenant: {TENANT}
    name: bare
    servicePrincipalId: 33333333-3333-4333-8333-333333333337
  - clientId: {ELSEWHERE}
    tenant: {TENANT}
    name: elsewhere
    servicePrincipalId: 33333333-3333-4333-8333-333333333338
    federatedCredentials:
      - {{ name: closed, issuer: '{closed}', subject: 'system:serviceaccount:shop:orders' }}
      - {{ name: no document, issuer: '{issuer}/nothing', subject: 'system:serviceaccount:shop:orders' }}
      - {{ name: other name, issuer: '{named}', subject: 'system:serviceaccount:shop:orders' }}
vaults:
  - name: Orders-Vault
    tenant: {TENANT}
    readers: [{ORDERS}]
    secrets:
      - name: greeting
        versions:
          - {{ value: hi }}
          - {{ id: 0123456789abcdef0123456789abcdef, value: hello }}
      - name: retired
        versions: [{{ value: gone, enabled: false }}]
",
        named = issuer.replace("127.0.0.1", "localhost"),
    )
}
