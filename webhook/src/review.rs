//! Reads an AdmissionReview and writes its answer
//! (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>).

mod reply;

pub use reply::{Audit, denied, patched};

use podbadge_webhook_core::{
    advice::{self, Kind},
    pod::{Pod, Text},
    value::{cut, excerpt},
};
use serde::{Deserialize, de::IgnoredAny};
use std::fmt;

/// The one version that every supported API server speaks.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// The most that is told of where an error is: paths hold keys, which may be of any length.
const LONGEST_FIELD: usize = 256;

/// A review, as far as it decides something.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a, O: Deserialize<'de>"))]
struct Envelope<'a, O> {
    #[serde(default)]
    api_version: Text<'a>,
    #[serde(default)]
    kind: Text<'a>,
    request: Option<Request<'a, O>>,
}

/// The request of a review, with its object read as `O`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a, O: Deserialize<'de>"))]
pub struct Request<'a, O = Pod<'a>> {
    /// Identifies the review; every answer repeats it.
    pub uid: Text<'a>,
    /// What the object is.
    #[serde(default)]
    resource: Resource<'a>,
    #[serde(default)]
    sub_resource: Option<Text<'a>>,
    #[serde(default)]
    operation: Text<'a>,
    /// The namespace; pods of controllers do not repeat it in their metadata.
    #[serde(default)]
    pub namespace: Option<Text<'a>>,
    /// The object as it would be created or changed.
    pub object: Option<O>,
    /// The object before a change.
    pub old_object: Option<O>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Resource<'a> {
    group: Text<'a>,
    resource: Text<'a>,
}

/// An object that is reviewed, and what may happen to it.
pub trait Reviewed<'a>: Deserialize<'a> + Default {
    /// What a review is about.
    type Subject: fmt::Debug;
    /// What such an object is called.
    const NOUN: &'static str;

    /// What an operation on a resource, or a part of it, is about; `None` where this object is not reviewed for it.
    fn subject(group: &str, resource: &str, sub_resource: &str, operation: &str) -> Option<Self::Subject>;
}

/// What happens to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfPod {
    /// It is to be created.
    Creation,
    /// It runs, and is to get a container of `kubectl debug`.
    Ephemeral,
}

/// What a review turns out to be.
#[derive(Debug)]
pub enum Review<'a, O = Pod<'a>, S = OfPod> {
    /// It is about such an object.
    Object(S, Request<'a, O>),
    /// Something else happens; it is none of our business.
    Other {
        /// The review's uid.
        uid: Text<'a>,
        /// What happens to what, for a warning.
        what: String,
    },
    /// It is about such an object, which has a field of the wrong type.
    BadObject {
        /// The review's uid.
        uid: Text<'a>,
        /// The field and what is wrong with it.
        error: String,
    },
}

/// Why a text is no review. Such a request does not come from an API server.
#[derive(Debug, thiserror::Error)]
pub enum NoReview {
    /// Nothing was sent.
    #[error("the body is empty; an AdmissionReview of {API_VERSION} is expected")]
    Empty,
    /// Not JSON, or not an object of that shape.
    #[error("the body is not an AdmissionReview in JSON: {0}")]
    Malformed(String),
    /// Another kind or version.
    #[error("the body is a {kind:?} of {version:?}; an {KIND:?} of {API_VERSION:?} is expected")]
    Version {
        /// What it says it is.
        kind: String,
        /// Of which version.
        version: String,
    },
    /// A review without its request, such as an answer.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

/// Reads the review of a pod, see [`read_as`].
///
/// # Errors
///
/// The body is no review at all.
pub fn read(body: &[u8]) -> Result<Review<'_>, NoReview> {
    read_as(body)
}

/// Reads the review of what is advised on, see [`read_as`].
///
/// # Errors
///
/// The body is no review at all.
pub fn read_advised(body: &[u8]) -> Result<Review<'_, advice::Object<'_>, Kind>, NoReview> {
    read_as(body)
}

/// Reads the body of a request in one pass; only where that fails, a second one finds out what is wrong.
///
/// # Errors
///
/// The body is no review at all.
fn read_as<'a, O: Reviewed<'a>>(body: &'a [u8]) -> Result<Review<'a, O, O::Subject>, NoReview> {
    // Judged once and whole, because piece by piece costs more.
    let text = str::from_utf8(body).map_err(|error| NoReview::Malformed(error.to_string()))?;
    match serde_json::from_str::<Envelope<'_, O>>(text) {
        Ok(envelope) => {
            let mut request = envelope.request()?;
            Ok(match request.subject::<O>() {
                Some(subject) => {
                    // A review without its object does not happen; reading it as an empty one leaves it alone.
                    request.object.get_or_insert_default();
                    Review::Object(subject, request)
                }
                None => Review::Other { what: request.described(), uid: request.uid },
            })
        }
        Err(error) => explain(text, &error),
    }
}

fn explain<'a, O: Reviewed<'a>>(
    text: &'a str,
    error: &serde_json::Error,
) -> Result<Review<'a, O, O::Subject>, NoReview> {
    if text.trim_ascii().is_empty() {
        return Err(NoReview::Empty);
    }
    let request = serde_json::from_str::<Envelope<'_, IgnoredAny>>(text)
        .map_err(|_| NoReview::Malformed(described(error)))?
        .request()?;
    if request.subject::<O>().is_none() {
        return Ok(Review::Other { what: request.described(), uid: request.uid });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize::<_, Envelope<'_, O>>(&mut reader) {
        Err(named) => {
            let path = named.path().to_string();
            let field = path.strip_prefix("request.object.").unwrap_or(&path);
            format!("{} field {}: {}", O::NOUN, cut(field, LONGEST_FIELD), described(named.inner()))
        }
        Ok(_) => described(error),
    };
    Ok(Review::BadObject { uid: request.uid, error })
}

/// The error without the value that caused it, which may be a password in the wrong place, or megabytes.
fn described(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.split(['"', '`']).next(), text.rsplit_once(", expected ")) {
        (Some(found), Some((_, expected))) if text.contains(['"', '`']) => {
            format!("{}, expected {}", found.trim_end(), cut(expected, LONGEST_FIELD))
        }
        _ => cut(&text, LONGEST_FIELD).into_owned(),
    }
}

// === impl Envelope ===

impl<'a, O> Envelope<'a, O> {
    fn request(self) -> Result<Request<'a, O>, NoReview> {
        if self.kind.as_str() != KIND || self.api_version.as_str() != API_VERSION {
            let [kind, version] = [self.kind, self.api_version].map(|said| excerpt(said.as_str()).into_owned());
            return Err(NoReview::Version { kind, version });
        }
        self.request.ok_or(NoReview::NoRequest)
    }
}

// === impl Request ===

impl<O> Request<'_, O> {
    /// What happens to what, as `S` is reviewed for it.
    fn subject<'s, S: Reviewed<'s>>(&self) -> Option<S::Subject> {
        let (group, resource, sub_resource, operation) = self.parts();
        S::subject(group, resource, sub_resource, operation)
    }

    /// What happens to what, for people.
    fn described(&self) -> String {
        let (group, resource, sub_resource, operation) = self.parts();
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if sub_resource.is_empty() { "" } else { "/" };
        format!("{operation} of {resource}{dot}{group}{slash}{sub_resource}")
    }

    fn parts(&self) -> (&str, &str, &str, &str) {
        let Resource { group, resource } = &self.resource;
        let sub_resource = self.sub_resource.as_ref().map(Text::as_str).unwrap_or_default();
        (group.as_str(), resource.as_str(), sub_resource, self.operation.as_str())
    }
}

// === impl Reviewed ===

impl<'a> Reviewed<'a> for Pod<'a> {
    type Subject = OfPod;
    const NOUN: &'static str = "pod";

    fn subject(group: &str, resource: &str, sub_resource: &str, operation: &str) -> Option<OfPod> {
        match (group, resource, sub_resource, operation) {
            ("", "pods", "", "CREATE") => Some(OfPod::Creation),
            ("", "pods", "ephemeralcontainers", "UPDATE") => Some(OfPod::Ephemeral),
            _ => None,
        }
    }
}

impl<'a> Reviewed<'a> for advice::Object<'a> {
    type Subject = Kind;
    const NOUN: &'static str = "object";

    fn subject(group: &str, resource: &str, sub_resource: &str, operation: &str) -> Option<Kind> {
        let meant = sub_resource.is_empty() && matches!(operation, "CREATE" | "UPDATE");
        Kind::of(group, resource).filter(|_| meant)
    }
}

#[cfg(test)]
mod tests;
