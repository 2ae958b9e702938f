//! The cluster's answer: from the index, else from the API server, once and not for long.

use super::{Entry, Facts, Index, Lookup, Question, Unavailable, watch};
use crate::{
    config::is_name,
    metrics::{Lookups, Source},
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use podbadge_webhook_core::decision::OptIn;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time};

/// Live reads at the same time. A burst of pods whose service accounts are all new must not become a burst on the API
/// server.
const LIVE_READS: usize = 64;

/// Looks service accounts up in the index and, where that does not know, at the API server.
pub struct Cluster {
    client: Client,
    index: Arc<Index>,
    live: Semaphore,
    metrics: Lookups,
}

impl Cluster {
    /// Answers from the index, which someone else keeps up to date.
    pub fn new(client: Client, index: Arc<Index>, metrics: Lookups) -> Self {
        Self { client, index, live: Semaphore::new(LIVE_READS), metrics }
    }

    async fn read(&self, question: Question<'_>, deadline: Duration) -> Result<Facts, Unavailable> {
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), question.namespace);
        let read = async {
            // The semaphore is never closed, so a permit is only waited for.
            let _permit = self.live.acquire().await;
            api.get_metadata_opt(question.service_account).await
        };
        let object = time::timeout(deadline, read)
            .await
            .map_err(|_| Unavailable::Timeout(deadline))?
            .map_err(|error| Unavailable::Failed(Box::new(error)))?;
        let service_account = object.map(|object| Arc::new(watch::account(&object)));
        Ok(Facts { service_account, namespace: self.index.namespace(question.namespace) })
    }
}

impl Lookup for Cluster {
    async fn facts(&self, question: Question<'_>, deadline: Duration) -> Result<Facts, Unavailable> {
        // The API server checks a pod's names after admission, and here they become the path of a request: `../secrets/x`
        // would be read with this webhook's permissions.
        if !is_name(question.namespace) || !is_name(question.service_account) {
            self.metrics.count(Source::Memory);
            return Ok(Facts::default());
        }
        let entry = self.index.service_account(question.namespace, question.service_account);
        // The watch is always a little late. An account it has not seen is read, whoever asks; one without an identity
        // only for a pod that expects one, because nearly all pods of a cluster have such an account.
        let known = match (&entry, question.opt_in) {
            (Entry::Annotated(account), _) => account.client_id.is_some() || question.opt_in != OptIn::Label,
            (Entry::Plain, OptIn::ServiceAccount) => true,
            (Entry::Plain, OptIn::Label) | (Entry::Missing, _) => false,
        };
        if known {
            self.metrics.count(Source::Memory);
            return Ok(Facts { service_account: entry.known(), namespace: self.index.namespace(question.namespace) });
        }
        let facts = self.read(question, deadline).await;
        self.metrics.count(if facts.is_ok() { Source::Live } else { Source::Failed });
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router};
    use http::{Request, Response, StatusCode};
    use podbadge_runtime::metrics::Registry;
    use serde_json::json;
    use std::sync::Mutex;
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
        (Cluster::new(client, Arc::default(), Lookups::register(&mut Registry::default())), asked)
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
}
