use super::*;

#[test]
fn values_are_judged_by_themselves() {
    const ID: &str = "11111111-2222-3333-4444-555555555555";
    for (judge, value, rule) in [
        (allowed_client_ids as Judge, ID, None),
        (allowed_client_ids, &format!(" {ID} ; {ID};"), None),
        (allowed_client_ids, "", Some("must be at least one client id")),
        (allowed_client_ids, " ; ", Some("must be at least one client id")),
        (allowed_client_ids, &format!("{ID},{ID}"), Some("separated by semicolons")),
        (identity_map, "{}", None),
        (identity_map, r#"{"a": {"clientId": "b"}}"#, None),
        (identity_map, "[]", Some("must be a JSON object")),
        (identity_map, "", Some("must be a JSON object")),
        (audience, "api://AzureADTokenExchange", None),
        (audience, "", Some("must be one word")),
        (audience, "a b", Some("must be one word")),
        (authority_host, "https://login.microsoftonline.us/", None),
        (authority_host, "https://entra.test:8443", None),
        (authority_host, "http://entra.test", Some("must be an https URL")),
        (authority_host, "login.microsoftonline.com", Some("must be an https URL")),
        (authority_host, "https://", Some("must be an https URL")),
        (authority_host, "https://:443/", Some("must be an https URL")),
        (authority_host, "https://me@entra.test/", Some("must be an https URL")),
        (authority_host, "https://entra.test/?a", Some("must be an https URL")),
        (authority_host, " https://entra.test/", Some("must be an https URL")),
    ] {
        match (judge(value), rule) {
            (Ok(()), None) => {}
            (Err(found), Some(rule)) if found.contains(rule) => {}
            (found, _) => panic!("{value:?}: {found:?}"),
        }
    }
}
