use proptest::prelude::*;

use super::*;

const A: &str = "aaaaaaaa-2222-3333-4444-555555555555";
const B: &str = "bbbbbbbb-2222-3333-4444-555555555555";
const OBJECT: &str = "0b9ec700-2222-3333-4444-555555555555";
const RESOURCE: &str =
    "/subscriptions/s/resourceGroups/Shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/till";

fn id(text: &str) -> ClientId {
    text.parse().expect("a GUID")
}

fn map(json: &str) -> IdentityMap {
    json.parse().unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn lists() {
    let upper = A.to_uppercase();
    for (text, normal) in [
        (A.to_owned(), A.to_owned()),
        (format!(" {upper} "), A.to_owned()),
        (format!("{B};{A}"), format!("{A};{B}")),
        (format!("{B},\n {A} ; {upper}"), format!("{A};{B}")),
        (format!(";{A};;"), A.to_owned()),
    ] {
        let list: AllowedClientIds = text.parse().expect("a list");
        assert_eq!(list.to_string(), normal, "{text}");
        assert_eq!((list.contains(id(A)), list.contains(id(B))), (true, normal.contains(B)), "{text}");
        assert!(!list.contains(id(OBJECT)));
    }
}

#[test]
fn lists_that_are_none() {
    let long = "x".repeat(100_000);
    for (text, expected) in [
        ("", "must be client ids separated by semicolons or commas, at least one"),
        (" ;, ", "must be client ids separated by semicolons or commas, at least one"),
        ("till", "the entry \"till\" must be a GUID such as 1111"),
        (&format!("{A};{B} {OBJECT}"), &format!("the entry \"{B} {}…\" must be a GUID", &OBJECT[..27])),
        (&format!("{A};*"), "the entry \"*\" must be a GUID"),
        (&format!("{A}\u{0};"), "\\0\" must be a GUID"),
        (&long, &format!("the entry \"{}…\" must be", "x".repeat(64))),
    ] {
        let error = text.parse::<AllowedClientIds>().expect_err("no list").to_string();
        assert!(error.starts_with("must be client ids") && error.contains(expected), "{error}");
    }
}

#[test]
fn lists_have_an_end() {
    let many = |count: u32| (0..count).map(|at| format!("{at:08x}{}", &A[8..])).collect::<Vec<_>>().join(";");
    assert_eq!(many(256).parse::<AllowedClientIds>().expect("a list").to_string(), many(256));
    assert_eq!(many(257).parse::<AllowedClientIds>(), Err(InvalidList::TooMany));
}

#[test]
fn maps() {
    let all = map(&format!(
        r#"{{"{OBJECT}": "{A}", "{RESOURCE}": {{"clientId": "{B}", "tenantId": "contoso.example"}}, "{A}": {{"tenantId": "{B}"}}}}"#
    ));
    assert_eq!(all.by_object_id(OBJECT.parse().expect("a GUID")), Some(id(A)));
    for spelling in [RESOURCE.to_owned(), RESOURCE.to_lowercase(), RESOURCE.to_uppercase()] {
        assert_eq!(all.by_resource_id(&spelling.parse().expect("a resource id")), Some(id(B)));
    }
    assert_eq!(all.tenant(id(A)).expect("a tenant").as_str(), B);
    assert_eq!(all.tenant(id(B)).expect("a tenant").as_str(), "contoso.example");
    // What is not said is not known.
    for other in [A, B] {
        assert_eq!(all.by_object_id(other.parse().expect("a GUID")), None);
    }
    assert_eq!(all.by_resource_id(&"/subscriptions/s".parse().expect("a resource id")), None);
    assert_eq!(all.tenant(id(OBJECT)), None);
    assert!(!all.is_empty() && map("{}").is_empty());
}

#[test]
fn an_entry_with_itself_is_a_client_id() {
    let itself = map(&format!(r#"{{"{}": "{A}", "{B}": {{"clientId": "{B}", "tenantId": "{A}"}}}}"#, A.to_uppercase()));
    assert_eq!(itself.by_object_id(A.parse().expect("a GUID")), None);
    assert_eq!(itself.tenant(id(B)).expect("a tenant").as_str(), A);
}

#[test]
fn a_tenant_may_be_said_twice_but_not_two() {
    let one =
        format!(r#"{{"/a": {{"clientId": "{A}", "tenantId": "{B}"}}, "{A}": {{"tenantId": "{}"}}}}"#, B.to_uppercase());
    assert_eq!(map(&one).tenant(id(A)).expect("a tenant").as_str(), B);
    let two = format!(r#"{{"/a": {{"clientId": "{A}", "tenantId": "{B}"}}, "{A}": {{"tenantId": "{A}"}}}}"#);
    let error = two.parse::<IdentityMap>().expect_err("two tenants").to_string();
    assert_eq!(error, format!("must not give the client id {A} two tenants, as it does at the key {A:?}"));
}

#[test]
fn maps_that_are_none() {
    let long = "x".repeat(100_000);
    let expected = "expected a client id, or an object with clientId and tenantId";
    for (json, part) in [
        ("", "must be a JSON object such as {\"OBJECT-ID\": \"CLIENT-ID\"}: EOF while parsing"),
        ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
        ("null", "invalid type: null, expected an object"),
        (A, "expected"),
        (&format!("{long:?}"), "…"),
        ("{} x", "trailing characters"),
        (r#"{"x": "y""#, "EOF while parsing an object"),
        (r#"{"x": 5}"#, &format!("at the key \"x\": invalid type: integer `5`, {expected} at line 1 column 7")),
        (r#"{"x": null}"#, expected),
        (r#"{"x": ["y"]}"#, expected),
        (r#"{"x": {"clientId": null}}"#, "at the key \"x\": clientId: invalid type: null, expected a string"),
        (r#"{"x": {"tenantId": {}}}"#, "at the key \"x\": tenantId: invalid type: map, expected a string"),
        (r#"{"x": {"clientID": ""}}"#, "at the key \"x\": unknown field \"clientID\", expected clientId or tenantId"),
        (r#"{"x": {"clientId": "", "clientId": ""}}"#, "at the key \"x\": clientId is given more than once"),
        (r#"{"till": "y"}"#, "\"till\" is none"),
        (r#"{"": "y"}"#, "\"\" is none"),
        (r#"{"/a b": "y"}"#, "\"/a b\" is none"),
        (&format!(r#"{{"{long}": "{A}"}}"#), &format!("\"{}…\" is none", "x".repeat(64))),
        (&format!(r#"{{"{OBJECT}": "y"}}"#), &format!("at the key {OBJECT:?}: the client id \"y\" must be a GUID")),
        (
            &format!(r#"{{"/a": {{"clientId": "{A}", "tenantId": "common"}}}}"#),
            "at the key \"/a\": the tenant id \"common\" must be a GUID or a domain",
        ),
        (&format!(r#"{{"/a": "{A}", "/A": "{A}"}}"#), "must have the key \"/A\" only once"),
        (&format!(r#"{{"{OBJECT}": "{A}", "{OBJECT}": "{A}"}}"#), "only once"),
        (&format!(r#"{{"{OBJECT}": "{A}", "{}": {{"tenantId": "{B}"}}}}"#, OBJECT.to_uppercase()), "only once"),
        (&format!(r#"{{"{OBJECT}": {{}}}}"#), &format!("must have a clientId at the key {OBJECT:?}, or, if that is a")),
        (&format!(r#"{{"/a": {{"tenantId": "{A}"}}}}"#), "must have a clientId at the key \"/a\""),
    ] {
        let error = json.parse::<IdentityMap>().expect_err(json).to_string();
        assert!(error.contains(part) && error.len() < 450 && !error.contains('\n'), "{json}: {error}");
        assert!(error.starts_with("must ") || error.starts_with("is wrong at"), "{error}");
    }
}

#[test]
fn maps_have_an_end() {
    let many = |count: u32| {
        let entries: Vec<_> = (0..count).map(|at| format!(r#""/{at}": "{A}""#)).collect();
        format!("{{{}}}", entries.join(", "))
    };
    assert!(many(256).parse::<IdentityMap>().is_ok());
    assert_eq!(many(257).parse::<IdentityMap>(), Err(InvalidMap::TooMany));
    assert_eq!(many(2_570).parse::<IdentityMap>(), Err(InvalidMap::TooMany));
}

fn entry() -> impl Strategy<Value = String> {
    let guid = prop::sample::select(vec![A, B, OBJECT, "0B9EC701-2222-3333-4444-555555555555"]);
    let key = prop_oneof![guid.clone().prop_map(str::to_owned), "/[a-zA-Z0-9()._-]{0,6}"];
    let client_id = prop::option::of(guid);
    let tenant_id = prop::option::of(prop::sample::select(vec!["contoso.example", A]));
    (key, client_id, tenant_id).prop_map(|(key, client_id, tenant_id)| {
        let fields = [client_id.map(|id| ("clientId", id)), tenant_id.map(|id| ("tenantId", id))];
        let fields: BTreeMap<_, _> = fields.into_iter().flatten().collect();
        format!("{key:?}: {}", serde_json::to_string(&fields).expect("JSON"))
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = text.parse::<AllowedClientIds>();
        let _ = text.parse::<IdentityMap>();
    }

    /// Of the entries, those that make a map make it again from what is shown of it.
    #[test]
    fn a_map_survives_being_shown(entries in prop::collection::vec(entry(), 0..4)) {
        let json = format!("{{{}}}", entries.join(", "));
        if let Ok(map) = json.parse::<IdentityMap>() {
            prop_assert_eq!(map.to_string().parse::<IdentityMap>(), Ok(map));
        }
    }
}
