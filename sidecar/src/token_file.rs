//! The pod's projected token on disk. It is read whenever it is used: the kubelet replaces it at four fifths of its life
//! by swapping a symbolic link, which no watch on the file itself would see.

use std::io;
use std::path::PathBuf;

use podbadge_sidecar_core::assertion::{Assertion, Invalid};
use podbadge_sidecar_core::error::Failure;
use podbadge_sidecar_core::freshness::UnixTime;
use thiserror::Error;

use crate::file;

/// Projected tokens have one to four kilobytes.
const LONGEST: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub(crate) struct TokenFile(PathBuf);

/// Why there is nothing to send.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// Not there (yet), not allowed, not a file.
    #[error("cannot read the token file {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// More than any token.
    #[error("the token file {path} has more than {LONGEST} bytes, no token is that long")]
    TooLong { path: PathBuf },
    /// Read, and useless.
    #[error("the token file {path} {source}")]
    Invalid { path: PathBuf, source: Invalid },
}

// === impl TokenFile ===

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads and judges the token. The volume is memory (tmpfs), so this does not wait and needs no thread of its own.
    pub(crate) fn read(&self, now: UnixTime) -> Result<Assertion, Error> {
        let path = || self.0.clone();
        let read = || file::read(&self.0, LONGEST);
        // The folder that the link led to a moment ago is gone; the new one is there.
        let swapped = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { read() } else { Err(error) };
        let bytes = read().or_else(swapped).map_err(|source| Error::Read { path: path(), source })?;
        let bytes = bytes.ok_or_else(|| Error::TooLong { path: path() })?;
        // What is not UTF-8 is not a JWT either.
        let text = str::from_utf8(&bytes).map_err(|_| Invalid::NotJwt);
        text.and_then(|text| Assertion::parse(text, now)).map_err(|source| Error::Invalid { path: path(), source })
    }
}

// === impl Failure ===

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let may_pass = match &error {
            Error::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Error::TooLong { .. } => false,
            Error::Invalid { source, .. } => source.may_pass(),
        };
        Self::Assertion { description: error.to_string(), may_pass }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn failure(write: impl FnOnce(&Path)) -> (String, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        write(&path);
        let error = TokenFile::new(path.clone()).read(UnixTime::from_secs(1_000)).expect_err("useless");
        match Failure::from(error) {
            Failure::Assertion { description, may_pass } => {
                assert!(description.contains(&*path.to_string_lossy()), "{description}");
                (description, may_pass)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_names_the_file() {
        let text = |text: &'static str| move |path: &Path| std::fs::write(path, text).expect("written");
        // {"exp":999}
        let expired = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OX0.c2ln";
        for ((description, may_pass), part, expected) in [
            (failure(|_| ()), "No such file", true),
            (failure(|path| std::fs::create_dir(path).expect("made")), "not a regular file", false),
            (failure(text("\n")), "is empty", true),
            (failure(text("hello")), "does not hold a JWT", false),
            (failure(|path| std::fs::write(path, [0xff; 9]).expect("written")), "does not hold a JWT", false),
            (failure(|path| std::fs::write(path, [b'a'; 70_000]).expect("written")), "more than 65536 bytes", false),
            (failure(text(expired)), "expired at 999 (now 1000", true),
        ] {
            assert!(description.contains(part), "{description}");
            assert_eq!(may_pass, expected, "{description}");
            assert!(!description.contains("eyJ"), "{description}");
        }
    }

    #[test]
    fn a_swapped_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let jwt = |claims: &str| {
            use base64::Engine as _;
            let part = |text| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
            format!("{}.{}.c2ln", part("{}"), part(claims))
        };
        for (name, claims) in [("one", r#"{"sub":"1"}"#), ("two", r#"{"sub":"2"}"#)] {
            std::fs::write(folder.path().join(name), jwt(claims)).expect("written");
        }
        let file = TokenFile::new(path.clone());
        for (name, sub) in [("one", "1"), ("two", "2")] {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(name, &link).expect("linked");
            std::fs::rename(&link, &path).expect("swapped");
            assert_eq!(file.read(UnixTime::from_secs(0)).expect("read").claims().sub, sub);
        }
    }
}
