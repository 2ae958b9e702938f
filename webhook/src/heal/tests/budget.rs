//! What a real client makes of a PodDisruptionBudget's refusal, over a socket.

use crate::heal::{self, cluster};
use axum::{Json, Router, http::StatusCode};
use podbadge_webhook_core::heal::evictions::Outcome;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[tokio::test]
async fn a_budget_is_asked_once() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        // As the API server answers it.
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429, "reason": "TooManyRequests",
            "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        });
        std::future::ready((StatusCode::TOO_MANY_REQUESTS, Json(status)))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let client = heal::client(kube::Config::new(url.parse().unwrap())).unwrap();
    let place = cluster::Place { namespace: "shop", name: "till" };
    let (outcome, error) = cluster::evict(&client, place, "uid").await;
    server.abort();
    assert_eq!((outcome, asked.load(Ordering::SeqCst)), (Outcome::Budget, 1), "{error:?}");
}
