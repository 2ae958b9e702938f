//! Annotation values, one by one.

use podbadge_sidecar_core::ids::Invalid;
use podbadge_webhook_core::{
    annotation::{self, Reach, Sidecar},
    contract,
    denial::Denial,
    identity::{Identity, Namespace, ServiceAccount},
    pod::{Container, Pod},
    selection::Selection,
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
        client_id: Id::parse(GUID).map(Ok),
        tenant_id: Id::parse("contoso.onmicrosoft.com").map(Ok),
        expiration: Some(Ok(Expiration::parse("7200").unwrap())),
        sidecar: Some(Ok(Mode::Endpoint)),
        special: None,
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
        Identity::resolve(&Pod::default(), account, namespace, settings).map(|identity| identity.tenant_id.to_string())
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
        let expected = Sidecar { port: NonZeroU16::new(number), federation: false, reach: Reach::Endpoint };
        assert_eq!(port(value), Ok(Some(expected)), "{value:?}");
    }
    for value in ["", "0", "65536", "-1", "+80", " 80", "http", "8080/tcp"] {
        let denial = Denial::Port { value: value.to_owned() };
        assert_eq!(port(value), Err(denial), "{value:?}");
    }
}

#[test]
fn who_decides_on_the_sidecar() {
    // Whether applications get the token too, and whether there is redirection.
    let endpoint = Some((false, false));
    let compatible = Some((true, false));
    let redirect = Some((false, true));
    // The pod's mode, the pod's inject-proxy-sidecar, the account's mode; empty is absent.
    for (mode, inject, account, expected) in [
        ("", "", "", None),
        ("", "", "endpoint", endpoint),
        ("", "", "none", None),
        ("", "", "redirect", redirect),
        ("", "true", "", compatible),
        ("", "true", "endpoint", compatible),
        ("", "true", "none", compatible),
        ("", "false", "endpoint", None),
        ("", "True", "", None),
        ("", "True", "endpoint", endpoint),
        ("endpoint", "false", "none", endpoint),
        ("endpoint", "true", "wrong", endpoint),
        ("none", "true", "endpoint", None),
        ("redirect", "", "none", redirect),
        ("redirect", "true", "none", redirect),
    ] {
        let annotations = [(contract::SIDECAR, mode), (contract::INJECT_PROXY_SIDECAR, inject)];
        let annotations: Vec<_> = annotations.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let actual = sidecar(&annotations, account).unwrap();
        let actual = actual.map(|sidecar| (sidecar.federation, redirects(sidecar)));
        assert_eq!(actual, expected, "{mode:?} {inject:?} {account:?}");
    }
}

#[test]
fn the_operators_mode_and_the_namespaces_level_decide_on_redirection() {
    let asked = |mode, level: Option<&str>, unlabelled, host_network| {
        let mut pod = pod(&[(contract::INJECT_PROXY_SIDECAR, "true")]);
        pod.spec.host_network = host_network;
        let namespace = Namespace::read(level.map(|level| (contract::POD_SECURITY_ENFORCE, level)), []);
        let mut settings = Settings::default();
        settings.sidecar.mode = mode;
        settings.sidecar.unlabelled = unlabelled;
        annotation::sidecar(&pod, &ServiceAccount::default(), &namespace, &settings, &mut Vec::new())
            .unwrap()
            .unwrap()
            .reach
    };
    use podbadge_webhook_core::{
        identity::PodSecurity::{Baseline, Privileged, Restricted},
        settings::DefaultMode::{Auto, Endpoint, Redirect},
    };
    for (mode, level, unlabelled, host_network, expected) in [
        (Auto, Some("privileged"), None, false, Reach::Redirect(Some(Privileged))),
        (Auto, Some("baseline"), Some(Privileged), false, Reach::Fallback(Some(Baseline))),
        (Auto, Some("restricted"), None, false, Reach::Fallback(Some(Restricted))),
        (Auto, Some("sideways"), None, false, Reach::Fallback(Some(Restricted))),
        (Auto, None, None, false, Reach::Fallback(None)),
        (Auto, None, Some(Baseline), false, Reach::Fallback(None)),
        (Auto, None, Some(Privileged), false, Reach::Redirect(None)),
        (Auto, Some("privileged"), None, true, Reach::Endpoint),
        (Endpoint, Some("privileged"), None, false, Reach::Endpoint),
        (Redirect, Some("restricted"), None, false, Reach::Redirect(Some(Restricted))),
        (Redirect, None, None, false, Reach::Redirect(None)),
    ] {
        assert_eq!(asked(mode, level, unlabelled, host_network), expected, "{mode:?} {level:?} {unlabelled:?}");
    }
}

#[test]
fn a_pods_own_identity_is_one_that_its_account_allows() {
    const OTHER: &str = "5b2e3f4d-6c7f-4e8b-9dac-1b2c3d4e5f60";
    const THIRD: &str = "6c3f4a5e-7d80-4f9c-aebd-2c3d4e5f6a71";
    let chosen = |own: &str, allowed: Option<&str>| {
        let account = [(contract::CLIENT_ID, GUID), (contract::TENANT_ID, "contoso.onmicrosoft.com")];
        let allowed = allowed.map(|list| (contract::ALLOWED_CLIENT_IDS, list));
        let account = ServiceAccount::from_annotations(account.into_iter().chain(allowed));
        let pod = pod(&[(contract::POD_CLIENT_ID, own)]);
        let (namespace, settings) = (Namespace::default(), Settings::default());
        let identity = Identity::resolve(&pod, &account, &namespace, &settings)?;
        let allowed = identity.allowed.map(|allowed| allowed.to_string());
        Ok((identity.client_id.unwrap().to_string(), allowed))
    };
    let list = format!("{OTHER};{THIRD}");
    let whole = Some([GUID, OTHER, THIRD].join(";"));
    assert_eq!(chosen(OTHER, Some(&list)), Ok((OTHER.to_owned(), whole.clone())));
    assert_eq!(chosen(&OTHER.to_uppercase(), Some(&list)), Ok((OTHER.to_owned(), whole.clone())));
    // The account's own is allowed in any case.
    assert_eq!(chosen(GUID, Some(&list)), Ok((GUID.to_owned(), whole)));
    assert_eq!(chosen(GUID, None), Ok((GUID.to_owned(), None)));
    for list in [None, Some(THIRD)] {
        let denial = Denial::NotAllowed { client_id: OTHER.parse().unwrap() };
        assert_eq!(chosen(OTHER, list), Err(denial), "{list:?}");
    }
    let denial = Denial::PodClientId { value: "web".to_owned(), rule: Invalid::ClientId };
    assert_eq!(chosen("web", Some(&list)), Err(denial));
}

#[test]
fn a_skip_list_of_any_length_costs_little_and_warns_little() {
    let list = (0..100_000).map(|index| format!("n{index};")).collect::<String>();
    let pod = pod(&[(contract::SKIP_CONTAINERS, &list)]);
    let mut warnings = Vec::new();
    let selection = Selection::of(&pod).unwrap();
    selection.warn(&pod, &mut warnings);
    assert_eq!(warnings.len(), warning::MOST + 1);
    // One by one through the list, this would be ten thousand million comparisons.
    assert!((0..100_000).all(|index| selection.skips(&format!("n{index}"))));
}

#[test]
fn skip_lists() {
    let skips = |list: &str, name: &str| Selection::of(&pod(&[(contract::SKIP_CONTAINERS, list)])).unwrap().skips(name);
    for list in ["web", " web ", "a;web", "web;", ";;\tweb\n;b", "w*", "*", "w?b", "x;*b"] {
        assert!(skips(list, "web"), "{list:?}");
    }
    for list in ["", ";", "web,b", "Web", "web b", "we", "w?", "*x", "??"] {
        assert!(!skips(list, "web"), "{list:?}");
    }
    assert!(!skips(";", ""));
}

#[test]
fn an_include_list_wins() {
    for (include, skip, skipped) in [
        ("web", "web", false),
        ("we*", "web", false),
        ("other", "", true),
        ("", "web", true),
        (" ; ", "web", true),
        ("", "", false),
    ] {
        let pod = pod(&[(contract::INCLUDE_CONTAINERS, include), (contract::SKIP_CONTAINERS, skip)]);
        assert_eq!(Selection::of(&pod).unwrap().skips("web"), skipped, "{include:?} {skip:?}");
    }
}

#[test]
fn patterns_are_few() {
    let list = |count| vec!["a*"; count].join(";");
    for (count, expected) in [(32, None), (33, Some(33))] {
        let list = list(count);
        let denial = Selection::of(&pod(&[(contract::INCLUDE_CONTAINERS, &list)])).err();
        let expected = expected.map(|patterns| Denial::Patterns { key: contract::INCLUDE_CONTAINERS, patterns });
        assert_eq!(denial, expected);
    }
}

#[test]
fn containers_are_no_more_than_a_pod_has() {
    let mut many = pod(&[]);
    many.spec.containers = vec![Container::default(); 1_000];
    assert!(Selection::of(&many).is_ok());
    many.spec.ephemeral_containers = Some(vec![Container::default()]);
    let denial = Selection::of(&many).unwrap_err();
    assert_eq!(denial.to_string(), "the pod has 1001 containers; at most 1000 can be given an identity");
}

fn redirects(sidecar: Sidecar) -> bool {
    matches!(sidecar.reach, Reach::Redirect(_))
}

fn sidecar(annotations: &[(&str, &str)], account: &str) -> Result<Option<Sidecar>, Denial> {
    let mode = [(contract::SIDECAR, account)];
    let account = ServiceAccount::from_annotations(mode.into_iter().filter(|(_, value)| !value.is_empty()));
    let (namespace, settings) = (Namespace::default(), Settings::default());
    annotation::sidecar(&pod(annotations), &account, &namespace, &settings, &mut Vec::new())
}

fn pod<'a>(annotations: &[(&'a str, &'a str)]) -> Pod<'a> {
    let mut pod = Pod::default();
    pod.metadata.annotations = annotations.iter().copied().collect();
    pod
}
