//! What of the real metadata service a pod may read through the sidecar: nothing, unless it is listed, and never an
//! identity.

use std::str::FromStr;

use thiserror::Error;

use crate::request::{self, Head, Rejection};

/// The paths that may be read, with everything below each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassThrough(Box<[Box<str>]>);

/// Why a text is no list of paths. It goes on after "it ...".
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "must be paths such as /metadata/instance;/metadata/versions: below /metadata/, never /metadata/identity, of letters, \
     digits and .-_"
)]
pub struct Invalid;

/// Everything about identities is answered here and nowhere else.
const IDENTITY: &str = "identity";

// === impl PassThrough ===

impl PassThrough {
    /// The path to ask the real service for, none if it is not to be asked. The same guards hold as for tokens.
    ///
    /// # Errors
    /// The request is one that the path's owner would refuse, too.
    pub fn path<'a>(&self, head: &Head<'a>) -> Result<Option<&'a str>, Rejection> {
        let Some(asked) = segments(head.path) else {
            return Ok(None);
        };
        let listed = |listed: &str| {
            let mut asked = asked.clone();
            listed.split('/').all(|segment| asked.next().is_some_and(|asked| asked.eq_ignore_ascii_case(segment)))
        };
        if !self.0.iter().any(|path| listed(path)) {
            return Ok(None);
        }
        request::guard_metadata(head).map(|()| Some(head.path))
    }
}

impl FromStr for PassThrough {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let paths = text.split(';').map(str::trim).filter(|path| !path.is_empty());
        let paths =
            paths.map(|path| segments(path).map(|_| path.trim_start_matches("/metadata/").into()).ok_or(Invalid));
        let paths: Vec<Box<str>> = paths.collect::<Result<_, _>>()?;
        if paths.is_empty() { Err(Invalid) } else { Ok(Self(paths.into())) }
    }
}

/// What follows `/metadata/`, if the path is written in the one way that every reader reads alike: nothing encoded, doubled
/// or relative in it, and nothing about identities.
fn segments(path: &str) -> Option<std::str::Split<'_, char>> {
    let below = path.strip_prefix("/metadata/")?;
    let plain = |segment: &str| {
        let characters = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        characters && !segment.is_empty() && !segment.bytes().all(|byte| byte == b'.')
    };
    let foreign =
        below.split('/').all(plain) && !below.split('/').any(|segment| segment.eq_ignore_ascii_case(IDENTITY));
    foreign.then(|| below.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Header, Reason};

    fn head(path: &str) -> Head<'_> {
        Head {
            method: "GET",
            authority: None,
            path,
            query: "api-version=2021-02-01",
            host: Header::Once(b"169.254.169.254"),
            metadata: Header::Once(b"true"),
            forwarded: false,
            identity_header: Header::Absent,
            secret: Header::Absent,
        }
    }

    #[test]
    fn lists() {
        for text in
            ["/metadata/instance", " /metadata/instance ; /metadata/versions;", "/metadata/instance/compute/name"]
        {
            assert!(text.parse::<PassThrough>().is_ok(), "{text}");
        }
        for text in [
            "",
            ";",
            "/",
            "/metadata",
            "/metadata/",
            "/metadata/identity",
            "/metadata/Identity/info",
            "/metadata/instance/identity",
            "/metadata/instance/",
            "/metadata//instance",
            "/metadata/../metadata/instance",
            "/metadata/%69dentity",
            "/latest/meta-data",
            "instance",
            "/metadata/instance;/metadata/identity",
        ] {
            assert_eq!(text.parse::<PassThrough>(), Err(Invalid), "{text}");
        }
    }

    #[test]
    fn paths() {
        let list: PassThrough = "/metadata/instance/compute;/metadata/versions".parse().expect("a list");
        for path in [
            "/metadata/versions",
            "/metadata/instance/compute",
            "/metadata/Instance/compute/name",
            "/metadata/VERSIONS",
        ] {
            assert_eq!(list.path(&head(path)), Ok(Some(path)), "{path}");
        }
        for path in [
            "/metadata/instance",
            "/metadata/instance/computes",
            "/metadata/instance/compute/",
            "/metadata/instance/compute//name",
            "/metadata/instance/compute/../../identity/oauth2/token",
            "/metadata/instance/compute/%2e%2e/network",
            "/metadata/instance/compute/identity",
            "/metadata/versions\\x",
            "/metadata/versions%00",
            "/Metadata/versions",
            "//metadata/versions",
            "/metadata/identity/oauth2/token",
            "/metadata/identity",
            "/latest/meta-data/",
            "/",
            "",
        ] {
            assert_eq!(list.path(&head(path)), Ok(None), "{path}");
        }
    }

    #[test]
    fn the_guards_of_tokens_hold() {
        let list: PassThrough = "/metadata/versions".parse().expect("a list");
        let right = head("/metadata/versions");
        for (head, reason) in [
            (Head { method: "POST", ..right }, Reason::Method),
            (Head { host: Header::Once(b"evil.example"), ..right }, Reason::Host),
            (Head { forwarded: true, ..right }, Reason::Forwarded),
            (Head { metadata: Header::Absent, ..right }, Reason::MetadataMissing),
            (Head { metadata: Header::Repeated, ..right }, Reason::HeaderRepeated("Metadata")),
        ] {
            assert_eq!(list.path(&head).expect_err("refused").reason(), &reason);
        }
    }

    proptest::proptest! {
        /// Whatever is listed and asked, nothing that anybody could read as the identity's path is passed on.
        #[test]
        fn identities_are_never_passed_on(
            listed in "/metadata/[a-z./%]{1,20}",
            asked in "(/|//|/\\.\\./|\\\\|%2f|%5c|metadata|identity|IDENTITY|%69dentity|instance|oauth2|token|\\.){1,9}",
        ) {
            for list in [listed.parse::<PassThrough>(), "/metadata/instance".parse()].into_iter().flatten() {
                if let Ok(Some(path)) = list.path(&head(&asked)) {
                    let lower = path.to_lowercase();
                    proptest::prop_assert!(!lower.contains("identity") || !lower.split('/').any(|part| part == "identity"));
                    proptest::prop_assert!(!lower.contains(['%', '\\']) && !lower.contains("//") && !lower.contains("/../"));
                }
            }
        }
    }
}
