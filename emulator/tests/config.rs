//! Configurations that are refused, each with one readable line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use podbadge_emulator::{Emulator, config::Config};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT: &str = "22222222-2222-4222-8222-222222222222";

fn application(rest: &str) -> String {
    format!(
        "tenants: [{{ id: {TENANT} }}]\napplications: [{{ clientId: {CLIENT}, tenant: {TENANT}, name: a{rest} }}]\n"
    )
}

fn credential(name: &str, issuer: &str, subject: &str) -> String {
    format!("{{ name: '{name}', issuer: '{issuer}', subject: '{subject}' }}")
}

fn credentials(list: &[String]) -> String {
    application(&format!(", federatedCredentials: [{}]", list.join(", ")))
}

fn vault(rest: &str) -> String {
    format!("{}vaults: [{{ name: my-vault, tenant: {TENANT}{rest} }}]\n", application(""))
}

fn fault(fault: &str) -> String {
    format!("{}faults: [{{ on: token{fault} }}]\n", application(""))
}

#[test]
fn each_mistake_names_its_place_and_what_is_allowed() {
    let good = credential("abc", "https://issuer.example/", "s");
    let many: Vec<_> =
        (0..21).map(|i| credential(&format!("name-{i}"), "https://i.example", &format!("s{i}"))).collect();
    let guid = "must be a GUID such as 11111111-2222-3333-4444-555555555555";
    let cases = [
        ("tenants: []".into(), "tenants: at least one is needed"),
        ("{}".into(), "missing field `tenants`"),
        ("tenants: [".into(), "did not find expected node content at line 2"),
        ("tenants: [{ id: contoso }]".into(), &*format!("tenants[0].id: \"contoso\" {guid}")),
        (
            format!("tenants: [{{ id: {TENANT}, domains: [contoso] }}]"),
            "tenants[0].domains[0]: \"contoso\" must be a domain name",
        ),
        (
            format!("tenants: [{{ id: {TENANT} }}, {{ id: {TENANT} }}]"),
            "tenants: each id may stand once; number 2 repeats one",
        ),
        (format!("tenants: [{{ id: {TENANT} }}]\ntenant: 1"), "unknown field `tenant`"),
        (application(", clientSecret: x"), "applications[0]: unknown field `clientSecret`"),
        (
            application("").replace(&format!("tenant: {TENANT}"), &format!("tenant: {CLIENT}")),
            "applications[0].tenant: 22222222-2222-4222-8222-222222222222 is none of the tenants",
        ),
        (application("").replace("name: a", "name: ''"), "applications[0].name: \"\" must have 1 to 120 characters"),
        (
            credentials(&[credential("ab", "https://i.example", "s")]),
            "applications[0].federatedCredentials[0].name: \"ab\" must have 3 to 120 characters",
        ),
        (
            credentials(&[credential("abc", "http://i.example", "s")]),
            "federatedCredentials[0].issuer: \"http://i.example\" must be an https URL of at most 600 characters",
        ),
        (credentials(&[credential("abc", "https://i.example", &"s".repeat(601))]), "must have 1 to 600 characters"),
        (credentials(&many), "applications[0].federatedCredentials: has 21 entries, at most 20 are allowed"),
        (
            credentials(&[good.clone(), good.replace("'s'", "'t'")]),
            "applications[0].federatedCredentials: each name may stand once; number 2 repeats one",
        ),
        (credentials(&[good.clone(), good.replace("abc", "abcd")]), "each pair of issuer and subject may stand once"),
        (
            vault("").replace("my-vault", "1vault"),
            "vaults[0].name: \"1vault\" must be 3 to 24 letters, digits and single hyphens",
        ),
        (
            vault(&format!(", readers: [{TENANT}]")),
            "vaults[0].readers[0]: 11111111-1111-4111-8111-111111111111 is no application of tenant",
        ),
        (
            vault(", secrets: [{ name: a_b, versions: [{ value: x }] }]"),
            "vaults[0].secrets[0].name: \"a_b\" must be 1 to 127 letters, digits and hyphens",
        ),
        (vault(", secrets: [{ name: a, versions: [] }]"), "vaults[0].secrets[0].versions: at least one is needed"),
        (
            vault(", secrets: [{ name: a, versions: [{ value: x }] }, { name: A, versions: [{ value: x }] }]"),
            "vaults[0].secrets: each name may stand once",
        ),
        (vault(", secrets: [{ name: a, versions: [{ value: x, id: 7 }] }]"), "vaults[0].secrets[0].versions[0].id: "),
        (vault(", port: 0"), "vaults[0].port: "),
        (application("") + "tokenLifetimeSeconds: 1", "tokenLifetimeSeconds: \"1\" must be 2 to 86400 seconds"),
        (application("") + "tokenLifetimeSeconds: 86401", "must be 2 to 86400 seconds"),
        (
            application("") + "hosts: ['https://x']",
            "hosts[0]: \"https://x\" must be a DNS name or an IP address, without port",
        ),
        (
            application("") + "trustedCas: [nonsense]",
            "trustedCas[0]: \"nonsense\" must be one or more PEM certificates",
        ),
        (
            application("") + "resources: ['https://x/.default']",
            "resources[0]: \"https://x/.default\" must have 1 to 255 visible characters and must not end in /.default",
        ),
        (fault(""), "faults[0]: a fault needs one of status, drop and delayMilliseconds"),
        (fault(", status: 99"), "faults[0]: status must be 200 to 599, not 99"),
        (
            fault(", status: 500, drop: true"),
            "faults[0]: a fault with drop: true takes no status, retryAfterSeconds or body",
        ),
        (fault(", body: x"), "faults[0]: retryAfterSeconds and body need a status"),
        (fault(", status: 500, times: 0"), "faults[0]"),
        (fault("s, status: 500"), "unknown variant `tokens`"),
    ];
    for (yaml, expected) in cases {
        let error = Config::from_yaml(&yaml).expect_err(&yaml).to_string();
        assert!(error.contains(expected), "{yaml}\n{error}\nlacks\n{expected}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn what_does_not_fit_together_does_not_start() {
    let mut config = Config::from_yaml(&application("")).unwrap();
    config.applications.push(config.applications[0].clone());
    let error = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.err().expect("refused");
    assert_eq!(error.to_string(), "applications: each clientId may stand once; number 2 repeats one");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = Config::from_yaml(&application("")).unwrap();
    let error = Emulator::start(config, address).await.err().expect("refused");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let config = Config::from_yaml(&vault(", secrets: [{ name: a, versions: [{ value: hunter2 }] }]")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
