//! A review on its way through the whole webhook, short of HTTP, and what must be true of every answer.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use podbadge_webhook::{admit::Admission, lookup::Index};
use podbadge_webhook_core::{
    contract,
    identity::{Namespace, ServiceAccount},
    resources::{Limits, Spec},
    settings::{Roots, Settings, TokenEndpoint},
    warning,
};
use serde_json::Value;

/// The namespace that has something to say, and accounts.
pub const NAMESPACE: &str = "shop";
/// An account with an identity of its own; `default` has none.
pub const ACCOUNT: &str = "web";

const IDENTITY: [(&str, &str); 2] =
    [(contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555"), (contract::TENANT_ID, "contoso.example")];
const LIMITS: &str = r#"{"limits":[{"type":"Container","min":{"cpu":"20m"},"maxLimitRequestRatio":{"memory":"2"}}]}"#;

/// One as it is installed by default, and one with all that an operator can switch on.
static WEBHOOKS: LazyLock<[Admission<Arc<Index>>; 2]> = LazyLock::new(|| {
    let index = Index::default();
    index.insert_account(NAMESPACE, ACCOUNT, ServiceAccount::from_annotations(IDENTITY));
    index.insert_account(NAMESPACE, "default", ServiceAccount::default());
    index.insert_namespace(NAMESPACE, Namespace::read([], IDENTITY));
    let limits: Spec = serde_json::from_str(LIMITS).expect("a LimitRange");
    index.insert_limits(NAMESPACE, "limits", Limits::from(&limits));
    let index = Arc::new(index);
    let mut all = Settings { strict: true, ..Settings::default() };
    all.sidecar.native = true;
    all.sidecar.pull_secrets = vec!["registry".to_owned()];
    all.token_endpoint = Some(TokenEndpoint {
        annotation: format!("{}bindings", contract::USE_TOKEN_ENDPOINT),
        audience: "api://AKSIdentityBinding".to_owned(),
        url: Some("https://bindings.test".to_owned()),
        sni_name: None,
        roots: Roots::ConfigMap("bindings-ca".to_owned()),
    });
    [Settings::default(), all].map(|settings| Admission::new(Arc::new(settings), Arc::clone(&index)))
});

/// Has a body answered. What came out of it, asked about again, stays as it is.
pub fn review(body: &[u8]) {
    for webhook in WEBHOOKS.iter() {
        // What the API server would never send, but others may.
        let _ = patch(webhook, body);
        if let Some(Ok(advice)) = webhook.advise(body, Duration::ZERO).now_or_never() {
            told(&advice.body);
        }
        let Ok(mut review) = serde_json::from_slice::<Value>(body) else { continue };
        let Some(patch_of_first) = patch(webhook, review.to_string().as_bytes()) else { continue };
        let object = &mut review["request"]["object"];
        json_patch::patch(object, &patch_of_first).expect("the patch applies");
        let again = patch(webhook, review.to_string().as_bytes());
        assert!(again.is_none(), "{patch_of_first}\nand then\n{}\nof\n{review}", again.unwrap_or_default());
    }
}

fn patch(webhook: &Admission<Arc<Index>>, body: &[u8]) -> Option<json_patch::Patch> {
    // A fixed set is never waited for.
    let answer = webhook.answer(body, Duration::ZERO).now_or_never()?.ok()?;
    let patch = told(&answer.body)["patch"].as_str().map(|patch| STANDARD.decode(patch).expect("base64"))?;
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
    assert!(!patch.is_empty());
    Some(patch)
}

/// The response, which people can read: lines that are not too long, and no more of them than are passed on.
fn told(answer: &[u8]) -> Value {
    let mut answer: Value = serde_json::from_slice(answer).expect("JSON");
    let response = answer["response"].take();
    let warnings = response["warnings"].as_array();
    let warnings: Vec<_> = warnings.into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(warnings.len() <= warning::MOST, "{warnings:?}");
    let message = response["status"]["message"].as_str();
    for line in message.iter().chain(&warnings) {
        assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
    }
    assert!(warnings.iter().all(|warning| warning.len() <= warning::LONGEST), "{warnings:?}");
    assert_eq!(response["allowed"], message.is_none());
    response
}
