//! Other webhooks that inject for the same label.

use super::*;

fn foreign(name: &str, selector: &Value) -> Value {
    json!({
        "metadata": { "name": name },
        "webhooks": [{
            "name": format!("{name}.example"), "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {},
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
            "objectSelector": selector,
        }],
    })
}

#[tokio::test(start_paused = true)]
async fn another_webhook_for_the_same_label_is_told() {
    let fake = Fake::new();
    let replica = Replica::start(&fake, "a", &["--heal-interval=300"]);
    sleep(MINUTE).await;
    assert_eq!(replica.metric("foreign_webhooks"), 0, "its own is none");

    let elsewhere = json!({ "matchLabels": { "app": "till" } });
    fake.state().configurations = vec![
        foreign("azure", &json!({ "matchLabels": { contract::USE: "true" } })),
        foreign("mesh", &elsewhere),
        // Keeps its hands off such pods, as a policy engine may.
        foreign(
            "others",
            &json!({ "matchExpressions": [{ "key": contract::USE, "operator": "NotIn", "values": ["true"] }] }),
        ),
        foreign("everybody", &json!({})),
        // What another release of ours has where unlabelled pods are none of its business.
        foreign(
            "nobody",
            &json!({ "matchExpressions": [
                { "key": contract::USE, "operator": "Exists" }, { "key": contract::USE, "operator": "DoesNotExist" },
            ]}),
        ),
        foreign(
            "other",
            &json!({ "matchExpressions": [{ "key": contract::USE, "operator": "In", "values": ["true"] }] }),
        ),
    ];
    sleep(5 * MINUTE).await;
    assert_eq!(replica.metric("foreign_webhooks"), 2);
    let told = notes(&fake);
    let [(about, reason, note)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((about.as_str(), reason.as_str()), ("podbadge-webhook", "ForeignWebhook"));
    assert!(note.contains("azure (azure.example), other (other.example)"), "{note}");
    sleep(30 * MINUTE).await;
    assert_eq!(notes(&fake).len(), 1);
    // An event is kept for an hour.
    sleep(30 * MINUTE).await;
    assert_eq!(notes(&fake).len(), 2);

    fake.state().configurations.clear();
    sleep(5 * MINUTE).await;
    assert_eq!(replica.metric("foreign_webhooks"), 0);
}
