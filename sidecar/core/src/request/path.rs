//! Which token endpoint a path means: one decoding, a little normalisation, then an exact comparison.

use percent_encoding::percent_decode_str;

use super::Form;
use crate::contract::{APP_SERVICE_TOKEN_PATH, IMDS_TOKEN_PATH};

/// A path that two readers could read differently; it is refused, not interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evasive;

/// The form of `path`, none if it is no token path. Forgiven is what real clients do to the path: letter case (the
/// JavaScript SDK lowers it), leading slashes doubled or tripled (Java), one trailing slash (JavaScript, and the App
/// Service samples).
pub(super) fn form(path: &str) -> Result<Option<Form>, Evasive> {
    // As almost every client writes them.
    match path {
        IMDS_TOKEN_PATH => return Ok(Some(Form::Imds)),
        APP_SERVICE_TOKEN_PATH => return Ok(Some(Form::AppService)),
        _ => {}
    }
    let path = percent_decode(path)?;
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    let is = |known: &str| path.eq_ignore_ascii_case(known.trim_start_matches('/'));
    Ok(if is(IMDS_TOKEN_PATH) {
        Some(Form::Imds)
    } else if is(APP_SERVICE_TOKEN_PATH) {
        Some(Form::AppService)
    } else {
        None
    })
}

/// Decodes once. What an encoded slash or a backslash separates is in the eye of the reader, so neither is allowed.
fn percent_decode(path: &str) -> Result<String, Evasive> {
    let raw = path.as_bytes();
    let hidden = |at: &[u8]| at.eq_ignore_ascii_case(b"%2f") || at.eq_ignore_ascii_case(b"%5c");
    if raw.contains(&b'\\') || raw.windows(3).any(hidden) {
        return Err(Evasive);
    }
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Evasive)?.into_owned();
    let dots = decoded.split('/').any(|segment| matches!(segment, "." | ".."));
    if dots || decoded.chars().any(char::is_control) { Err(Evasive) } else { Ok(decoded) }
}
