use super::*;
use axum::{Json, Router, extract::Query};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tower::ServiceExt as _;

const ACCOUNTS: Kind = Kind { name: "service accounts", path: "/api/v1/serviceaccounts", spec: false };

/// What was listed.
#[derive(Clone, Default)]
struct Listed(Arc<Mutex<Vec<String>>>);

impl Target for Listed {
    type Spec = serde::de::IgnoredAny;

    fn begin(&mut self) {}
    fn listed(&mut self, object: &Object) {
        self.0.lock().unwrap().push(object.metadata.name.to_string());
    }
    fn complete(&mut self) {}
    fn changed(&mut self, _: &Object) {}
    fn deleted(&mut self, _: &Object) {}
    fn connected(&mut self) {}
    fn interrupted(&mut self) {}
}

#[tokio::test]
async fn a_page_that_is_too_long_is_asked_for_in_parts() {
    // Accounts of a MiB each, and one that is longer than any page.
    const COUNT: usize = 10;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sizes = Arc::clone(&asked);
    let answers = Router::new().fallback(move |Query(query): Query<HashMap<String, String>>| {
        let number = |key: &str| query.get(key).map_or(0, |number| number.parse::<usize>().unwrap());
        let (from, size) = (number("continue"), number("limit"));
        sizes.lock().unwrap().push(size);
        let to = COUNT.min(from + size);
        let account = |number: usize| {
            let text = "x".repeat(if number == 3 { 9 << 20 } else { 1 << 20 });
            json!({ "metadata": { "name": number.to_string(), "annotations": { "example.test/a": text } } })
        };
        let items: Vec<_> = (from..to).map(account).collect();
        let next = if to < COUNT { to.to_string() } else { String::new() };
        std::future::ready(Json(json!({ "metadata": { "resourceVersion": "1", "continue": next }, "items": items })))
    });
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let answers = answers.clone();
        async move {
            let answer =
                answers.oneshot(request.map(axum::body::Body::new)).await.unwrap_or_else(|never| match never {});
            Ok::<http::Response<axum::body::Body>, std::io::Error>(answer)
        }
    });
    let client = Client::new(service, "default");
    let listed = Listed::default();
    let mut follower = Follower { client, kind: ACCOUNTS, target: listed.clone(), version: None, streams: false };
    follower.pages().await.unwrap();
    let names: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(*listed.0.lock().unwrap(), names, "each once");
    assert_eq!(asked.lock().unwrap()[..4], [500, 62, 7, 1], "until it fits");
    assert!(asked.lock().unwrap()[4..].contains(&2), "and more again where more fit: {asked:?}");
}
