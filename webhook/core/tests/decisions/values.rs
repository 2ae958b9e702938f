//! Annotation values, one by one.

use podbadge_webhook_core::{
    annotation::{self, Sidecar, Skip},
    contract,
    denial::{Denial, Place},
    identity::{Identity, Namespace, ServiceAccount},
    pod::Pod,
    settings::Settings,
    value::{Expiration, Id, Mode},
    warning,
};
use std::num::NonZeroU16;

const GUID: &str = "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f";

#[test]
fn lifetimes() {
    for (value, seconds) in [("3600", 3600), ("86400", 86400), ("07200", 7200), ("5000", 5000)] {
        assert_eq!(Expiration::parse(value).map(Expiration::seconds), Some(seconds), "{value:?}");
    }
    for value in [
        "",
        " ",
        "0",
        "3599",
        "86401",
        "-3600",
        "+3600",
        " 3600",
        "3600 ",
        "3600\n",
        "3600s",
        "1h",
        "3600.0",
        "3.6e3",
        "0x1000",
        "٣٦٠٠",
        "４０００",
        "4294970896",
        "18446744073709555216",
        "99999999999999999999999",
    ] {
        assert_eq!(Expiration::parse(value), None, "{value:?}");
    }
}

#[test]
fn modes() {
    assert_eq!(Mode::parse("endpoint"), Some(Mode::Endpoint));
    assert_eq!(Mode::parse("redirect"), Some(Mode::Redirect));
    assert_eq!(Mode::parse("none"), Some(Mode::None));
    for value in ["", "Endpoint", " endpoint", "true", "false", "auto", "endpoint,redirect"] {
        assert_eq!(Mode::parse(value), None, "{value:?}");
    }
}

#[test]
fn ids() {
    for (value, text, guid) in [
        (GUID, GUID, true),
        (" 4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f\n", GUID, true),
        ("4A1D2F3C-5B6E-4D7A-8C9B-0A1B2C3D4E5F", "4A1D2F3C-5B6E-4D7A-8C9B-0A1B2C3D4E5F", true),
        ("{4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f}", "{4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f}", false),
        ("4a1d2f3c5b6e4d7a8c9b0a1b2c3d4e5f", "4a1d2f3c5b6e4d7a8c9b0a1b2c3d4e5f", false),
        ("4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5g", "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5g", false),
        ("contoso.onmicrosoft.com", "contoso.onmicrosoft.com", false),
    ] {
        let id = Id::parse(value).unwrap();
        assert_eq!((id.to_string().as_str(), id.is_guid()), (text, guid), "{value:?}");
    }
    for value in ["", " ", "\t\n"] {
        assert_eq!(Id::parse(value), None, "{value:?}");
    }
}

#[test]
fn service_accounts() {
    let account = ServiceAccount::from_annotations([
        (contract::CLIENT_ID, GUID),
        (contract::TENANT_ID, "contoso.onmicrosoft.com"),
        (contract::TOKEN_EXPIRATION, "7200"),
        (contract::SIDECAR, "endpoint"),
        ("azure.workload.identity/client_id", "a typing error"),
        ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
    ]);
    let expected = ServiceAccount {
        client_id: Id::parse(GUID),
        tenant_id: Id::parse("contoso.onmicrosoft.com"),
        expiration: Some(Ok(Expiration::parse("7200").unwrap())),
        sidecar: Some(Ok(Mode::Endpoint)),
    };
    assert_eq!(account, expected);
    assert!(!account.is_empty());
    let empty = [(contract::CLIENT_ID, ""), (contract::TENANT_ID, " "), (contract::TOKEN_EXPIRATION, "")];
    assert!(ServiceAccount::from_annotations(empty).is_empty());
    assert!(Namespace::read([], empty).is_empty());
    assert!(!Namespace::read([], [(contract::TENANT_ID, "t")]).is_empty());
}

#[test]
fn a_wrong_value_of_an_account_is_kept_short_enough_to_be_named() {
    let account = ServiceAccount::from_annotations([(contract::TOKEN_EXPIRATION, &*"ä".repeat(100_000))]);
    let kept = account.expiration.unwrap().unwrap_err();
    assert_eq!(*kept, *format!("{}…", "ä".repeat(32)));
}

#[test]
fn tenants_by_precedence() {
    let by_account = ServiceAccount::from_annotations([(contract::TENANT_ID, "account")]);
    let by_namespace = Namespace::read([], [(contract::TENANT_ID, "namespace")]);
    let by_operator = Settings { tenant_id: Some("operator".to_owned()), ..Settings::default() };
    let (account, namespace, settings) = (ServiceAccount::default(), Namespace::default(), Settings::default());
    let tenant = |account, namespace, settings| {
        Identity::resolve(account, namespace, settings).map(|identity| identity.tenant_id.to_string())
    };
    assert_eq!(tenant(&by_account, &by_namespace, &by_operator).as_deref(), Ok("account"));
    assert_eq!(tenant(&account, &by_namespace, &by_operator).as_deref(), Ok("namespace"));
    assert_eq!(tenant(&account, &namespace, &by_operator).as_deref(), Ok("operator"));
    assert_eq!(tenant(&account, &namespace, &settings), Err(Denial::NoTenant));
}

#[test]
fn ports() {
    let port = |value: &str| sidecar(&[(contract::SIDECAR, "endpoint"), (contract::PROXY_SIDECAR_PORT, value)], "");
    for (value, number) in [("1", 1), ("8080", 8080), ("65535", 65535), ("080", 80)] {
        let expected = Sidecar { port: NonZeroU16::new(number).unwrap(), federation: false };
        assert_eq!(port(value), Ok(Some(expected)), "{value:?}");
    }
    for value in ["", "0", "65536", "-1", "+80", " 80", "http", "8080/tcp"] {
        let denial = Denial::Port { value: value.to_owned() };
        assert_eq!(port(value), Err(denial), "{value:?}");
    }
}

#[test]
fn who_decides_on_the_sidecar() {
    let endpoint = Ok(Some(false));
    let compatible = Ok(Some(true));
    let redirect = |place| Err(Denial::Redirect { place });
    // The pod's mode, the pod's inject-proxy-sidecar, the account's mode; empty is absent.
    for (mode, inject, account, expected) in [
        ("", "", "", Ok(None)),
        ("", "", "endpoint", endpoint.clone()),
        ("", "", "none", Ok(None)),
        ("", "", "redirect", redirect(Place::ServiceAccount)),
        ("", "true", "", compatible.clone()),
        ("", "true", "endpoint", compatible.clone()),
        ("", "true", "none", compatible),
        ("", "false", "endpoint", Ok(None)),
        ("", "True", "", Ok(None)),
        ("", "True", "endpoint", endpoint.clone()),
        ("endpoint", "false", "none", endpoint.clone()),
        ("endpoint", "true", "wrong", endpoint),
        ("none", "true", "endpoint", Ok(None)),
        ("redirect", "", "none", redirect(Place::Pod)),
    ] {
        let annotations = [(contract::SIDECAR, mode), (contract::INJECT_PROXY_SIDECAR, inject)];
        let annotations: Vec<_> = annotations.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let actual = sidecar(&annotations, account).map(|sidecar| sidecar.map(|sidecar| sidecar.federation));
        assert_eq!(actual, expected, "{mode:?} {inject:?} {account:?}");
    }
}

#[test]
fn a_skip_list_of_any_length_costs_little_and_warns_little() {
    let list = (0..100_000).map(|index| format!("n{index};")).collect::<String>();
    let pod = pod(&[(contract::SKIP_CONTAINERS, &list)]);
    let mut warnings = Vec::new();
    let skip = Skip::of(&pod);
    skip.warn(&pod, &mut warnings);
    assert_eq!(warnings.len(), warning::MOST + 1);
    // One by one through the list, this would be ten thousand million comparisons.
    assert!((0..100_000).all(|index| skip.contains(&format!("n{index}"))));
}

#[test]
fn skip_lists() {
    let skips = |list: &str, name: &str| Skip::of(&pod(&[(contract::SKIP_CONTAINERS, list)])).contains(name);
    for list in ["web", " web ", "a;web", "web;", ";;\tweb\n;b"] {
        assert!(skips(list, "web"), "{list:?}");
    }
    for list in ["", ";", "web,b", "Web", "web b", "we"] {
        assert!(!skips(list, "web"), "{list:?}");
    }
    assert!(!skips(";", ""));
}

fn sidecar(annotations: &[(&str, &str)], account: &str) -> Result<Option<Sidecar>, Denial> {
    let mode = [(contract::SIDECAR, account)];
    let account = ServiceAccount::from_annotations(mode.into_iter().filter(|(_, value)| !value.is_empty()));
    annotation::sidecar(&pod(annotations), &account, &mut Vec::new())
}

fn pod<'a>(annotations: &[(&'a str, &'a str)]) -> Pod<'a> {
    let mut pod = Pod::default();
    pod.metadata.annotations = annotations.iter().copied().collect();
    pod
}
