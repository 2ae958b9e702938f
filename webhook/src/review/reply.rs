//! The answers. Written by types of our own: kube's write the patch as a list of numbers, three times the size.

use super::{API_VERSION, KIND};
use base64::{Engine as _, engine::general_purpose::STANDARD};
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

/// The pod may be created, with the patch if there is one.
pub fn patched(uid: &str, patch: Option<&Patch>, warnings: &[Warning], audit: Option<Audit<'_>>) -> Vec<u8> {
    write(Response { uid, allowed: true, status: None, warnings, audit_annotations: audit }, patch)
}

/// The pod's author has to mend what the message says.
pub fn denied(uid: &str, message: &str, warnings: &[Warning], audit: Audit<'_>) -> Vec<u8> {
    let status = Some(Status { code: 400, reason: "BadRequest", message });
    write(Response { uid, allowed: false, status, warnings, audit_annotations: Some(audit) }, None)
}

fn write(response: Response<'_>, patch: Option<&Patch>) -> Vec<u8> {
    let size = patch.map_or(0, |patch| patch.as_bytes().len() * 4 / 3);
    let mut text = Vec::with_capacity(size + 512);
    // Writing plain data to memory has no way to fail.
    let _ = serde_json::to_writer(&mut text, &Envelope { api_version: API_VERSION, kind: KIND, response });
    if let Some(patch) = patch {
        append(&mut text, patch.as_bytes());
    }
    text
}

/// Puts the patch at the end of the response. Base64 needs no escapes; to look for them would cost a tenth of the whole
/// admission.
fn append(text: &mut Vec<u8>, patch: &[u8]) {
    const ENDS: &[u8] = b"}}";
    text.truncate(text.len() - ENDS.len());
    text.extend_from_slice(br#","patchType":"JSONPatch","patch":""#);
    let start = text.len();
    text.resize(start + patch.len().div_ceil(3) * 4, 0);
    // The room is exactly what the encoding takes.
    let _ = STANDARD.encode_slice(patch, &mut text[start..]);
    text.push(b'"');
    text.extend_from_slice(ENDS);
}

fn texts<S: Serializer>(warnings: &&[Warning], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(warnings.iter().map(Warning::as_str))
}
