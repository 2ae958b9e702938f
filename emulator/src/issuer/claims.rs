//! The claims of projected service-account tokens, as Kubernetes writes them (`pkg/serviceaccount/claims.go`). Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::DEFAULT_AUDIENCE;

/// What a service-account token is asked for and bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountToken {
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: Object,
    /// The pod the token is bound to.
    pub pod: Option<Object>,
    /// The node the pod runs on.
    pub node: Option<Object>,
    /// The audiences, at least one.
    pub audiences: Vec<String>,
}

/// A Kubernetes object by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its uid; a node's may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// The claims of a token, in the order in which Kubernetes writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The audiences, always as an array.
    pub aud: Vec<String>,
    /// When the token ends, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// The issuer.
    pub iss: String,
    /// The token's own id (Kubernetes 1.30 and newer).
    pub jti: String,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Kubernetes,
    /// When it begins, in seconds since 1970.
    pub nbf: i64,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
}

/// The private claim `kubernetes.io`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// The namespace.
    pub namespace: String,
    /// The node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Object>,
    /// The pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Object>,
    /// The service account.
    pub serviceaccount: Object,
    /// When use of the token is to be warned about: only in tokens for the API server that live longer than they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

// === impl ServiceAccountToken ===

impl ServiceAccountToken {
    /// A token for Entra, bound to no pod yet.
    #[must_use]
    pub fn new(namespace: &str, service_account: Object) -> Self {
        Self {
            namespace: namespace.to_owned(),
            service_account,
            pod: None,
            node: None,
            audiences: vec![DEFAULT_AUDIENCE.to_owned()],
        }
    }

    /// The `sub` of the token.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account.name)
    }

    /// The claims of a token issued `now`; `id` becomes its `jti`.
    #[must_use]
    pub fn claims(&self, issuer: &str, now: SystemTime, lifetime: Duration, id: Uuid) -> Claims {
        let seconds = |at: Duration| i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Claims {
            aud: self.audiences.clone(),
            exp: seconds(now.saturating_add(lifetime)),
            iat: seconds(now),
            iss: issuer.to_owned(),
            jti: id.to_string(),
            kubernetes: Kubernetes {
                namespace: self.namespace.clone(),
                node: self.node.clone(),
                pod: self.pod.clone(),
                serviceaccount: self.service_account.clone(),
                warnafter: None,
            },
            nbf: seconds(now),
            sub: self.subject(),
        }
    }
}

// === impl Object ===

impl Object {
    /// An object with a uid.
    #[must_use]
    pub fn new(name: &str, uid: &str) -> Self {
        Self { name: name.to_owned(), uid: Some(uid.to_owned()) }
    }
}
