use super::*;
use crate::lookup::freshness::GAP;
use axum::{Json, Router};
use http::{Request, Response, StatusCode};
use kube::Client;
use podbadge_runtime::metrics::Registry;
use podbadge_webhook_core::contract;
use serde_json::json;
use std::sync::Mutex;
use tokio::time;
use tower::ServiceExt as _;

/// A cluster whose API server knows nothing, forbids everything, and remembers what it was asked.
fn forbidding() -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    let status = json!({
        "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "not\nfor you",
    });
    let answers = Router::new().fallback(move |uri: http::Uri| {
        paths.lock().unwrap().push(uri.to_string());
        async move { (StatusCode::FORBIDDEN, Json(status)) }
    });
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let answers = answers.clone();
        async move {
            let answer: Response<axum::body::Body> =
                answers.oneshot(request.map(axum::body::Body::new)).await.unwrap_or_else(|never| match never {});
            Ok::<_, std::io::Error>(answer)
        }
    });
    let client = Client::new(service, "default");
    let live = Arc::new(Live::new(client));
    (Cluster::new(Arc::default(), live, false, Lookups::register(&mut Registry::default())), asked)
}

#[tokio::test]
async fn what_is_no_name_is_not_asked_for() {
    let (cluster, asked) = forbidding();
    for (namespace, service_account) in [
        ("shop", "../secrets/podbadge-webhook-tls"),
        ("shop", ".."),
        ("shop", "x?watch=true"),
        ("shop", "x y"),
        ("shop", "x%2fy"),
        ("../kube-system", "x"),
        ("", "x"),
    ] {
        let question = Question { namespace, service_account, opt_in: OptIn::Label };
        let facts = cluster.facts(question, Duration::from_secs(1)).await.unwrap();
        assert!(facts.service_account.is_none(), "{namespace}/{service_account}");
    }
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
}

#[tokio::test]
async fn a_refusal_is_told_in_one_line() {
    let (cluster, asked) = forbidding();
    let question = Question { namespace: "shop", service_account: "till", opt_in: OptIn::Label };
    let error = cluster.facts(question, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the service account could not be read: 403 Forbidden: not for you");
    assert_eq!(*asked.lock().unwrap(), ["/api/v1/namespaces/shop/serviceaccounts/till"]);
}

#[tokio::test]
async fn what_is_not_kept_is_read_or_the_review_fails() {
    let (cluster, asked) = forbidding();
    let map = " ".repeat(contract::longest(contract::IDENTITY_MAP));
    let annotations = [(contract::CLIENT_ID, "c"), (contract::IDENTITY_MAP, map.as_str())];
    for name in ["a", "b", "c", "till"] {
        cluster.index.insert_account("shop", name, ServiceAccount::from_annotations(annotations));
    }
    cluster.index.accounts_watch.connected();
    for opt_in in [OptIn::Label, OptIn::ServiceAccount] {
        let question = Question { namespace: "shop", service_account: "till", opt_in };
        let error = cluster.facts(question, Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, Unavailable::Failed(_)), "{error}");
    }
    assert_eq!(asked.lock().unwrap()[0], "/api/v1/namespaces/shop/serviceaccounts/till");
    let question = Question { namespace: "shop", service_account: "till", opt_in: OptIn::Label };
    assert!(matches!(cluster.index.facts(question, Duration::ZERO).await, Err(Unavailable::NotKept)));
}

#[tokio::test(start_paused = true)]
async fn memory_of_a_broken_watch_is_good_enough_only_for_pods_that_would_start_anyway() {
    let (cluster, asked) = forbidding();
    let identity = [(contract::CLIENT_ID, "11111111-2222-3333-4444-555555555555"), (contract::TENANT_ID, "t.example")];
    cluster.index.insert_account("shop", "till", ServiceAccount::from_annotations(identity));
    cluster.index.insert_account("shop", "plain", ServiceAccount::default());
    let ask = async |service_account, opt_in| {
        let question = Question { namespace: "shop", service_account, opt_in };
        let facts = cluster.facts(question, Duration::from_secs(1)).await;
        facts.ok().map(|facts| facts.service_account.is_some_and(|account| account.client_id.is_some()))
    };
    cluster.index.accounts_watch.connected();
    assert_eq!(ask("till", OptIn::Label).await, Some(true));
    assert_eq!(ask("till", OptIn::ServiceAccount).await, Some(true));
    assert_eq!(ask("plain", OptIn::ServiceAccount).await, Some(false));
    assert_eq!(ask("plain", OptIn::Label).await, None, "it says that it has an identity");
    assert_eq!(asked.lock().unwrap().len(), 2, "an API server in distress is not asked to confirm");

    cluster.index.accounts_watch.interrupted();
    time::advance(GAP + Duration::from_secs(1)).await;
    assert_eq!(ask("till", OptIn::Label).await, None);
    assert_eq!(ask("till", OptIn::ServiceAccount).await, Some(true));
    assert_eq!(ask("plain", OptIn::ServiceAccount).await, Some(false));
    assert_eq!(asked.lock().unwrap().len(), 5, "each is asked for");

    cluster.index.accounts_watch.connected();
    assert_eq!(ask("till", OptIn::Label).await, Some(true));
}
