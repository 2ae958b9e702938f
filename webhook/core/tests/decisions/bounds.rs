//! How long values may be that are kept of service accounts and namespaces.

use podbadge_sidecar_core::identity::{AllowedClientIds, IdentityMap, MOST};
use podbadge_webhook_core::{
    contract,
    denial::Denial,
    identity::{Identity, Namespace, ServiceAccount},
    pod::Pod,
    settings::Settings,
};
use proptest::prelude::*;
use std::fmt::Write as _;

const GUID: &str = "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f";

/// All keys of service accounts whose values are kept as they are written, with the longest.
const KEYS: [(&str, usize); 6] = [
    (contract::CLIENT_ID, 256),
    (contract::TENANT_ID, 256),
    (contract::ALLOWED_CLIENT_IDS, 16_384),
    (contract::IDENTITY_MAP, 65_536),
    (contract::AUDIENCE, 1_024),
    (contract::AUTHORITY_HOST, 1_024),
];

/// What is right for the key, as long as that.
fn of_length(key: &str, length: usize) -> String {
    match key {
        contract::ALLOWED_CLIENT_IDS => format!("{GUID}{}", ";".repeat(length - GUID.len())),
        contract::IDENTITY_MAP => format!("{{{}}}", " ".repeat(length - 2)),
        contract::AUTHORITY_HOST => format!("{:length$}", "https://login.example/"),
        _ => "a".repeat(length),
    }
}

fn resolve(account: &[(&str, &str)], namespace: &[(&str, &str)]) -> Result<(), String> {
    let account = ServiceAccount::from_annotations(account.iter().copied());
    let namespace = Namespace::read([], namespace.iter().copied());
    let settings = Settings { tenant_id: Some("contoso.onmicrosoft.com".to_owned()), ..Settings::default() };
    let identity = Identity::resolve(&Pod::default(), &account, &namespace, &settings);
    identity.map(drop).map_err(|denial| denial.to_string())
}

#[test]
fn a_value_that_is_too_long_is_refused_and_named() {
    for (key, longest) in KEYS {
        assert_eq!(contract::longest(key), longest, "{key}");
        assert_eq!(resolve(&[(key, &of_length(key, longest))], &[]), Ok(()), "{key}");
        let value = of_length(key, longest + 1);
        let length = longest + 1;
        let rest = format!("it must be no longer than {longest} bytes, and has {length}");
        let told = format!("annotation {key} is {:?}; {rest}", format!("{}…", &value[..64]));
        assert_eq!(resolve(&[(key, &value)], &[]), Err(format!("service account {told}")));
        if matches!(key, contract::CLIENT_ID | contract::TENANT_ID) {
            assert_eq!(resolve(&[], &[(key, &value)]), Err(format!("namespace {told}")));
            // What does not count is not judged, as with any wrong value.
            assert_eq!(resolve(&[(key, GUID)], &[(key, &value)]), Ok(()));
            // Nor does it let what stands behind it count.
            assert_eq!(resolve(&[(key, &value)], &[(key, GUID)]), Err(format!("service account {told}")));
        }
    }
}

#[test]
fn a_pods_own_client_id_is_bounded_alike() {
    let value = "a".repeat(257);
    let json = serde_json::json!({ "metadata": { "annotations": { contract::POD_CLIENT_ID: value } } }).to_string();
    let pod = Pod::from_json(json.as_bytes()).unwrap();
    let (account, namespace, settings) = (ServiceAccount::default(), Namespace::default(), Settings::default());
    let denial: Denial = Identity::resolve(&pod, &account, &namespace, &settings).unwrap_err();
    let told = format!(
        "pod annotation podbadge.io/client-id is \"{}…\"; it must be no longer than 256 bytes, and has 257",
        &value[..64]
    );
    assert_eq!(denial.to_string(), told);
}

/// A resource id as Azure writes it, with names of thirty letters.
fn resource_id(number: usize) -> String {
    let resource_group = format!("rg-payments-production-eu-{number:04}");
    let name = format!("id-payments-production-eu-{number:04}");
    format!(
        "/subscriptions/{GUID}/resourcegroups/{resource_group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

#[test]
fn as_many_entries_as_there_may_be_fit() {
    let mut list = String::new();
    let mut map = serde_json::Map::new();
    for number in 0..MOST {
        let client_id = format!("{number:08x}{}", &GUID[8..]);
        write!(list, "{client_id};\n            ").unwrap();
        map.insert(resource_id(number), client_id.into());
    }
    let map = serde_json::Value::from(map).to_string();
    assert!(list.parse::<AllowedClientIds>().is_ok() && map.parse::<IdentityMap>().is_ok());
    let annotations = [(contract::ALLOWED_CLIENT_IDS, list.as_str()), (contract::IDENTITY_MAP, map.as_str())];
    assert_eq!(resolve(&annotations, &[]), Ok(()));
    assert!(resource_id(0).len() >= 185, "{}", resource_id(0).len());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// What is kept is no longer than what may be meant, whatever the annotations hold.
    #[test]
    fn what_is_kept_is_bounded(lengths in prop::collection::vec(0..256 * 1024_usize, 8)) {
        let keys = KEYS.iter().map(|(key, _)| *key).chain([contract::TOKEN_EXPIRATION, contract::SIDECAR]);
        let values: Vec<_> = keys.zip(lengths).map(|(key, length)| (key, "x".repeat(length))).collect();
        let pairs = || values.iter().map(|(key, value)| (*key, value.as_str()));
        let may: usize = values.iter().map(|(key, value)| {
            let longest = contract::longest(key);
            if value.len() > longest { 256 } else { value.len() + 64 }
        }).sum();
        let kept = format!("{:?}", ServiceAccount::from_annotations(pairs())).len();
        prop_assert!(kept <= may + 512, "{kept} of {may}");
        let kept = format!("{:?}", Namespace::read([], pairs())).len();
        prop_assert!(kept <= 1024, "{kept}");
    }
}
