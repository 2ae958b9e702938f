//! The examples fit together: every service account's identity is known to the example's Entra ID, and trusts it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge_emulator::{
    Emulator,
    config::Config,
    issuer::{ClusterIssuer, Object, ServiceAccountToken},
};
use podbadge_webhook_core::contract;
use serde::Deserialize as _;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)).unwrap()
}

#[tokio::test]
async fn every_service_account_of_the_examples_gets_a_token() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let any_port = ([127, 0, 0, 1], 0).into();
    let issuer = ClusterIssuer::start(any_port, &[]).await.unwrap();
    let mut config = Config::from_yaml(&read("emulator.yaml")).unwrap();
    config.trusted_cas.push(issuer.ca_pem().parse().unwrap());
    for application in &mut config.applications {
        application.federated_credentials[0].issuer = issuer.url().parse().unwrap();
    }
    let applications = config.applications.len();
    let emulator = Emulator::start(config, any_port).await.unwrap();
    let authority = reqwest::Certificate::from_pem(emulator.ca_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();

    let mut served = 0;
    for name in ["deployment.yaml", "pod-labelled.yaml", "pod-sidecar.yaml"] {
        for document in serde_norway::Deserializer::from_str(&read(name)) {
            let object = Value::deserialize(document).unwrap();
            if object["kind"] != "ServiceAccount" {
                continue;
            }
            let metadata = &object["metadata"];
            let annotation = |key: &str| metadata["annotations"][key].as_str().unwrap();
            let account = Object::new(metadata["name"].as_str().unwrap(), "u");
            let request = ServiceAccountToken::new(metadata["namespace"].as_str().unwrap(), account);
            let assertion = issuer.mint(&request, SystemTime::now(), Duration::from_secs(3600)).unwrap();
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "client_credentials")
                .append_pair("client_id", annotation(contract::CLIENT_ID))
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", &assertion)
                .append_pair("scope", "https://vault.azure.net/.default")
                .finish();
            let tenant = annotation(contract::TENANT_ID);
            let answer = client
                .post(format!("{}{tenant}/oauth2/v2.0/token", emulator.authority_url()))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{name} {}", answer.text().await.unwrap());
            served += 1;
        }
    }
    assert_eq!(served, applications, "an application of examples/emulator.yaml is nobody's");
}
