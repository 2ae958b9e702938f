//! Under which names tokens are handed out.

use super::*;

#[test]
fn names_of_this_machine() {
    for authority in [
        "127.0.0.1",
        "127.0.0.1:8000",
        "169.254.169.254",
        "169.254.169.254:80",
        "[::1]",
        "[::1]:8000",
        "[fd00::1]",
        "localhost",
        "localhost:8000",
        "LocalHost:",
    ] {
        assert!(host::is_local(authority.as_bytes()), "{authority}");
        let once = Header::Once(authority.as_bytes());
        for head in [Head { host: once, ..imds(VAULT) }, Head { authority: Some(authority), ..app_service(VAULT) }] {
            assert!(read(&head, &policy()).is_ok(), "{head:?}");
        }
    }
}

#[test]
fn names_that_somebody_else_may_have_given() {
    for authority in [
        "",
        ":8000",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "evil.example@localhost",
        "localhost:8000:8000",
        "localhost:http",
        "localhost:800000",
        "127.0.0.1 evil.example",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::1",
        "::1",
        "[::1]evil.example",
        "[evil.example]",
        "[127.0.0.1]",
        "[]",
        "169.254.169.254, evil.example",
    ] {
        let once = Header::Once(authority.as_bytes());
        let local = Header::Once(b"127.0.0.1");
        for head in [
            Head { host: once, ..imds(VAULT) },
            Head { host: once, ..app_service(VAULT) },
            // Neither excuses the other.
            Head { host: local, authority: Some(authority), ..imds(VAULT) },
            Head { host: once, authority: Some("127.0.0.1"), ..imds(VAULT) },
        ] {
            assert_eq!(reason(&head), Reason::Host, "{head:?}");
            assert_eq!(read(&head, &policy()).expect_err("rejected").status(), 400);
        }
    }
    assert_eq!(reason(&Head { host: Header::Once(b"\xff"), ..imds(VAULT) }), Reason::Host);
}

proptest! {
    /// Every address, in the way that URLs have them.
    #[test]
    fn every_address_passes(address: std::net::IpAddr, port: u16) {
        let authority = std::net::SocketAddr::new(address, port).to_string();
        prop_assert!(host::is_local(authority.as_bytes()), "{}", authority);
    }

    #[test]
    fn no_name_passes(name in "[a-zA-Z0-9.-]{0,20}[a-z]", port: Option<u16>) {
        prop_assume!(!name.eq_ignore_ascii_case("localhost"));
        let authority = port.map_or(name.clone(), |port| format!("{name}:{port}"));
        prop_assert!(!host::is_local(authority.as_bytes()), "{}", authority);
    }
}
