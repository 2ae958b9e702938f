//! The head of a request to the sidecar. No header is set that would let the App Service form pass.
#![no_main]

use podbadge_sidecar_core::request::{self, Head, Header, Policy};

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
    if let Ok(asked) = request::read(&head, &Policy::default()) {
        assert!(!forwarded && metadata.is_some() && path.to_ascii_lowercase().contains("metadata"), "{asked:?}");
    }
});
