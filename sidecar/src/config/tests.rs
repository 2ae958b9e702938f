use std::collections::BTreeMap;

use super::*;

const TENANT: &str = "22222222-2222-3333-4444-555555555555";

fn read(more: &[(&str, &str)]) -> Result<Config, Wrong> {
    let mut vars: BTreeMap<&str, &str> =
        [("AZURE_TENANT_ID", TENANT), ("AZURE_FEDERATED_TOKEN_FILE", "/tokens/t")].into();
    vars.extend(more.iter().copied());
    Config::from_vars(&|name| vars.get(name).map(OsString::from))
}

#[test]
fn defaults() {
    let config = read(&[]).expect("valid");
    assert_eq!((config.port, config.level), (8000, logs::Level::Info));
    assert_eq!(config.entra.authority.as_str(), "https://login.microsoftonline.com/");
    assert!(config.policy.client_id.is_none() && config.policy.identity_header.is_none());
    assert!(config.entra.proxy.is_none() && config.entra.roots.is_empty());
    assert_eq!(config.entra.spreading, Duration::from_secs(120));
}

#[test]
fn empty_is_unset() {
    let empty = [
        "AZURE_CLIENT_ID",
        "AZURE_AUTHORITY_HOST",
        "PODBADGE_PORT",
        "PODBADGE_IDENTITY_HEADER",
        "PODBADGE_ALLOWED_CLIENT_IDS",
        "PODBADGE_IDENTITY_MAP",
        "PODBADGE_IMDS",
        "PODBADGE_CA_FILE",
        "PODBADGE_CA_DATA",
        "PODBADGE_CREDENTIAL_SPREADING_SECONDS",
        "PODBADGE_MAX_TOKEN_AGE_SECONDS",
        "PODBADGE_METRICS_ADDRESS",
        "PODBADGE_READY_RESOURCE",
        "AZURE_REGIONAL_AUTHORITY_NAME",
        "PODBADGE_PASS_THROUGH",
        "PODBADGE_LOG",
        "HTTPS_PROXY",
    ];
    let config = read(&empty.map(|name| (name, ""))).expect("valid");
    assert!(config.policy.identity_header.is_none() && config.port == 8000);
    assert!(config.policy.allowed_client_ids.is_none() && config.policy.identity_map.is_empty());
}

#[test]
fn a_region_has_its_own_host() {
    let config = read(&[("AZURE_REGIONAL_AUTHORITY_NAME", "westeurope")]).expect("valid");
    assert_eq!(config.entra.authority.as_str(), "https://westeurope.login.microsoft.com/");
}

#[test]
fn the_metadata_service_is_not_read_where_nobody_may_ask() {
    let paths = ("PODBADGE_PASS_THROUGH", "/metadata/instance");
    assert!(read(&[paths]).expect("valid").pass_through.is_some() && read(&[]).expect("valid").pass_through.is_none());
    let error = read(&[paths, ("PODBADGE_IMDS", "off")]).expect_err("wrong").to_string();
    assert!(error.ends_with("it must not be set where PODBADGE_IMDS is off"), "{error}");
}

#[test]
fn identities() {
    let id = "11111111-2222-3333-4444-555555555555";
    let map = format!(r#"{{"/a": {{"clientId": "{id}", "tenantId": "{TENANT}"}}}}"#);
    let config = read(&[("PODBADGE_ALLOWED_CLIENT_IDS", id), ("PODBADGE_IDENTITY_MAP", &map)]).expect("valid");
    let id = id.parse().expect("a GUID");
    assert!(config.policy.allowed_client_ids.expect("a list").contains(id));
    assert_eq!(config.policy.identity_map.by_resource_id(&"/A".parse().expect("a resource id")), Some(id));
}

#[test]
fn a_long_wrong_value_is_cut() {
    let map = format!(r#"{{"x": "{}"}}"#, "y".repeat(100_000));
    let error = read(&[("PODBADGE_IDENTITY_MAP", &map)]).expect_err("wrong").to_string();
    assert!(error.len() < 600 && error.contains("yyy…\" is wrong"), "{error}");
}

#[test]
fn every_wrong_value_is_named_with_its_range() {
    let folder = tempfile::tempdir().expect("a folder");
    let no_pem = folder.path().join("ca.crt");
    std::fs::write(&no_pem, "hello").expect("written");
    let broken = folder.path().join("broken.crt");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
    let long = folder.path().join("long.crt");
    std::fs::write(&long, vec![b'\n'; 1024 * 1024 + 1]).expect("written");
    let long = long.to_string_lossy().into_owned();
    let (no_pem, broken) = (no_pem.to_string_lossy().into_owned(), broken.to_string_lossy().into_owned());
    for (variable, value, part) in [
        ("AZURE_TENANT_ID", "", "is not set: it must be the tenant's GUID or domain name"),
        ("AZURE_TENANT_ID", "a/b", "=\"a/b\" is wrong: it must be a GUID or a domain name"),
        ("AZURE_FEDERATED_TOKEN_FILE", "", "is not set: it must be the path"),
        ("AZURE_CLIENT_ID", "my-app", "=\"my-app\" is wrong: it must be a GUID"),
        ("PODBADGE_ALLOWED_CLIENT_IDS", ";", "it must be client ids separated by semicolons or commas, at least one"),
        ("PODBADGE_ALLOWED_CLIENT_IDS", "a;b", "the entry \"a\" must be a GUID such as 1111"),
        ("PODBADGE_IDENTITY_MAP", "[]", "it must be a JSON object such as"),
        ("PODBADGE_IDENTITY_MAP", r#"{"a": "b"}"#, "\"a\" is none"),
        ("PODBADGE_IDENTITY_MAP", r#"{"/a": 1}"#, "at the key \"/a\": invalid type: integer `1`"),
        ("PODBADGE_IDENTITY_MAP", "{\n}\n}", "trailing characters"),
        ("AZURE_AUTHORITY_HOST", "http://login.microsoftonline.com", "must be an https URL"),
        ("AZURE_AUTHORITY_HOST", "login.microsoftonline.com", "must be an https URL"),
        ("AZURE_AUTHORITY_HOST", "https://x/?y", "must be an https URL"),
        ("AZURE_AUTHORITY_HOST", "https://", "must be an https URL"),
        ("PODBADGE_PORT", "0", "=\"0\" is wrong: it must be a port from 1 to 65535"),
        ("PODBADGE_PORT", "65536", "from 1 to 65535"),
        ("PODBADGE_PORT", "http", "from 1 to 65535"),
        ("PODBADGE_PORT", "-1", "from 1 to 65535"),
        ("PODBADGE_PORT", "+8000", "from 1 to 65535"),
        ("PODBADGE_PORT", " 8000", "from 1 to 65535"),
        ("PODBADGE_IMDS", "Off", "must be on or off"),
        ("PODBADGE_CREDENTIAL_SPREADING_SECONDS", "3601", "must be 0 to 3600 seconds"),
        ("PODBADGE_CREDENTIAL_SPREADING_SECONDS", "+1", "must be 0 to 3600 seconds"),
        ("PODBADGE_CREDENTIAL_SPREADING_SECONDS", "2m", "must be 0 to 3600 seconds"),
        ("PODBADGE_MAX_TOKEN_AGE_SECONDS", "299", "must be 300 to 86400 seconds"),
        ("PODBADGE_MAX_TOKEN_AGE_SECONDS", "86401", "must be 300 to 86400 seconds"),
        ("PODBADGE_METRICS_ADDRESS", "8096", "must be an IP address and a port such as 0.0.0.0:8096"),
        ("PODBADGE_METRICS_ADDRESS", "localhost:8096", "must be an IP address"),
        ("PODBADGE_READY_RESOURCE", "a b", "visible characters"),
        ("PODBADGE_READY_RESOURCE", "https://vault.azure.net", "needs AZURE_CLIENT_ID"),
        ("AZURE_REGIONAL_AUTHORITY_NAME", "TryAutoDetect", "it is not detected"),
        ("PODBADGE_PASS_THROUGH", "/metadata/identity", "never /metadata/identity"),
        ("PODBADGE_LOG", "loud", "must be error, warn, info, debug or trace"),
        ("PODBADGE_CA_FILE", "/no/such/file", "No such file"),
        ("PODBADGE_CA_FILE", "/dev/zero", "not a regular file"),
        ("PODBADGE_CA_FILE", &long, "more than 1048576 bytes"),
        ("PODBADGE_CA_FILE", &no_pem, "it has none"),
        ("PODBADGE_CA_FILE", &broken, "readable file of PEM certificates"),
    ] {
        let error = read(&[(variable, value)]).expect_err(variable).to_string();
        assert!(error.starts_with(variable) && error.contains(part) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn wrong_values_that_may_be_secrets_are_not_shown() {
    for (variable, value) in [
        ("PODBADGE_IDENTITY_HEADER", "hunter two"),
        ("PODBADGE_IDENTITY_HEADER", "hunterü"),
        ("HTTPS_PROXY", "socks5://user:hunter@proxy:1"),
        ("AZURE_AUTHORITY_HOST", "https://user:hunter@x/"),
    ] {
        let error = read(&[(variable, value)]).expect_err(variable).to_string();
        assert!(error.starts_with(&format!("{variable} is wrong")) && !error.contains("hunter"), "{error}");
    }
    let config = read(&[("PODBADGE_IDENTITY_HEADER", "hunter")]).expect("valid");
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn a_custom_token_endpoint() {
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate").cert.pem();
    let (url, name) =
        (("AZURE_KUBERNETES_TOKEN_PROXY", "https://10.0.0.1/t"), ("AZURE_KUBERNETES_SNI_NAME", "t.example"));
    assert!(read(&[]).expect("valid").entra.token_proxy.is_none());
    let bare = read(&[url]).expect("valid").entra.token_proxy.expect("an endpoint");
    assert!(matches!(bare.roots, Roots::Authority));
    assert_eq!((bare.named_url(), bare.url.as_str()), (bare.url.clone(), url.1));
    let whole = read(&[url, name, ("AZURE_KUBERNETES_CA_DATA", &ca)]).expect("valid").entra.token_proxy;
    let whole = whole.expect("an endpoint");
    assert!(matches!(&whole.roots, Roots::Data(roots) if roots.len() == 1));
    assert_eq!(whole.named_url().as_str(), "https://t.example/t");
}

#[test]
fn wrong_settings_of_a_custom_token_endpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).expect("a certificate").cert.pem();
    let (good, empty, words) = (path("good", &ca), path("empty", ""), path("words", "hello"));
    const URL: (&str, &str) = ("AZURE_KUBERNETES_TOKEN_PROXY", "https://10.0.0.1:8443/t");
    const NAME: (&str, &str) = ("AZURE_KUBERNETES_SNI_NAME", "t.example");
    const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://proxy.example:3128");
    const FILE: &str = "AZURE_KUBERNETES_CA_FILE";
    const DATA: &str = "AZURE_KUBERNETES_CA_DATA";
    let url = |value| (URL.0, value);
    for (vars, variable, part) in [
        (&[NAME][..], NAME.0, "must not be set without AZURE_KUBERNETES_TOKEN_PROXY"),
        (&[url(""), NAME], NAME.0, "must not be set without AZURE_KUBERNETES_TOKEN_PROXY"),
        (&[(FILE, &good)], FILE, "must not be set without AZURE_KUBERNETES_TOKEN_PROXY"),
        (&[(DATA, &ca)], DATA, "must not be set without AZURE_KUBERNETES_TOKEN_PROXY"),
        (&[url("http://10.0.0.1/")], URL.0, "must be an https URL without user, query and fragment, such as"),
        (&[url("10.0.0.1:443")], URL.0, "must be an https URL"),
        (&[url("https://u:p@10.0.0.1/")], URL.0, "(its value is not shown): it must be an https URL"),
        (&[url("https://10.0.0.1/?x=y")], URL.0, "must be an https URL"),
        (&[url("https://10.0.0.1/#x")], URL.0, "must be an https URL"),
        (&[URL, (FILE, &good), (DATA, &ca)], DATA, "must not be set beside AZURE_KUBERNETES_CA_FILE"),
        (&[URL, (FILE, "/no/such/file")], FILE, "must name a readable file of PEM certificates (No such file"),
        (&[URL, (FILE, &empty)], FILE, "(it has none)"),
        (&[URL, (FILE, &words)], FILE, "(it has none)"),
        (&[URL, (DATA, "hello")], DATA, "must be certificates in PEM (it has none)"),
        (
            &[URL, (DATA, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")],
            DATA,
            "must be certificates",
        ),
        (&[URL, (NAME.0, "10.0.0.2")], NAME.0, "must be a DNS name"),
        (&[URL, (NAME.0, "0x7f.1")], NAME.0, "must be a DNS name"),
        (&[URL, (NAME.0, "a b")], NAME.0, "must be a DNS name"),
        (&[URL, (NAME.0, "t.example:443")], NAME.0, "must be a DNS name"),
        (&[URL, NAME, PROXY], NAME.0, "cannot be kept through HTTPS_PROXY: add 10.0.0.1 to NO_PROXY"),
        (&[URL, NAME, PROXY, ("NO_PROXY", "10.1.0.0/16,t.example")], NAME.0, "add 10.0.0.1 to NO_PROXY"),
    ] {
        let error = read(vars).expect_err(variable).to_string();
        assert!(error.starts_with(variable) && error.contains(part) && !error.contains('\n'), "{error}");
    }
    for (vars, through) in [
        (&[URL, (FILE, &good)][..], false),
        (&[URL, PROXY], true),
        (&[URL, NAME, PROXY, ("NO_PROXY", "10.0.0.0/8")], false),
        (&[URL, NAME, PROXY, ("no_proxy", "10.0.0.1")], false),
        (&[url("https://127.0.0.1:1/"), NAME, PROXY], false),
        (&[url("https://tokens.example/"), PROXY, ("NO_PROXY", "other.example")], true),
    ] {
        let config = read(vars).expect("valid");
        assert_eq!(config.entra.proxy.is_some(), through, "{vars:?}");
    }
}

#[test]
fn a_proxy_serves_the_authority_unless_it_is_on_loopback() {
    for (authority, expected) in [
        ("https://login.microsoftonline.com/", true),
        ("https://127.0.0.1:8443/", false),
        ("https://[::1]:8443/", false),
        ("https://localhost:8443/", false),
        ("https://entra.localhost:8443/", false),
    ] {
        for name in ["HTTPS_PROXY", "https_proxy"] {
            for proxy in ["http://proxy.example:3128", "proxy.example:3128", "https://proxy.example"] {
                let config = read(&[("AZURE_AUTHORITY_HOST", authority), (name, proxy)]).expect("valid");
                assert_eq!(config.entra.proxy.is_some(), expected, "{authority} {name}={proxy}");
            }
        }
    }
}
