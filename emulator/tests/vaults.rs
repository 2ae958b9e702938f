//! The key vault, over real TLS, with tokens of the emulator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use podbadge_emulator::signing::SigningKey;
use serde_json::{Value, json};

use support::{ORDERS, OTHER_TENANT, STRANGER, TENANT, VAULT_SCOPE, World};

const NEWEST: &str = "0123456789abcdef0123456789abcdef";

async fn get(world: &World, path: &str, authorization: Option<&str>) -> (u16, Option<String>, Value) {
    let url = format!("{}{path}", world.emulator.vault_url("orders-vault").expect("a vault"));
    let mut request = world.client.get(url);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let response = request.send().await.expect("an answer");
    let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), challenge, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_reader_gets_the_secret_by_name_and_by_version() {
    let world = World::start().await;
    let bearer = format!("Bearer {}", world.token(TENANT, ORDERS, VAULT_SCOPE).await);
    let oldest = format!("{:032}", 1);
    let vault = world.emulator.vault_url("ORDERS-VAULT").unwrap();
    for (path, value, version) in [
        ("/secrets/greeting?api-version=7.4".to_owned(), "hello", NEWEST),
        ("/secrets/greeting/?api-version=2026-04-01".to_owned(), "hello", NEWEST),
        ("/secrets/Greeting?api-version=2025-07-01".to_owned(), "hello", NEWEST),
        (format!("/secrets/greeting/{NEWEST}?api-version=7.6"), "hello", NEWEST),
        (format!("/secrets/greeting/{oldest}?api-version=2016-10-01"), "hi", oldest.as_str()),
    ] {
        let (status, challenge, body) = get(&world, &path, Some(&bearer)).await;
        assert_eq!((status, challenge), (200, None), "{path}");
        assert_eq!(body["value"], value, "{path}");
        assert_eq!(body["id"], format!("{vault}/secrets/greeting/{version}"));
        assert_eq!(body["attributes"]["enabled"], true);
    }
    let slash = world.token(TENANT, ORDERS, "https://vault.azure.net//.default").await;
    let (status, ..) = get(&world, "/secrets/greeting?api-version=7.4", Some(&format!("Bearer {slash}"))).await;
    assert_eq!(status, 200, "a trailing slash makes no difference");
}

#[tokio::test]
async fn a_vault_answers_to_its_name_in_azure() {
    let world = World::start().await;
    let address = world.emulator.vault_url("orders-vault").unwrap().strip_prefix("https://").unwrap().parse().unwrap();
    let client =
        support::builder(&[world.emulator.ca_pem()]).resolve("orders-vault.vault.azure.net", address).build().unwrap();
    let url = format!("https://orders-vault.vault.azure.net:{}", address.port());
    let request = client.get(format!("{url}/secrets/greeting?api-version=7.4"));
    let body: Value =
        request.bearer_auth(world.token(TENANT, ORDERS, VAULT_SCOPE).await).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["id"], format!("{url}/secrets/greeting/{NEWEST}"));
}

#[tokio::test]
async fn without_a_good_token_there_is_the_challenge() {
    let world = World::start().await;
    let token = world.token(TENANT, ORDERS, VAULT_SCOPE).await;
    let other = world.token(TENANT, STRANGER, VAULT_SCOPE).await;
    let swapped = format!("{}.{}", token.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    let foreign = SigningKey::for_service_accounts().unwrap().sign(&json!({ "aud": "x" })).unwrap();
    let management = world.token(TENANT, ORDERS, "https://management.azure.com/.default").await;
    let elsewhere = world.token(OTHER_TENANT, STRANGER, VAULT_SCOPE).await;
    let authority = world.emulator.authority_url();
    let expected = format!("Bearer authorization=\"{authority}{TENANT}\", resource=\"https://vault.azure.net\"");
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let issuer = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
    for (authorization, message) in [
        (None, "AKV10000: Request is missing a Bearer or PoP token.".to_owned()),
        (Some(format!("Basic {token}")), "AKV10000: Request is missing a Bearer or PoP token.".to_owned()),
        (bearer("nonsense"), "AKV10083: Authentication token is malformed.".to_owned()),
        (bearer(&foreign), "AKV10046: Unable to resolve the key used for signature validation.".to_owned()),
        (bearer(&swapped), "Error validating token: IDX10511".to_owned()),
        (
            bearer(&management),
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com."
                .to_owned(),
        ),
        (
            bearer(&elsewhere),
            format!("AKV10032: Invalid issuer. Expected one of {}, found {}.", issuer(TENANT), issuer(OTHER_TENANT)),
        ),
    ] {
        let (status, challenge, body) =
            get(&world, "/secrets/greeting?api-version=7.4", authorization.as_deref()).await;
        assert_eq!((status, challenge.as_deref()), (401, Some(expected.as_str())), "{message}");
        assert_eq!(body, json!({ "error": { "code": "Unauthorized", "message": message } }));
    }
    world.emulator.advance(Duration::from_secs(3600));
    let (status, challenge, body) = get(&world, "/secrets/greeting?api-version=7.4", bearer(&token).as_deref()).await;
    assert_eq!((status, challenge), (401, Some(expected)));
    assert_eq!(body["error"]["message"], "Error validating token: IDX10223");
}

#[tokio::test]
async fn a_good_token_is_not_all() {
    let world = World::start().await;
    let reader = format!("Bearer {}", world.token(TENANT, ORDERS, VAULT_SCOPE).await);
    let stranger = format!("Bearer {}", world.token(TENANT, STRANGER, VAULT_SCOPE).await);
    let missing = "was not found in this key vault.";
    for (bearer, path, status, code, message) in [
        (&reader, "/secrets/greeting", 400, "BadParameter", "api-version must be specified"),
        (
            &reader,
            "/secrets/greeting?api-version=8",
            400,
            "BadParameter",
            "The specified version (8) is not recognized. Consider using the latest supported version (2026-04-01).",
        ),
        (
            &stranger,
            "/secrets/greeting?api-version=7.4",
            403,
            "Forbidden",
            "does not have secrets get permission on key vault",
        ),
        (&stranger, "/secrets/absent?api-version=7.4", 403, "Forbidden", "iss=https://sts.windows.net/"),
        (&reader, "/secrets/absent?api-version=7.4", 404, "SecretNotFound", missing),
        (&reader, "/secrets/greeting/0?api-version=7.4", 404, "SecretNotFound", "(name/id) greeting/0 was not found"),
        (
            &reader,
            "/secrets/retired?api-version=7.4",
            403,
            "Forbidden",
            "Operation get is not allowed on a disabled secret.",
        ),
        (&reader, "/keys/greeting?api-version=7.4", 404, "NotFound", "/secrets/{name}"),
    ] {
        let (found, challenge, body) = get(&world, path, Some(bearer)).await;
        assert_eq!((found, challenge), (status, None), "{path}");
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(body["error"]["message"].as_str().unwrap().contains(message), "{path}: {body}");
        let inner = match (path.contains("retired"), status) {
            (true, _) => json!("SecretDisabled"),
            (false, 403) => json!("AccessDenied"),
            _ => Value::Null,
        };
        assert_eq!(body["error"]["innererror"]["code"], inner, "{path}");
    }
    let url = format!("{}/secrets/greeting?api-version=7.4", world.emulator.vault_url("orders-vault").unwrap());
    assert_eq!(world.client.delete(url).send().await.unwrap().status(), 405);
    assert_eq!(world.emulator.vault_url("nobodys"), None);
}
