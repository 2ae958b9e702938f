//! From an HTTP request to the head that the core judges.

use axum::http::header::{HOST, HeaderName};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use podbadge_sidecar_core::request::{Head, Header};

// Parsed at compile time.
static METADATA: HeaderName = HeaderName::from_static("metadata");
static FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
static IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
static SECRET: HeaderName = HeaderName::from_static("secret");

/// The head of `parts`, borrowed: this is done for every token.
pub(crate) fn head(parts: &Parts) -> Head<'_> {
    Head {
        method: parts.method.as_str(),
        authority: parts.uri.authority().map(Authority::as_str),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        host: header(parts, &HOST),
        metadata: header(parts, &METADATA),
        forwarded: parts.headers.contains_key(&FORWARDED),
        identity_header: header(parts, &IDENTITY_HEADER),
        secret: header(parts, &SECRET),
    }
}

fn header<'a>(parts: &'a Parts, name: &HeaderName) -> Header<'a> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => Header::Once(value.as_bytes()),
        (Some(_), Some(_)) => Header::Repeated,
    }
}
