//! What happened, step by step: for the terminal and for programs alike.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One step of the story.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Step {
    /// Everything around the pod listens.
    Start { issuer: String, authority: String, vault: String, webhook: String },
    /// The webhook answered.
    Admission {
        pod: String,
        service_account: String,
        /// What was sent differs from the file in this.
        port: u16,
        patch: json_patch::Patch,
        warnings: Vec<String>,
        #[serde(skip)]
        diff: String,
    },
    /// The pod's token is where the pod expects it.
    Volume { file: String, assertion: Claims },
    /// The sidecar is ready.
    Sidecar {
        /// As injected; the values that are secrets of the pod are not shown.
        environment: BTreeMap<String, String>,
        /// The operator's.
        added: BTreeMap<String, String>,
    },
    /// The application has a token.
    Token { endpoint: String, resource: String, expires_in: String, token: Claims },
    /// The application used it.
    Secret { vault: String, name: String, value: String },
    /// Somebody else did not get one.
    Refusal { service_account: String, assertion: Claims, status: u16, code: String, message: String },
}

/// What a token says of itself.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Claims(pub(super) Map<String, Value>);

/// How to try what was left running.
#[derive(Debug, Serialize)]
pub(super) struct Try {
    /// What it does.
    pub(super) what: &'static str,
    /// A line for a shell.
    pub(super) command: String,
}

// === impl Claims ===

impl Claims {
    /// The claims of these names, those that there are, as text.
    pub(super) fn shown<'a>(&'a self, names: &'a [&'static str]) -> impl Iterator<Item = (&'static str, String)> + 'a {
        names.iter().filter_map(|name| {
            let text = match self.0.get(*name)? {
                Value::String(text) => text.clone(),
                Value::Array(list) if list.len() == 1 => list.first()?.as_str()?.to_owned(),
                other => other.to_string(),
            };
            Some((*name, text))
        })
    }
}
