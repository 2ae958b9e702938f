//! What the authority answers, and what the application is told of it: one line, bounded, and without a token.
#![no_main]

use std::time::Duration;

use podbadge_sidecar_core::{
    assertion::Claims,
    error::{EntraError, Failure},
    federation::FederatedCredential,
    grant::Grant,
    request::Form,
    retry::Prospect,
};

libfuzzer_sys::fuzz_target!(|input: (&str, &str)| {
    let (body, claims) = input;
    if let Ok(grant) = serde_json::from_str::<Grant>(body) {
        let token = grant.secret.expose();
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) && !grant.lasts.is_zero());
    }
    let presented: Claims = serde_json::from_str(claims).unwrap_or_default();
    let credential = FederatedCredential::matching(&presented);
    assert!(
        serde_json::from_str::<serde_json::Value>(&credential.to_string())
            .is_ok_and(|json| json["name"] == credential.name)
    );
    let Ok(error) = serde_json::from_str::<EntraError>(body) else {
        return;
    };
    let passes = Prospect::of(&error) == Prospect::Passing;
    let client_id = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
    let failure = Failure::Refused { status: 400, error, client_id, presented };
    assert!(failure.code().len() <= 7);
    for form in [Form::Imds, Form::AppService] {
        let answer = failure.answer(form, Duration::from_secs(3));
        assert_eq!((answer.status, answer.retry_after), if passes { (503, Some(3)) } else { (401, None) });
        let text = String::from_utf8(answer.body).expect("UTF-8");
        assert!(text.len() < 32 * 1024 && !text.contains("eyJ") && !text.contains(['\n', '\r']), "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
});
