use serde_json::json;

use super::*;
use crate::fake::{Cluster, NAMESPACE, SECRET};

fn store(cluster: &Cluster) -> Store {
    Store::new(cluster.client(), NAMESPACE.to_owned(), SECRET.to_owned())
}

fn data(value: &str) -> Data {
    [("tls.crt".to_owned(), Zeroizing::new(value.as_bytes().to_vec()))].into()
}

#[tokio::test]
async fn a_missing_secret_is_made_and_read_back() {
    let cluster = Cluster::new();
    let store = store(&cluster);
    let missing = store.read().await.unwrap();
    assert!(missing.data().is_none());
    store.write(&missing, &data("one")).await.unwrap();
    assert_eq!(store.read().await.unwrap().data(), Some(&data("one")));
    let secret = cluster.objects().secret.clone().unwrap();
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(secret["metadata"]["name"], SECRET);
}

#[tokio::test]
async fn the_second_writer_is_told() {
    let cluster = Cluster::new();
    let store = store(&cluster);
    let (one, two) = (store.read().await.unwrap(), store.read().await.unwrap());
    store.write(&one, &data("one")).await.unwrap();
    assert!(matches!(store.write(&two, &data("two")).await, Err(Error::Conflict { .. })), "made twice");

    let (one, two) = (store.read().await.unwrap(), store.read().await.unwrap());
    store.write(&one, &data("three")).await.unwrap();
    assert!(matches!(store.write(&two, &data("four")).await, Err(Error::Conflict { .. })), "replaced twice");

    let read = store.read().await.unwrap();
    cluster.objects().secret = None;
    assert!(matches!(store.write(&read, &data("five")).await, Err(Error::Conflict { .. })), "deleted in between");
}

#[tokio::test]
async fn what_is_not_ours_stays() {
    let cluster = Cluster::new();
    cluster.objects().secret = Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": SECRET, "namespace": NAMESPACE, "resourceVersion": "1", "labels": {"team": "a"}},
        "data": {"note": "aGVsbG8="},
    }));
    let store = store(&cluster);
    let read = store.read().await.unwrap();
    store.write(&read, &data("one")).await.unwrap();
    let secret = cluster.objects().secret.clone().unwrap();
    assert_eq!((&secret["type"], &secret["metadata"]["labels"]["team"]), (&json!("Opaque"), &json!("a")));
    assert_eq!(secret["data"], json!({"note": "aGVsbG8=", "tls.crt": "b25l"}));
}

#[tokio::test]
async fn refusals_name_the_secret_and_the_reason() {
    let cluster = Cluster::new();
    let store = store(&cluster);
    let missing = store.read().await.unwrap();
    cluster.objects().forbidden = ["GET secrets", "POST secrets"].into();
    let error = store.write(&missing, &data("one")).await.unwrap_err();
    let text = "cannot write Secret podbadge-system/podbadge-webhook-tls: secrets is forbidden: no permission";
    assert_eq!(error.to_string(), text);
    let Err(error) = store.read().await else { panic!("read") };
    let text = "cannot read Secret podbadge-system/podbadge-webhook-tls: secrets is forbidden: no permission";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn an_unreadable_answer_is_not_quoted() {
    let cluster = Cluster::new();
    cluster.objects().secret = Some(json!({"metadata": {"name": SECRET}, "data": {"tls.key": ["hush"]}}));
    let Err(error) = store(&cluster).read().await else { panic!("read") };
    assert!(matches!(&error, Error::Read { reason, .. } if reason == "the API server's answer is unreadable"));
    assert!(!format!("{error} {error:?}").contains("hush"));
}
