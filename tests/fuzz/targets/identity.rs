//! What a service account says about its identities. Whatever can be read is the same once it has been shown.
#![no_main]

use podbadge_sidecar_core::identity::{AllowedClientIds, IdentityMap};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match text.parse::<AllowedClientIds>() {
        Ok(list) => assert_eq!(list.to_string().parse(), Ok(list)),
        Err(error) => told(&error.to_string()),
    }
    match text.parse::<IdentityMap>() {
        Ok(map) => assert_eq!(map.to_string().parse(), Ok(map)),
        Err(error) => told(&error.to_string()),
    }
});

/// One line, not much longer than what it says.
fn told(error: &str) {
    assert!(!error.is_empty() && error.len() < 1_024 && !error.contains(char::is_control), "{error:?}");
}
