use super::*;
use podbadge_webhook_core::{contract, resources::Spec, value::Id};
use serde_json::json;

fn annotated() -> ServiceAccount {
    ServiceAccount::from_annotations([(contract::CLIENT_ID, "c")])
}

fn plain() -> Entry {
    Entry::Plain(Arc::default())
}

fn limits(max: &str) -> Limits {
    let spec = json!({ "limits": [{ "type": "Container", "max": { "memory": max } }] });
    Limits::from(&serde_json::from_value::<Spec>(spec).unwrap())
}

#[test]
fn names_are_kept_of_all_and_annotations_of_few() {
    let index = Index::default();
    index.insert_account("shop", "till", annotated());
    index.insert_account("shop", "default", ServiceAccount::default());
    assert_eq!(index.service_account("shop", "till"), Entry::Annotated(Arc::new(annotated())));
    assert_eq!(index.service_account("shop", "default"), plain());
    assert_eq!(index.service_account("shop", "other"), Entry::Missing);
    assert_eq!(index.service_account("other", "till"), Entry::Missing);

    index.insert_account("shop", "till", ServiceAccount::default());
    assert_eq!(index.service_account("shop", "till"), plain());
    index.remove_account("shop", "till");
    assert_eq!(index.service_account("shop", "till"), Entry::Missing);
}

/// As long as a map may be.
fn mapped() -> ServiceAccount {
    let map = " ".repeat(contract::longest(contract::IDENTITY_MAP));
    ServiceAccount::from_annotations([(contract::CLIENT_ID, "c"), (contract::IDENTITY_MAP, &map)])
}

#[test]
fn a_namespace_has_its_share_of_memory() {
    let index = Index::default();
    let kept = || {
        let entries = (0..1_000).map(|number| index.service_account("shop", &number.to_string()));
        entries.filter(|entry| matches!(entry, Entry::Annotated(_))).count()
    };
    let insert_all = || (0..1_000).for_each(|number| index.insert_account("shop", &number.to_string(), mapped()));
    insert_all();
    assert_eq!(kept(), 3, "as many as fit into 256 KiB with their client ids");
    assert_eq!(index.service_account("shop", "999"), Entry::Elsewhere);
    // Others have theirs, and who names GUIDs alone needs none.
    index.insert_account("bank", "till", mapped());
    assert!(matches!(index.service_account("bank", "till"), Entry::Annotated(_)));
    let guid = [(contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555")];
    index.insert_account("shop", "till", ServiceAccount::from_annotations(guid));
    assert!(matches!(index.service_account("shop", "till"), Entry::Annotated(_)));

    // What is seen again takes no more, and what goes makes room: one by one, or as a list does not name it.
    insert_all();
    assert_eq!(kept(), 3);
    index.remove_account("shop", "0");
    index.insert_account("shop", "999", mapped());
    assert!(matches!(index.service_account("shop", "999"), Entry::Annotated(_)));
    index.begin_accounts();
    index.insert_account("shop", "5", mapped());
    index.complete_accounts();
    index.insert_account("shop", "6", mapped());
    assert_eq!(index.service_account("shop", "5"), Entry::Elsewhere, "it was listed while the others were there");
    assert!(matches!(index.service_account("shop", "6"), Entry::Annotated(_)));
    assert_eq!(index.annotated_namespaces(), [Box::from("shop")]);
}

#[test]
fn a_namespace_that_loses_its_annotations_is_like_all_others() {
    let index = Index::default();
    index.insert_namespace("shop", Namespace::read([], [(contract::TENANT_ID, "t")]));
    assert_eq!(index.namespace("shop").tenant_id, Id::parse("t").map(Ok));
    index.insert_namespace("shop", Namespace::default());
    assert_eq!(*index.namespace("shop"), Namespace::default());
}

#[test]
fn a_second_list_drops_what_it_does_not_name() {
    let index = Index::default();
    index.begin_accounts();
    for name in ["stays", "goes", "changes"] {
        index.insert_account("shop", name, ServiceAccount::default());
    }
    index.insert_account("gone", "goes", ServiceAccount::default());
    index.complete_accounts();

    // One that is broken off takes nothing away.
    index.begin_accounts();
    index.insert_account("shop", "stays", ServiceAccount::default());
    assert_eq!(index.service_account("shop", "goes"), plain());

    index.begin_accounts();
    index.insert_account("shop", "changes", annotated());
    index.insert_account("shop", "stays", ServiceAccount::default());
    assert_eq!(index.service_account("shop", "goes"), plain(), "until the list is whole");
    assert_eq!(index.service_account("shop", "changes"), Entry::Annotated(Arc::new(annotated())));
    index.complete_accounts();
    assert_eq!(index.service_account("shop", "stays"), plain());
    assert_eq!(index.service_account("shop", "goes"), Entry::Missing);
    assert_eq!(index.service_account("gone", "goes"), Entry::Missing);
}

#[test]
fn the_limit_ranges_of_a_namespace_count_together() {
    let index = Index::default();
    assert_eq!(index.limits("shop"), None);
    index.insert_limits("shop", "a", limits("32Mi"));
    assert_eq!(index.limits("shop").as_deref(), Some(&limits("32Mi")));
    index.insert_limits("shop", "b", limits("16Mi"));
    assert_eq!(index.limits("shop").as_deref(), Some(&limits("16Mi")));
    index.insert_limits("shop", "b", Limits::default());
    assert_eq!(index.limits("shop").as_deref(), Some(&limits("32Mi")));
    index.begin_limits();
    index.complete_limits();
    assert_eq!(index.limits("shop"), None);
}

#[test]
fn what_many_namespaces_demand_is_held_once() {
    let index = Index::default();
    for namespace in ["shop", "bank"] {
        index.insert_limits(namespace, "platform", limits("32Mi"));
    }
    assert!(Arc::ptr_eq(&index.limits("shop").unwrap(), &index.limits("bank").unwrap()));
    // One that changes for ever leaves nothing behind.
    for mebibytes in 1..10_000 {
        index.insert_limits("shop", "platform", limits(&format!("{mebibytes}Mi")));
    }
    assert!(index.shapes.lock().unwrap().len() < 4 * SHAPES);
}

#[tokio::test(start_paused = true)]
async fn a_gap_lasts_until_the_watch_runs_again() {
    let health = Health::default();
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(health.gap(), Duration::from_secs(2), "it has not begun");
    health.connected();
    assert_eq!(health.gap(), Duration::ZERO);
    health.interrupted();
    tokio::time::advance(Duration::from_secs(1)).await;
    health.interrupted();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(health.gap(), Duration::from_secs(2), "counted from the first of its errors");
}
