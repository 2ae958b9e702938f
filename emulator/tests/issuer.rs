//! The cluster issuer, as kube-apiserver would answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, encoding::AsDer as _, rsa::PublicKeyComponents};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use podbadge_emulator::{
    config::Host,
    issuer::{ClusterIssuer, Object, ServiceAccountToken},
};
use serde_json::{Value, json};

use support::client;

#[tokio::test]
async fn discovery_leads_to_the_keys_that_verify_its_tokens() {
    let issuer = ClusterIssuer::start(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    let client = client(&[issuer.ca_pem()]);
    let response = client.get(format!("{}/.well-known/openid-configuration", issuer.url())).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "public, max-age=3600");
    let document: Value = response.json().await.unwrap();
    let jwks_uri = format!("{}/openid/v1/jwks", issuer.url());
    assert_eq!(
        document,
        json!({
            "issuer": issuer.url(),
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        })
    );
    let response = client.get(&jwks_uri).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/jwk-set+json");
    let set: Value = response.json().await.unwrap();
    let key = &set["keys"][0];
    assert_eq!((&key["use"], &key["kty"], &key["alg"]), (&json!("sig"), &json!("RSA"), &json!("RS256")));
    assert_eq!(key["kid"], kubernetes_key_id(key));

    let token = ServiceAccountToken::new("shop", Object::new("orders", "a-uid"));
    let token = issuer.mint(&token, SystemTime::now(), Duration::from_secs(600)).unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["api://AzureADTokenExchange"]);
    validation.set_issuer(&[issuer.url()]);
    let set: JwkSet = serde_json::from_value(set).unwrap();
    let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "system:serviceaccount:shop:orders");
    issuer.stop().await;
}

/// SHA-256 of the key in PKIX form, computed from what is published.
fn kubernetes_key_id(key: &Value) -> String {
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let der = PublicKeyComponents { n: part("n"), e: part("e") }.as_der().unwrap();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der.as_ref()))
}

#[tokio::test]
async fn tokens_carry_the_claims_that_kubernetes_writes() {
    let hosts: Vec<Host> = vec!["issuer.test".parse().unwrap()];
    let issuer = ClusterIssuer::start(([127, 0, 0, 1], 0).into(), &hosts).await.unwrap();
    assert!(issuer.url().starts_with("https://issuer.test:"), "{}", issuer.url());
    let now = UNIX_EPOCH + Duration::from_secs(1_760_000_000);
    let token = ServiceAccountToken {
        pod: Some(Object::new("orders-0", "pod-uid")),
        node: Some(Object { name: "node-1".into(), uid: None }),
        audiences: vec!["a".into(), "b".into()],
        ..ServiceAccountToken::new("shop", Object::new("orders", "account-uid"))
    };
    let jwt = issuer.mint(&token, now, Duration::from_secs(3600)).unwrap();
    let header = URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "kid"]);
    let mut claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(&jwt).unwrap();
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 36);
    assert_eq!(
        claims,
        json!({
            "aud": ["a", "b"],
            "exp": 1_760_003_600,
            "iat": 1_760_000_000,
            "iss": issuer.url(),
            "kubernetes.io": {
                "namespace": "shop",
                "node": { "name": "node-1" },
                "pod": { "name": "orders-0", "uid": "pod-uid" },
                "serviceaccount": { "name": "orders", "uid": "account-uid" },
            },
            "nbf": 1_760_000_000,
            "sub": "system:serviceaccount:shop:orders",
        })
    );
}
