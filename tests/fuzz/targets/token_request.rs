//! The head of a request to the sidecar, of a pod with three identities. No header is set that would let the App Service
//! form pass.
#![no_main]

use std::sync::LazyLock;

use podbadge_sidecar_core::request::{self, Head, Header, Policy};

const DEFAULT: &str = "11111111-2222-3333-4444-555555555555";
const LISTED: &str = "aaaaaaaa-2222-3333-4444-555555555555";
const MAPPED: &str = "bbbbbbbb-2222-3333-4444-555555555555";
const MAP: &str = r#"{
    "0b9ec700-2222-3333-4444-555555555555": "bbbbbbbb-2222-3333-4444-555555555555",
    "/a": {"clientId": "aaaaaaaa-2222-3333-4444-555555555555", "tenantId": "contoso.example"},
    "/b": "99999999-2222-3333-4444-555555555555"
}"#;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    client_id: DEFAULT.parse().ok(),
    allowed_client_ids: Some(format!("{LISTED};{MAPPED}").parse().expect("a list")),
    identity_map: MAP.parse().expect("a map"),
    ..Policy::default()
});

libfuzzer_sys::fuzz_target!(|input: (&str, &str, Option<&str>, Option<&[u8]>, Option<&[u8]>, bool)| {
    let (path, query, authority, host, metadata, forwarded) = input;
    let head = Head {
        method: "GET",
        path,
        query,
        authority,
        host: host.map_or(Header::Absent, Header::Once),
        metadata: metadata.map_or(Header::Absent, Header::Once),
        forwarded,
        identity_header: Header::Absent,
        secret: Header::Absent,
    };
    if let Ok(asked) = request::read(&head, &POLICY) {
        assert!(!forwarded && metadata.is_some() && path.to_ascii_lowercase().contains("metadata"), "{asked:?}");
        let client_id = asked.client_id.to_string();
        assert!([DEFAULT, LISTED, MAPPED].contains(&client_id.as_str()), "{asked:?}");
        assert_eq!(asked.tenant.is_some(), client_id == LISTED, "{asked:?}");
    }
});
