//! Faults as clients see them, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use reqwest::ClientBuilder;

use podbadge_emulator::fault::{Endpoint, Fault};

use support::{ORDERS, TENANT, VAULT_SCOPE, World, builder, encode, form};

#[tokio::test]
async fn an_answer_strikes_as_often_as_it_should() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let form = form(ORDERS, &assertion, VAULT_SCOPE);
    let html = Fault::answer(Endpoint::Token, 503).unwrap().retry_after(7).body("<html>down</html>");
    world.emulator.inject(html.times(2.try_into().unwrap()));
    world.emulator.inject(Fault::answer(Endpoint::Token, 429).unwrap().retry_after(60).times(1.try_into().unwrap()));
    for _ in 0..2 {
        let response = world.post(TENANT, &form).send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(response.text().await.unwrap(), "<html>down</html>");
    }
    let response = world.post(TENANT, &form).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"60".parse().unwrap()));
    assert_eq!(response.text().await.unwrap(), "Too Many Requests");
    assert_eq!(world.post(TENANT, &form).send().await.unwrap().status(), 200);
    let exchanges = world.emulator.exchanges();
    assert_eq!((exchanges.faulted, exchanges.issued, exchanges.total()), (3, 1, 4));
}

#[tokio::test]
async fn a_fault_lasts_until_it_is_cleared_and_strikes_its_endpoint_alone() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let form = form(ORDERS, &assertion, VAULT_SCOPE);
    world.emulator.inject(Fault::answer(Endpoint::Keys, 500).unwrap());
    world.emulator.inject(Fault::answer(Endpoint::Vault, 502).unwrap());
    let base = world.emulator.authority_url();
    let keys = format!("{base}{TENANT}/discovery/v2.0/keys");
    let vault = format!("{}/anything", world.emulator.vault_url("orders-vault").unwrap());
    for _ in 0..2 {
        assert_eq!(world.client.get(&keys).send().await.unwrap().status(), 500);
        assert_eq!(world.client.get(&vault).send().await.unwrap().status(), 502);
        assert_eq!(world.post(TENANT, &form).send().await.unwrap().status(), 200);
    }
    world.emulator.clear_faults();
    assert_eq!(world.client.get(&keys).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dropped_connection_brings_no_answer() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let url = format!("{}{TENANT}/oauth2/v2.0/token", world.emulator.authority_url());
    world.emulator.inject(Fault::dropped(Endpoint::Token));
    for change in [ClientBuilder::http1_only as fn(_) -> _, |builder| builder] {
        let client = change(builder(&[world.emulator.ca_pem()])).build().unwrap();
        let request = client.post(&url).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(encode(&form(ORDERS, &assertion, VAULT_SCOPE)));
        let outcome = async { request.send().await?.bytes().await }.await;
        let error = outcome.expect_err("no answer");
        assert!(!error.is_timeout() && error.status().is_none(), "{error:?}");
    }
    assert!(world.emulator.exchanges().faulted >= 2);
}
