//! The admin port: `/livez`, `/readyz`, `/metrics`. Apart from the traffic, so that probes and scrapes never queue
//! behind it.

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    metrics::{self, Metrics},
    ready::Readiness,
};

/// The admin endpoints: `/livez` (200 as long as the process answers), `/readyz` (200, or 503 with one missing part a
/// line) and `/metrics` (OpenMetrics text).
pub fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready(&readiness) }))
        .route("/metrics", get(move || async move { scrape(&metrics) }))
}

/// The answer of a readiness endpoint: 200 `ok`, or 503 naming what is missing, one part a line. For processes that
/// serve it beside their traffic.
#[must_use]
pub fn ready(readiness: &Readiness) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    let lines = missing.iter().map(|what| format!("not ready: {what}\n")).collect::<String>();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

fn scrape(metrics: &Metrics) -> Response {
    match metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "Cannot encode metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, Option<String>, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let readiness = Readiness::default();
        let (certificate, cache) = (readiness.latch("certificate"), readiness.latch("service accounts"));
        let router = router(readiness.clone(), metrics::registry("t", "0").into());

        let (status, _, body) = ask(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "not ready: certificate\nnot ready: service accounts\n");

        certificate.open();
        cache.open();
        let (status, _, body) = ask(&router, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "ok\n"));

        readiness.stopping();
        let (status, _, body) = ask(&router, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping\n"));
    }

    #[tokio::test]
    async fn readiness_is_a_metric() {
        let readiness = Readiness::default();
        let certificate = readiness.latch("certificate");
        let mut registry = metrics::registry("podbadge_test", "0");
        readiness.register(&mut registry);
        let router = router(readiness, registry.into());
        assert!(ask(&router, "/metrics").await.2.contains("\npodbadge_test_ready 0\n"));
        certificate.open();
        assert!(ask(&router, "/metrics").await.2.contains("\npodbadge_test_ready 1\n"));
    }

    #[tokio::test]
    async fn an_unready_process_is_alive() {
        let readiness = Readiness::default();
        drop(readiness.latch("certificate"));
        let router = router(readiness, metrics::registry("t", "0").into());
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let router = router(Readiness::default(), metrics::registry("podbadge_test", "0").into());
        let (status, kind, body) = ask(&router, "/metrics").await;
        assert_eq!((status, kind.as_deref()), (StatusCode::OK, Some(metrics::CONTENT_TYPE)));
        assert!(body.contains("podbadge_test_build_info"), "{body}");
    }
}
