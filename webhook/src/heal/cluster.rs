//! What the rounds ask of the API server.

use super::{Error, PATIENCE, patiently};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, ReplicaSet, StatefulSet},
        core::v1::{Pod, ReplicationController, ServiceAccount},
        discovery::v1::EndpointSlice,
        policy::v1::Eviction,
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions},
};
use kube::{
    Api, Client, Resource as _,
    api::{GetParams, ListParams, PostParams, Request},
};
use podbadge_webhook_core::{
    heal::{evictions::Outcome, owner::Controller},
    identity,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use tokio::time::timeout;

/// Pods a page. A pod takes about 10 KiB, so a page is what one large review takes.
pub(super) const PAGE: u32 = 100;

/// Those that may still need their identity.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// A page of pods as text, from which narrow views are read.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow, default)]
    pub(super) items: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// Where an object is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// The text of one page of pods with these labels, of one namespace or of all.
pub(super) async fn page(
    client: &Client,
    namespace: Option<&str>,
    labels: &str,
    next: Option<&str>,
) -> Result<String, Error> {
    let mut params = ListParams::default().limit(PAGE).labels(labels).fields(NOT_ENDED);
    params.continue_token = next.map(ToOwned::to_owned);
    text(client, "list pods", Request::new(Pod::url_path(&(), namespace)).list(&params)).await
}

/// The controller object of a pod, as text; `None` if it has gone.
pub(super) async fn owner(client: &Client, controller: Controller, place: Place<'_>) -> Result<Option<String>, Error> {
    let namespace = Some(place.namespace);
    let path = match controller {
        Controller::ReplicaSet => ReplicaSet::url_path(&(), namespace),
        Controller::StatefulSet => StatefulSet::url_path(&(), namespace),
        Controller::DaemonSet => DaemonSet::url_path(&(), namespace),
        Controller::ReplicationController => ReplicationController::url_path(&(), namespace),
    };
    let request = Request::new(path).get(place.name, &GetParams::default());
    match text(client, "read a pod's owner", request).await {
        Err(Error::Failed { error, .. }) if matches!(&*error, kube::Error::Api(status) if status.is_not_found()) => {
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// What a service account says; `None` if it has gone.
pub(super) async fn account(client: &Client, place: Place<'_>) -> Result<Option<identity::ServiceAccount>, Error> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), place.namespace);
    let object = patiently("read a service account", accounts.get_metadata_opt(place.name)).await?;
    Ok(object.map(|object| {
        let annotations = object.metadata.annotations.unwrap_or_default();
        identity::ServiceAccount::from_annotations(annotations.iter().map(|(key, value)| (&**key, &**value)))
    }))
}

/// How many replicas of the webhook are ready behind its Service.
pub(super) async fn ready_replicas(client: &Client, place: Place<'_>) -> Result<usize, Error> {
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), place.namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", place.name));
    let slices = patiently("count the webhook's replicas", slices.list(&params)).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    // An unknown state counts as ready (<https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/>).
    let ready = endpoints
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    // A replica has an address of each family, in a slice of its own.
    let names = ready.map(|endpoint| match endpoint.target_ref.and_then(|target| target.uid) {
        Some(uid) => uid,
        None => endpoint.addresses.concat(),
    });
    Ok(names.collect::<HashSet<_>>().len())
}

/// Asks for the eviction of this very pod.
pub(super) async fn evict(client: &Client, place: Place<'_>, uid: &str) -> (Outcome, Option<kube::Error>) {
    let api = Api::<Pod>::namespaced(client.clone(), place.namespace);
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let eviction = Eviction {
        metadata: ObjectMeta {
            name: Some(place.name.to_owned()),
            namespace: Some(place.namespace.to_owned()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() }),
    };
    let params = PostParams::default();
    let request = api.create_subresource::<_, serde_json::Value>("eviction", place.name, &params, &eviction);
    match timeout(PATIENCE, request).await {
        Ok(Ok(_)) => (Outcome::Evicted, None),
        Ok(Err(kube::Error::Api(status))) if status.code == 429 => (Outcome::Budget, None),
        // Another pod of that name is not ours to evict.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => (Outcome::Gone, None),
        Ok(Err(error)) => (Outcome::Failed, Some(error)),
        Err(_) => (Outcome::Failed, None),
    }
}

async fn text(
    client: &Client,
    doing: &'static str,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<String, Error> {
    let request =
        request.map_err(|error| Error::Failed { doing, error: Box::new(kube::Error::BuildRequest(error)) })?;
    patiently(doing, client.request_text(request)).await
}

// === impl Page ===

impl<'a> Page<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| Error::Unreadable { doing: "list pods" })
    }

    /// What to ask for the next page with, if there is one.
    pub(super) fn next(&self) -> Option<String> {
        self.metadata.next.clone().filter(|next| !next.is_empty())
    }
}
