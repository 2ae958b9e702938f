//! What Entra ID refuses is seen by the application: its text and its code, as a 401, which no client retries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge_emulator::{
    config::{Config, FederatedCredential},
    issuer::{Claims, ClusterIssuer},
};
use podbadge_in_process_tests::{Form, RESOURCE, Sidecar, World};
use podbadge_sidecar_core::contract;
use std::time::Duration;

/// One thing that is wrong.
struct Case {
    code: u32,
    /// What the client is told; 503 means that another try has chances.
    status: u16,
    directory: fn(&mut Config),
    claims: fn(&mut Claims),
    variables: &'static [(&'static str, &'static str)],
    resource: &'static str,
}

const RIGHT: Case =
    Case { code: 0, status: 401, directory: |_| (), claims: |_| (), variables: &[], resource: RESOURCE };

fn credential(config: &mut Config) -> &mut FederatedCredential {
    &mut config.applications[0].federated_credentials[0]
}

async fn check(world: &World, case: &Case) {
    for form in [Form::Imds, Form::AppService] {
        let mut variables = world.variables();
        for (name, value) in case.variables {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        let sidecar = Sidecar::start(&variables);
        let answer = sidecar.token(form, case.resource).await;
        let code = case.code;
        assert_eq!(answer.status, case.status, "{code} {form:?} {answer:?}");
        assert_eq!(answer.retry_after.is_some(), case.status == 503, "{code} {form:?} {answer:?}");
        let text = answer.text(form);
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{code} {form:?} {answer:?}");
        assert!(!text.contains(['\r', '\n']), "{code} {form:?} {answer:?}");
        match form {
            Form::Imds => {
                assert_eq!(answer.body["error_codes"], serde_json::json!([code]), "{answer:?}");
                assert!(answer.body["error"].is_string() && answer.body["correlation_id"].is_string(), "{answer:?}");
            }
            Form::AppService => {
                assert_eq!(answer.body["statusCode"], case.status, "{answer:?}");
                assert!(answer.body["correlationId"].is_string(), "{answer:?}");
                assert_eq!(answer.body.get("error"), None, "{answer:?}");
            }
        }
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn every_family_is_visible_in_both_forms() {
    for case in [
        Case {
            code: 700_211,
            directory: |config| credential(config).issuer = "https://another.example/".parse().unwrap(),
            ..RIGHT
        },
        Case {
            code: 700_212,
            directory: |config| credential(config).audience = "api://another".parse().unwrap(),
            ..RIGHT
        },
        Case { code: 700_213, claims: |claims| claims.sub = "system:serviceaccount:shop:visitor".into(), ..RIGHT },
        Case { code: 7_002_138, claims: |claims| claims.sub = "system:serviceaccount:shop:Orders".into(), ..RIGHT },
        Case { code: 70_025, directory: |config| config.applications[0].federated_credentials.clear(), ..RIGHT },
        Case { code: 70_023, claims: |claims| claims.exp += 26 * 3600, ..RIGHT },
        Case { code: 700_024, claims: |claims| claims.nbf += 1800, ..RIGHT },
        Case { code: 700_222, claims: |claims| claims.iss = "https://sts.windows.net/x/".into(), ..RIGHT },
        Case { code: 700_016, variables: &[(contract::CLIENT_ID, "99999999-9999-4999-8999-999999999999")], ..RIGHT },
        Case { code: 90_002, variables: &[(contract::TENANT_ID, "99999999-9999-4999-8999-999999999999")], ..RIGHT },
        Case { code: 7_000_112, directory: |config| config.applications[0].disabled = true, ..RIGHT },
        Case { code: 7_000_229, directory: |config| config.applications[0].service_principal_id = None, ..RIGHT },
        Case { code: 500_011, resource: "https://unknown.example", ..RIGHT },
    ] {
        let world = World::start(case.directory).await;
        let mut claims = world.claims();
        (case.claims)(&mut claims);
        world.project(&claims);
        check(&world, &case).await;
    }
}

#[tokio::test]
async fn an_assertion_that_entra_finds_expired() {
    let world = World::start(|_| ()).await;
    world.project(&world.claims());
    world.entra.advance(Duration::from_secs(3601));
    check(&world, &Case { code: 700_024, ..RIGHT }).await;
}

#[tokio::test]
async fn a_key_and_a_signature_that_are_not_the_issuers() {
    let world = World::start(|_| ()).await;
    let stranger = ClusterIssuer::start(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    let signed = stranger.sign(&world.claims()).unwrap();
    world.write(&signed);
    check(&world, &Case { code: 7_000_272, ..RIGHT }).await;

    // The right key's name over another's signature.
    let right = world.issuer.sign(&world.claims()).unwrap();
    let (header, _) = right.split_once('.').unwrap();
    let (_, rest) = signed.split_once('.').unwrap();
    world.write(&format!("{header}.{rest}"));
    check(&world, &Case { code: 700_027, ..RIGHT }).await;
}

#[tokio::test]
async fn an_issuer_that_cannot_be_asked_for_its_keys() {
    let mut world = World::start(|_| ()).await;
    let claims = world.claims();
    world.project(&claims);
    let another = ClusterIssuer::start(([127, 0, 0, 1], 0).into(), &[]).await.unwrap();
    std::mem::replace(&mut world.issuer, another).stop().await;
    check(&world, &Case { code: 90_061, status: 503, ..RIGHT }).await;
}

#[tokio::test]
async fn a_token_file_that_is_none_is_named_and_waited_for() {
    let world = World::start(|_| ()).await;
    let sidecar = Sidecar::start(&world.variables());
    let mut expired = world.claims();
    expired.exp = expired.iat - 1;
    let expired = world.issuer.sign(&expired).unwrap();
    for (text, status) in [(None, 503), (Some(""), 503), (Some(expired.as_str()), 503), (Some("no.jwt"), 400)] {
        if let Some(text) = text {
            world.write(text);
        }
        for form in [Form::Imds, Form::AppService] {
            let answer = sidecar.token(form, RESOURCE).await;
            assert_eq!(answer.status, status, "{text:?} {answer:?}");
            assert!(answer.text(form).contains("azure-identity-token"), "{text:?} {answer:?}");
        }
    }
    assert_eq!(world.entra.exchanges().total(), 0);
    // The sidecar goes on: once the kubelet has written a good one, it is used.
    world.project(&world.claims());
    assert_eq!(sidecar.token(Form::Imds, RESOURCE).await.status, 200);
}
