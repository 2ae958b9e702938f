//! Tokens from the sidecar, in both forms, and what they open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge::local::application;
use podbadge_in_process_tests::{CLIENT_ID, Form, HEADER, RESOURCE, Sidecar, TENANT, World};
use std::{num::NonZeroU32, time::Duration};

const FORMS: [Form; 2] = [Form::Imds, Form::AppService];

async fn world() -> (World, Sidecar) {
    let world = World::start(|_| ()).await;
    world.project(&world.claims());
    let sidecar = Sidecar::start(&world.variables());
    (world, sidecar)
}

#[tokio::test]
async fn a_token_in_either_form_opens_the_vault() {
    let (world, sidecar) = world().await;
    for form in FORMS {
        let answer = sidecar.token(form, RESOURCE).await;
        assert_eq!(answer.status, 200, "{form:?} {}", answer.text(form));
        let body = answer.body.as_object().unwrap();
        assert!(body.values().all(serde_json::Value::is_string), "{:?}", body.keys());
        assert_eq!(body["client_id"], CLIENT_ID);
        assert_eq!(body["resource"], RESOURCE);
        assert_eq!(body["token_type"], "Bearer");

        let token = body["access_token"].as_str().unwrap();
        let claims = application::claims(token).unwrap();
        assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!(claims["appid"], CLIENT_ID);
        let url = format!("{}/secrets/greeting?api-version=7.4", world.entra.vault_url("shop").unwrap());
        let secret = world.client().get(url).bearer_auth(token).send().await.unwrap();
        let secret: serde_json::Value = serde_json::from_slice(&secret.bytes().await.unwrap()).unwrap();
        assert_eq!(secret["value"], "hello");
    }
    // Both forms share one cache.
    assert_eq!(world.entra.exchanges().total(), 1);
    sidecar.stop().await;
}

#[tokio::test]
async fn many_that_ask_at_once_cost_one_exchange() {
    let (world, sidecar) = world().await;
    let answers =
        futures_util::future::join_all((0..50).map(|number| sidecar.token(FORMS[number % 2], RESOURCE))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(world.entra.exchanges().total(), 1);
}

#[tokio::test]
async fn a_rotated_token_and_a_rotated_key_are_used_at_the_next_exchange() {
    let (world, sidecar) = world().await;
    assert_eq!(sidecar.token(Form::Imds, RESOURCE).await.status, 200);
    // The old token would be refused now, so a sidecar that kept it would be seen.
    world.entra.advance(Duration::from_secs(2 * 3600));
    world.issuer.rotate().unwrap();
    let mut claims = world.claims();
    claims.iat += 2 * 3600;
    claims.nbf += 2 * 3600;
    claims.exp += 2 * 3600;
    world.project(&claims);
    let answer = sidecar.token(Form::Imds, "https://management.azure.com/").await;
    assert_eq!(answer.status, 200, "{}", answer.text(Form::Imds));
    assert_eq!(answer.body["resource"], "https://management.azure.com/");
}

#[tokio::test]
async fn only_the_pod_is_answered() {
    let (world, sidecar) = world().await;
    let query = format!("?api-version=2019-08-01&resource={RESOURCE}");
    for (path, headers, status) in [
        ("/metadata/identity/oauth2/token", vec![], 400),
        ("/metadata/identity/oauth2/token", vec![("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")], 400),
        ("/msi/token", vec![], 401),
        ("/msi/token", vec![("Metadata", "true")], 401),
        ("/msi/token", vec![("X-IDENTITY-HEADER", "7f3f9c1e-0000-4000-8000-00000000f00e")], 401),
        ("/msi/token", vec![("X-IDENTITY-HEADER", HEADER), ("X-Forwarded-For", "10.0.0.1")], 400),
        ("/metadata/instance", vec![("Metadata", "true")], 404),
    ] {
        let answer = sidecar.get(&format!("{path}{query}"), &headers).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
    }
    assert_eq!(world.entra.exchanges().total(), 0);
}

#[tokio::test]
async fn an_outage_is_invisible_while_a_token_is_valid() {
    use podbadge_emulator::fault::{Endpoint, Fault};
    let (world, sidecar) = world().await;
    assert_eq!(sidecar.token(Form::Imds, RESOURCE).await.status, 200);
    world.entra.inject(Fault::answer(Endpoint::Token, 503).unwrap());
    for form in FORMS {
        assert_eq!(sidecar.token(form, RESOURCE).await.status, 200);
    }
    // What is not in the cache feels it, and says when to come back.
    let other = sidecar.token(Form::Imds, "https://management.azure.com").await;
    assert_eq!(other.status, 503);
    assert!(other.retry_after.is_some_and(|seconds| (1..=5).contains(&seconds)), "{other:?}");
}

#[tokio::test]
async fn faults_of_the_authority_keep_their_meaning() {
    use podbadge_emulator::fault::{Endpoint, Fault};
    let once = NonZeroU32::MIN;
    let answer = |status| Fault::answer(Endpoint::Token, status).unwrap();
    let cases = [
        (answer(429).retry_after(3), 429),
        (answer(500), 503),
        (answer(503).retry_after(60), 503),
        (answer(200).body("<html>a proxy's page</html>"), 503),
        (answer(200).body("{\"token_type\":\"Bearer\"}"), 503),
        (Fault::dropped(Endpoint::Token), 503),
    ];
    let check = async |fault: &Fault, status, form| {
        let (world, sidecar) = world().await;
        // More than a sidecar would try by itself.
        world.entra.inject(fault.clone().times(once.saturating_add(9)));
        let answer = sidecar.token(form, RESOURCE).await;
        assert_eq!(answer.status, status, "{fault:?} {answer:?}");
        assert!(answer.retry_after.is_some_and(|seconds| (1..=5).contains(&seconds)), "{fault:?} {answer:?}");
        assert!(!answer.text(form).is_empty(), "{fault:?} {answer:?}");
    };
    // All at once, as it tries for seconds.
    let checks = cases.iter().flat_map(|(fault, status)| FORMS.map(|form| check(fault, *status, form)));
    futures_util::future::join_all(checks).await;
}
