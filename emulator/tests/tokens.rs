//! Access tokens and the documents that lead to them, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use reqwest::ClientBuilder;
use serde_json::{Value, json};

use support::{CORRELATION, ORDERS, PRINCIPAL, TENANT, VAULT_SCOPE, World, builder, encode, form};

#[tokio::test]
async fn a_token_is_entras_and_verifies_against_its_published_keys() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let response = world.post(TENANT, &form(ORDERS, &assertion, VAULT_SCOPE)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    for (name, value) in [
        ("cache-control", "no-store, no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("content-type", "application/json; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("p3p", "CP=\"DSP CUR OTPi IND OTRi ONL FIN\""),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    assert!(!response.headers().contains_key("client-request-id"), "it was not asked for");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!((&body["expires_in"], &body["ext_expires_in"]), (&json!(3599), &json!(3599)));
    assert!(body.get("refresh_in").is_none());

    let base = world.emulator.authority_url();
    let metadata = world.get(&format!("{base}{TENANT}/v2.0/.well-known/openid-configuration?")).await;
    let keys: JwkSet = serde_json::from_value(world.get(metadata["jwks_uri"].as_str().unwrap()).await).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("JWT"), Algorithm::RS256));
    assert_eq!(header.x5t, header.kid);
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
    assert_eq!(key.common.x509_sha1_fingerprint, header.x5t);
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://vault.azure.net"]);
    validation.validate_nbf = true;
    let claims =
        jsonwebtoken::decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims;
    let issuer = format!("https://sts.windows.net/{TENANT}/");
    for (name, value) in [
        ("iss", issuer.as_str()),
        ("idp", &issuer),
        ("tid", TENANT),
        ("appid", ORDERS),
        ("appidacr", "2"),
        ("idtyp", "app"),
        ("oid", PRINCIPAL),
        ("sub", PRINCIPAL),
        ("ver", "1.0"),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let seconds = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(seconds("nbf"), seconds("iat"));
    assert_eq!(seconds("exp") - seconds("nbf"), 3900);
    assert_eq!(claims["uti"].as_str().unwrap().len(), 22);
    assert_eq!(world.emulator.exchanges().issued, 1);
}

#[tokio::test]
async fn what_real_clients_send_is_accepted() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let untrimmed = format!("{assertion}\n");
    let post = |tenant: &str, query: &str, form: &[(&str, &str)]| {
        let url = format!("{}{tenant}/oauth2/v2.0/token{query}", world.emulator.authority_url());
        let request = world.client.post(url).body(encode(form));
        request.header("content-type", "application/x-www-form-urlencoded;charset=utf-8")
    };
    let mut go = form(ORDERS, &untrimmed, "https://vault.azure.net/.default openid offline_access profile");
    go.push(("client_info", "1"));
    let mut js = form(ORDERS, &assertion, VAULT_SCOPE);
    js.push(("x-client-SKU", "msal.js.node"));
    js.push(("client-request-id", CORRELATION));
    let upper = ORDERS.to_ascii_uppercase();
    for request in [
        post(TENANT, "", &go),
        post(TENANT, &format!("?client-request-id={CORRELATION}"), &js),
        post("contoso.onmicrosoft.com", "", &form(ORDERS, &assertion, VAULT_SCOPE)),
        post("CONTOSO.onmicrosoft.com", "", &form(&upper, &assertion, VAULT_SCOPE)),
    ] {
        let response = request.header("return-client-request-id", "true").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("client-request-id"));
    }
    let response = post(TENANT, "", &js).header("return-client-request-id", "true").send().await.unwrap();
    assert_eq!(response.headers()["client-request-id"], CORRELATION);
}

#[tokio::test]
async fn the_audience_is_the_resource_as_asked_for() {
    let world = World::start().await;
    for (scope, audience) in [
        ("https://vault.azure.net/.default", "https://vault.azure.net"),
        ("https://management.azure.com//.default", "https://management.azure.com/"),
        ("https://management.azure.com/.default", "https://management.azure.com"),
        ("00000003-0000-0000-c000-000000000000/.default", "00000003-0000-0000-c000-000000000000"),
    ] {
        let token = world.token(TENANT, ORDERS, scope).await;
        let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(&token).unwrap();
        assert_eq!(claims["aud"], audience);
    }
}

#[tokio::test]
async fn keys_are_kept_and_a_new_one_is_fetched_at_once() {
    let world = World::start().await;
    let before = world.assertion(|_| {});
    let status = async |assertion: &str| {
        world.post(TENANT, &form(ORDERS, assertion, VAULT_SCOPE)).send().await.unwrap().status()
    };
    assert_eq!(status(&before).await, 200);
    world.issuer.rotate().expect("a new key");
    let after = world.assertion(|_| {});
    assert_eq!(status(&after).await, 200);
    assert_eq!(status(&before).await, 200, "older keys stay published");
    let World { issuer, emulator, client, .. } = world;
    issuer.stop().await;
    let url = format!("{}{TENANT}/oauth2/v2.0/token", emulator.authority_url());
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded");
    let response = request.body(encode(&form(ORDERS, &after, VAULT_SCOPE))).send().await.unwrap();
    assert_eq!(response.status(), 200, "the keys were kept");
}

#[tokio::test]
async fn instance_discovery_leads_to_the_authority() {
    let world = World::start().await;
    let base = world.emulator.authority_url();
    let host = base.trim_end_matches('/');
    let bare = "https://127.0.0.1";
    for (query, found) in [
        (format!("api-version=1.1&authorization_endpoint={host}/{TENANT}/oauth2/v2.0/authorize"), host),
        (
            format!(
                "authorization_endpoint=https%3A%2F%2F127.0.0.1%2F{TENANT}%2Foauth2%2Fv2.0%2Fauthorize&api-version=1.0"
            ),
            host,
        ),
        (format!("api-version=1.1&authorization_endpoint={bare}/{TENANT}/oauth2/v2.0/authorize"), host),
        (
            format!("authorization_endpoint=https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"),
            "https://login.microsoftonline.com",
        ),
    ] {
        let document = world.get(&format!("{base}common/discovery/instance?{query}")).await;
        let expected = format!("{found}/{TENANT}/v2.0/.well-known/openid-configuration");
        assert_eq!(document["tenant_discovery_endpoint"], expected);
        assert_eq!(document["metadata"][0]["preferred_network"], "login.microsoftonline.com");
    }
    let unknown = format!("{base}common/discovery/instance?authorization_endpoint=https://login.example/{TENANT}/x");
    let response = world.client.get(unknown).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["error"], &body["error_codes"][0]), (&json!("invalid_instance"), &json!(50_049)));
}

#[tokio::test]
async fn metadata_leads_back_by_the_name_it_was_reached_by() {
    let world = World::start().await;
    let base = world.emulator.authority_url();
    let local = base.replace("127.0.0.1", "localhost");
    // Over both protocols: HTTP/2 has no Host header.
    for change in [ClientBuilder::http1_only as fn(_) -> _, |builder| builder] {
        let client = change(builder(&[world.emulator.ca_pem()])).build().unwrap();
        for base in [base, &local] {
            for (tenant, id) in [(TENANT, TENANT), ("contoso.onmicrosoft.com", TENANT), ("common", "{tenantid}")] {
                let url = format!("{base}{tenant}/v2.0/.well-known/openid-configuration");
                let document: Value = client.get(url).send().await.unwrap().json().await.unwrap();
                assert_eq!(document["token_endpoint"], format!("{base}{tenant}/oauth2/v2.0/token"));
                assert_eq!(document["issuer"], format!("https://login.microsoftonline.com/{id}/v2.0"));
            }
        }
    }
    let unknown = format!("{base}fabrikam.com/v2.0/.well-known/openid-configuration");
    let body: Value = world.client.get(unknown).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["error_codes"][0], 90_002);
    for path in ["common/discovery/keys", "common/discovery/v2.0/keys", &format!("{TENANT}/discovery/v2.0/keys")] {
        let keys = world.get(&format!("{base}{path}")).await;
        assert_eq!(keys["keys"][0]["use"], "sig", "{path}");
    }
}
