//! A pod, and what the annotations of its service account say. Admitting what was admitted must add nothing.
#![no_main]

use podbadge_webhook_core::{
    contract,
    decision::{self, Known, OptIn, Outcome},
    identity::{Namespace, ServiceAccount},
    pod::Pod,
    resources::Limits,
    settings::Settings,
};

libfuzzer_sys::fuzz_target!(|input: (&str, &str, &[u8])| {
    let (mode, expiration, pod) = input;
    let Ok(pod) = Pod::from_json(pod) else { return };
    let annotations = [
        (contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555"),
        (contract::TENANT_ID, "contoso.example"),
        (contract::TOKEN_EXPIRATION, expiration),
        (contract::SIDECAR, mode),
    ];
    let account = ServiceAccount::from_annotations(annotations);
    let namespace = Namespace::default();
    let known = Known { service_account: Some(&account), namespace: &namespace, limits: &Limits::NONE, random: 0 };
    let outcome = decision::decide(&pod, "default", OptIn::Label, known, &Settings::default());
    if let Outcome::Allow { patch: Some(patch), .. } = outcome {
        let operations: serde_json::Value = serde_json::from_slice(patch.as_bytes()).expect("a patch is JSON");
        assert!(operations.as_array().is_some_and(|operations| !operations.is_empty()));
    }
});
