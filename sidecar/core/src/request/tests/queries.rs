//! What a query says.

use super::*;

#[test]
fn queries_that_clients_send() {
    let encoded = "api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    for (head, resource, client_id) in [
        (imds(VAULT), "https://vault.azure.net", ID),
        (imds(encoded), "https://vault.azure.net", ID),
        (imds("resource=https://management.azure.com/"), "https://management.azure.com/", ID),
        (imds("resource=00000003-0000-0000-c000-000000000000"), "00000003-0000-0000-c000-000000000000", ID),
        (imds(&format!("{VAULT}&client_id={OTHER}")), "https://vault.azure.net", OTHER),
        (imds(&format!("{VAULT}&client_id=")), "https://vault.azure.net", ID),
        (imds(&format!("{VAULT}&client_id={OTHER}&object_id=&mi_res_id=")), "https://vault.azure.net", OTHER),
        (imds(&format!("&&{VAULT}&unknown=%zz&=&x&y=%ff")), "https://vault.azure.net", ID),
        (imds("resource=api://%C3%BC"), "api://ü", ID),
        (imds("api-version=2021-02-01-preview&resource=x"), "x", ID),
        (app_service(VAULT), "https://vault.azure.net", ID),
        (app_service("api-version=2019-08-01&resource=x"), "x", ID),
        (app_service(&format!("api-version=2017-09-01&resource=x&clientid={OTHER}")), "x", OTHER),
        (app_service("api-version=2017-09-01&clientid=&resource=x"), "x", ID),
        (
            Head {
                identity_header: Header::Absent,
                secret: Header::Once(b"3f2c"),
                ..app_service("api-version=2017-09-01&resource=x")
            },
            "x",
            ID,
        ),
    ] {
        let request = read(&head, &policy()).unwrap_or_else(|rejection| panic!("{head:?}: {rejection}"));
        assert_eq!((request.resource.as_str(), request.client_id.to_string().as_str()), (resource, client_id));
        assert_eq!(request.renewal, Renewal::None);
    }
}

#[test]
fn queries_that_are_refused() {
    let with = |more: &str| format!("{VAULT}&{more}");
    for (query, expected) in [
        (String::new(), Reason::ResourceMissing),
        ("resource=".to_owned(), Reason::ResourceMissing),
        ("api-version=2018-02-01".to_owned(), Reason::ResourceMissing),
        ("resource=a+b".to_owned(), Reason::Resource),
        ("resource=a%20b".to_owned(), Reason::Resource),
        ("resource=a%0Ab".to_owned(), Reason::Resource),
        (format!("resource={}", "x".repeat(1025)), Reason::Resource),
        ("api-version=latest&resource=x".to_owned(), Reason::ApiVersion),
        ("api-version=2018-2-1&resource=x".to_owned(), Reason::ApiVersion),
        ("resource=%ff%fe".to_owned(), Reason::Encoding("resource".to_owned())),
        ("resource=https://vault.azure.net/%C3".to_owned(), Reason::Encoding("resource".to_owned())),
        (with("clientid=%80"), Reason::Encoding("client_id".to_owned())),
        (with("resource=https://vault.azure.net"), Reason::Duplicate("resource".to_owned())),
        (with("Resource="), Reason::Duplicate("resource".to_owned())),
        (with(&format!("client_id={ID}&clientid={ID}")), Reason::Duplicate("client_id".to_owned())),
        (with("x=1&x=2"), Reason::Duplicate("x".to_owned())),
        (with("client_id=nobody"), Reason::IdentityNotFound),
        (with(&format!("object_id={ID}")), Reason::IdentityNotFound),
        (with(&format!("principal_id={ID}")), Reason::IdentityNotFound),
        (with(&format!("principalId={ID}")), Reason::IdentityNotFound),
        (with("msi_res_id=/subscriptions/x"), Reason::IdentityNotFound),
        (with("mi_res_id=/subscriptions/x"), Reason::IdentityNotFound),
        (with("msi-res-id=/subscriptions/x"), Reason::IdentityNotFound),
        (with(&format!("client_id={ID}&object_id={ID}")), Reason::SeveralSelectors),
        (with("object_id=x&mi_res_id=y"), Reason::SeveralSelectors),
        (with("token_sha256_to_refresh=00"), Reason::Digest),
        (with("claims=[]"), Reason::Claims(challenge::Invalid)),
        (with("claims=cp1"), Reason::Claims(challenge::Invalid)),
        (with("claims={}&claims={}"), Reason::Duplicate("claims".to_owned())),
        (with(&format!("token_sha256_to_refresh={}", "g".repeat(64))), Reason::Digest),
    ] {
        for head in [imds(&query), app_service(&query)] {
            assert_eq!(reason(&head), expected, "{query}");
            assert_eq!(read(&head, &policy()).expect_err("rejected").status(), 400);
        }
    }
}

#[test]
fn an_identity_is_never_guessed() {
    let policy = Policy { client_id: None, ..policy() };
    assert_eq!(read(&imds(VAULT), &policy).expect_err("rejected").reason(), &Reason::NoIdentity);
    let asked = format!("{VAULT}&client_id={OTHER}");
    assert_eq!(read(&imds(&asked), &policy).expect("asked for").client_id.to_string(), OTHER);
}

#[test]
fn renewals() {
    let renewal = |more: &str| read(&imds(&format!("{VAULT}&{more}")), &policy()).expect("valid").renewal;
    assert_eq!(renewal("bypass_cache=true"), Renewal::Bypass);
    assert_eq!(renewal("bypass_cache=false"), Renewal::None);
    assert_eq!(renewal("bypass_cache="), Renewal::None);
    let digest = format!("0a{}Ff", "00".repeat(30));
    let mut bytes = [0; 32];
    (bytes[0], bytes[31]) = (0x0a, 0xff);
    assert_eq!(renewal(&format!("token_sha256_to_refresh={digest}&bypass_cache=true")), Renewal::Replace(bytes));
}

#[test]
fn a_challenge_is_passed_on_as_it_is() {
    let challenge = |more: &str| read(&imds(&format!("{VAULT}&{more}")), &policy()).expect("valid").challenge;
    let claims = "%7B%22access_token%22%3A+%7B%22nbf%22%3A%7B%22essential%22%3Atrue%2C%22value%22%3A%221%22%7D%7D%7D";
    let expected = r#"{"access_token": {"nbf":{"essential":true,"value":"1"}}}"#;
    assert_eq!(challenge(&format!("claims={claims}")).expect("a challenge").as_str(), expected);
    assert_eq!(challenge("claims="), None);
    // What a client is capable of is its own affair: tokens of an hour are for all.
    assert_eq!(challenge("xms_cc=cp1"), None);
}

proptest! {
    #[test]
    fn no_query_panics(query in "\\PC{0,200}") {
        let _ = read(&imds(&query), &policy());
        let _ = read(&imds(&format!("resource=x&{query}")), &policy());
    }

    /// Whatever a client encodes comes back as it was.
    #[test]
    fn a_resource_survives_encoding(resource in "[!-~]{1,60}") {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("resource", &resource).finish();
        let request = read(&imds(&query), &policy()).expect("valid");
        prop_assert_eq!(request.resource.as_str(), resource);
    }

    /// Whoever is asked for, nobody else is answered for.
    #[test]
    fn a_selector_is_obeyed_or_refused(
        name in prop::sample::select(vec!["client_id", "clientid", "object_id", "principal_id", "mi_res_id", "msi-res-id"]),
        value in "[0-9a-f-]{1,40}",
    ) {
        match read(&imds(&format!("resource=x&{name}={value}")), &policy()) {
            Ok(request) => prop_assert_eq!(request.client_id.to_string(), value),
            Err(rejection) => prop_assert_eq!(rejection.reason(), &Reason::IdentityNotFound),
        }
    }
}
