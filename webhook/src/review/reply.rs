//! The answers. Written by types of our own: kube's write the patch as a list of numbers, three times the size.

use super::{API_VERSION, KIND};
use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use podbadge_webhook_core::{patch::Patch, warning::Warning};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Encoded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "texts")]
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<Audit<'a>>,
}

/// What the API server's audit log says of the review, each below the webhook's name
/// (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response>).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Audit<'a> {
    /// The reason of the outcome, as in metrics.
    pub outcome: &'a str,
    /// The identity that the pod has, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<&'a str>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

struct Encoded<'a>(&'a Patch);

/// The pod may be created, with the patch if there is one.
pub fn patched(uid: &str, patch: Option<&Patch>, warnings: &[Warning], audit: Option<Audit<'_>>) -> Vec<u8> {
    let patch_type = patch.map(|_| "JSONPatch");
    let patch = patch.map(Encoded);
    write(Response { uid, allowed: true, patch_type, patch, status: None, warnings, audit_annotations: audit })
}

/// The pod's author has to mend what the message says.
pub fn denied(uid: &str, message: &str, warnings: &[Warning], audit: Audit<'_>) -> Vec<u8> {
    let status = Some(Status { code: 400, reason: "BadRequest", message });
    let audit_annotations = Some(audit);
    write(Response { uid, allowed: false, patch_type: None, patch: None, status, warnings, audit_annotations })
}

fn write(response: Response<'_>) -> Vec<u8> {
    let size = response.patch.as_ref().map_or(0, |patch| patch.0.as_bytes().len() * 4 / 3);
    let mut text = Vec::with_capacity(size + 512);
    // Writing plain data to memory has no way to fail.
    let _ = serde_json::to_writer(&mut text, &Envelope { api_version: API_VERSION, kind: KIND, response });
    text
}

fn texts<S: Serializer>(warnings: &&[Warning], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(warnings.iter().map(Warning::as_str))
}

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&Base64Display::new(self.0.as_bytes(), &STANDARD))
    }
}
