//! The body of a request to the webhook, through all of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| podbadge_fuzz::review(body));
