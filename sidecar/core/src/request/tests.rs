mod hosts;
mod identities;
mod paths;
mod queries;

use proptest::prelude::*;

use super::*;

const ID: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";
const VAULT: &str = "api-version=2018-02-01&resource=https://vault.azure.net";

fn policy() -> Policy {
    let identity_header = Some(Secret::new("3f2c".to_owned()));
    Policy { client_id: ID.parse().ok(), identity_header, ..Policy::default() }
}

fn imds<'a>(query: &'a str) -> Head<'a> {
    Head {
        method: "GET",
        authority: None,
        path: "/metadata/identity/oauth2/token",
        query,
        host: Header::Once(b"169.254.169.254"),
        metadata: Header::Once(b"true"),
        forwarded: false,
        identity_header: Header::Absent,
        secret: Header::Absent,
    }
}

fn app_service<'a>(query: &'a str) -> Head<'a> {
    Head { path: "/msi/token", metadata: Header::Absent, identity_header: Header::Once(b"3f2c"), ..imds(query) }
}

fn reason(head: &Head<'_>) -> Reason {
    read(head, &policy()).expect_err("rejected").reason().clone()
}

#[test]
fn guards_come_before_the_query() {
    let table: [(Head<'_>, Reason, u16); 23] = [
        (Head { path: "/x", method: "POST", ..imds("") }, Reason::PathUnknown, 404),
        (Head { method: "POST", forwarded: true, ..imds("") }, Reason::Method, 405),
        (Head { method: "HEAD", ..imds("") }, Reason::Method, 405),
        (Head { method: "get", ..imds("") }, Reason::Method, 405),
        (Head { forwarded: true, metadata: Header::Absent, ..imds("") }, Reason::Forwarded, 400),
        (Head { metadata: Header::Absent, ..imds("") }, Reason::MetadataMissing, 400),
        (Head { metadata: Header::Absent, ..imds(VAULT) }, Reason::MetadataMissing, 400),
        (Head { metadata: Header::Once(b"false"), ..imds(VAULT) }, Reason::MetadataMissing, 400),
        (Head { metadata: Header::Once(b""), ..imds(VAULT) }, Reason::MetadataMissing, 400),
        // The header of the other form does not count (Rust sends it to both).
        (
            Head { metadata: Header::Absent, identity_header: Header::Once(b"3f2c"), ..imds(VAULT) },
            Reason::MetadataMissing,
            400,
        ),
        (Head { method: "PUT", ..app_service(VAULT) }, Reason::Method, 405),
        (Head { forwarded: true, ..app_service(VAULT) }, Reason::Forwarded, 400),
        (
            Head { identity_header: Header::Absent, metadata: Header::Once(b"true"), ..app_service(VAULT) },
            Reason::IdentityHeader,
            401,
        ),
        (Head { identity_header: Header::Once(b""), ..app_service(VAULT) }, Reason::IdentityHeader, 401),
        (Head { identity_header: Header::Once(b"3F2C"), ..app_service(VAULT) }, Reason::IdentityHeader, 401),
        (
            Head { identity_header: Header::Absent, secret: Header::Once(b"wrong"), ..app_service(VAULT) },
            Reason::IdentityHeader,
            401,
        ),
        (Head { method: "POST", host: Header::Repeated, ..imds("") }, Reason::Method, 405),
        (Head { host: Header::Once(b"x"), metadata: Header::Absent, ..imds("") }, Reason::Host, 400),
        (Head { host: Header::Repeated, ..imds(VAULT) }, Reason::HeaderRepeated("Host"), 400),
        (Head { host: Header::Repeated, ..app_service(VAULT) }, Reason::HeaderRepeated("Host"), 400),
        (Head { metadata: Header::Repeated, ..imds(VAULT) }, Reason::HeaderRepeated("Metadata"), 400),
        (
            Head { identity_header: Header::Repeated, ..app_service(VAULT) },
            Reason::HeaderRepeated("X-IDENTITY-HEADER"),
            401,
        ),
        (Head { secret: Header::Repeated, ..app_service(VAULT) }, Reason::HeaderRepeated("secret"), 401),
    ];
    for (head, expected, status) in table {
        let rejection = read(&head, &policy()).expect_err("rejected");
        assert_eq!((rejection.reason(), rejection.status()), (&expected, status), "{head:?}");
    }
}

#[test]
fn imds_is_off_where_anybody_could_use_it() {
    let policy = Policy { imds_off: true, ..policy() };
    let rejection = read(&imds(VAULT), &policy).expect_err("rejected");
    assert_eq!((rejection.reason(), rejection.status()), (&Reason::ImdsOff, 400));
    assert!(read(&app_service(VAULT), &policy).is_ok());
}

#[test]
fn app_service_is_off_without_a_header_to_expect() {
    let policy = Policy { identity_header: None, ..policy() };
    for head in [app_service(VAULT), Head { identity_header: Header::Once(b""), ..app_service(VAULT) }] {
        let rejection = read(&head, &policy).expect_err("rejected");
        assert_eq!((rejection.reason(), rejection.status()), (&Reason::IdentityHeaderUnset, 401));
    }
}

#[test]
fn metadata_in_any_letter_case() {
    for value in [&b"true"[..], b"True", b"TRUE", b" true "] {
        assert!(read(&Head { metadata: Header::Once(value), ..imds(VAULT) }, &policy()).is_ok());
    }
}
