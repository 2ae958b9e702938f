//! Which identity a request gets, where a list and a map say which there are.

use super::*;

const LISTED: &str = "aaaaaaaa-2222-3333-4444-555555555555";
const MAPPED: &str = "bbbbbbbb-2222-3333-4444-555555555555";
const OBJECT: &str = "0b9ec700-2222-3333-4444-555555555555";
const TENANT: &str = "eeeeeeee-2222-3333-4444-555555555555";

/// The list has two identities, the map one besides.
fn strict() -> Policy {
    let list = format!("{LISTED};{MAPPED}");
    let map = format!(
        r#"{{"{OBJECT}": "{MAPPED}", "/Subscriptions/S/Till": {{"clientId": "{LISTED}", "tenantId": "{TENANT}"}},
            "/subscriptions/s/own": "{ID}", "/subscriptions/s/other": "{OTHER}"}}"#
    );
    Policy {
        allowed_client_ids: Some(list.parse().expect("a list")),
        identity_map: map.parse().expect("a map"),
        ..policy()
    }
}

#[test]
fn the_right_identity_or_none() {
    let no_list = Policy { allowed_client_ids: None, ..strict() };
    let no_map = Policy { identity_map: IdentityMap::default(), ..strict() };
    let no_default = Policy { client_id: None, ..strict() };
    let refused = |id: &str| Err(Reason::IdentityNotAllowed(id.parse().expect("an id")));
    let found = |id: &str, tenant: Option<&str>| Ok((id.to_owned(), tenant.map(str::to_owned)));
    for (policy, selector, expected) in [
        (strict(), String::new(), found(ID, None)),
        (strict(), format!("client_id={ID}"), found(ID, None)),
        (strict(), format!("client_id={MAPPED}"), found(MAPPED, None)),
        (strict(), format!("clientid={}", LISTED.to_uppercase()), found(LISTED, Some(TENANT))),
        (strict(), format!("object_id={OBJECT}"), found(MAPPED, None)),
        (strict(), format!("principalId={}", OBJECT.to_uppercase()), found(MAPPED, None)),
        (strict(), "msi_res_id=/subscriptions/s/till".to_owned(), found(LISTED, Some(TENANT))),
        (strict(), "mi_res_id=%2FSUBSCRIPTIONS%2Fs%2FTILL".to_owned(), found(LISTED, Some(TENANT))),
        (strict(), "msi-res-id=/subscriptions/s/own".to_owned(), found(ID, None)),
        (strict(), format!("client_id={OTHER}"), refused(OTHER)),
        (strict(), "mi_res_id=/subscriptions/s/other".to_owned(), refused(OTHER)),
        // An object id is no client id, and the reverse.
        (strict(), format!("client_id={OBJECT}"), refused(OBJECT)),
        (strict(), format!("object_id={MAPPED}"), Err(Reason::IdentityNotFound)),
        (strict(), format!("object_id={ID}"), Err(Reason::IdentityNotFound)),
        (strict(), "mi_res_id=/subscriptions/s/tills".to_owned(), Err(Reason::IdentityNotFound)),
        (strict(), "mi_res_id=till".to_owned(), Err(Reason::IdentityNotFound)),
        (strict(), format!("mi_res_id={OBJECT}"), Err(Reason::IdentityNotFound)),
        (strict(), "client_id=till".to_owned(), Err(Reason::IdentityNotFound)),
        (strict(), format!("client_id={ID}&object_id={OBJECT}"), Err(Reason::SeveralSelectors)),
        (no_list.clone(), format!("client_id={OTHER}"), found(OTHER, None)),
        (no_list, "mi_res_id=/subscriptions/s/other".to_owned(), found(OTHER, None)),
        (no_map.clone(), format!("client_id={LISTED}"), found(LISTED, None)),
        (no_map, format!("object_id={OBJECT}"), Err(Reason::IdentityNotFound)),
        (no_default.clone(), String::new(), Err(Reason::NoIdentity)),
        (no_default.clone(), format!("client_id={ID}"), refused(ID)),
        (no_default, format!("client_id={MAPPED}"), found(MAPPED, None)),
    ] {
        let query = format!("{VAULT}&{selector}");
        for head in [imds(&query), app_service(&query)] {
            let asked = read(&head, &policy)
                .map(|asked| (asked.client_id.to_string(), asked.tenant.map(|tenant| tenant.to_string())));
            assert_eq!(asked.map_err(|rejection| rejection.reason().clone()), expected, "{selector}");
        }
    }
}

/// The default is in the map only to be in another tenant.
#[test]
fn the_default_identity_has_its_tenant() {
    let map = format!(r#"{{"{ID}": {{"tenantId": "{TENANT}"}}}}"#);
    let policy = Policy { identity_map: map.parse().expect("a map"), ..policy() };
    assert_eq!(read(&imds(VAULT), &policy).expect("valid").tenant.expect("a tenant").as_str(), TENANT);
}

#[test]
fn a_refusal_is_400_and_lists_nobody() {
    for (selector, text) in [
        (format!("client_id={OTHER}"), format!("Identity not found: the pod's service account does not allow {OTHER}")),
        (format!("object_id={ID}"), "Identity not found".to_owned()),
    ] {
        let query = format!("{VAULT}&{selector}");
        let answer = read(&imds(&query), &strict()).expect_err("rejected").answer();
        let body = serde_json::json!({"error": "invalid_request", "error_description": text});
        let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, told, answer.retry_after), (400, body, None));
        let answer = read(&app_service(&query), &strict()).expect_err("rejected").answer();
        let body = serde_json::json!({"statusCode": 400, "message": text});
        let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!((answer.status, told), (400, body));
    }
}

proptest! {
    /// Whatever is asked, of the list and the default comes what is answered for, and of a name what it means.
    #[test]
    fn nobody_outside_the_list(
        names in prop::collection::vec(
            prop::sample::select(vec!["client_id", "clientid", "object_id", "principal_id", "mi_res_id", "msi-res-id", "x"]),
            0..3,
        ),
        values in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![ID, OTHER, LISTED, MAPPED, OBJECT, TENANT, "/subscriptions/S/till",
                    "/subscriptions/s/other", "/subscriptions/s/own", ""]).prop_map(str::to_owned),
                "[0-9a-f/-]{1,40}",
            ],
            3,
        ),
    ) {
        let selectors: String = names.iter().zip(&values).map(|(name, value)| format!("&{name}={value}")).collect();
        if let Ok(asked) = read(&imds(&format!("{VAULT}{selectors}")), &strict()) {
            let client_id = asked.client_id.to_string();
            prop_assert!([ID, LISTED, MAPPED].contains(&client_id.as_str()), "{}", client_id);
            for (name, value) in names.iter().zip(&values).filter(|(name, value)| **name != "x" && !value.is_empty()) {
                let meant = match value.to_lowercase().as_str() {
                    OBJECT => MAPPED.to_owned(),
                    "/subscriptions/s/till" => LISTED.to_owned(),
                    "/subscriptions/s/own" => ID.to_owned(),
                    value => value.to_owned(),
                };
                prop_assert_eq!(&client_id, &meant, "{}={}", name, value);
            }
        }
    }
}
