//! The text of a token file, and an error of Entra ID.
#![no_main]

use podbadge_sidecar_core::{assertion::Assertion, error::EntraError, freshness::UnixTime, text};

libfuzzer_sys::fuzz_target!(|input: &str| {
    let _ = Assertion::parse(input, UnixTime::from_secs(1));
    let _ = serde_json::from_str::<EntraError>(input);
    let line = text::one_line(input);
    assert!(!line.contains("eyJ") && !line.contains(char::is_control), "{line:?}");
});
