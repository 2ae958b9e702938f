//! Advice, word by word: each file of `tests/advice` holds an object as somebody applies it, what is there before, and
//! what they read. The cluster tests apply the same files with `kubectl`.
//!
//! After a wanted change, `PODBADGE_REWRITE_GOLDEN=1 cargo test -p podbadge-webhook-core advice` writes every
//! `expected` anew; read the difference before you commit it.

use podbadge_webhook_core::{
    advice::{self, Context, Kind, Object},
    decision::Known,
    identity::{Namespace, ServiceAccount},
    resources::Limits,
    settings::{self, Settings},
    warning::{self, Warning},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{env, fs, path::Path};

const REWRITE: &str = "PODBADGE_REWRITE_GOLDEN";
const MARK: &str = "\nexpected:";

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Objects that exist already, service accounts all of them.
    #[serde(default)]
    before: Vec<Value>,
    /// What is applied.
    object: Value,
    expected: Expected,
}

/// What its author reads, in this order.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expected {
    /// What strict installations refuse.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<String>,
    /// What is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[test]
fn advice_on_manifests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/advice");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 40, "the manifests are missing: {}", files.len());
    let failures: Vec<_> = files
        .iter()
        .filter_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let name = file.file_name().unwrap().to_string_lossy();
            let case: Case = serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let actual = Expected::of(&review(&case));
            if env::var_os(REWRITE).is_some() {
                let (kept, _) = text.split_once(MARK).unwrap();
                fs::write(file, format!("{kept}{MARK}{}", actual.text())).unwrap();
                return None;
            }
            (actual != case.expected)
                .then(|| format!("{name}{MARK}{}--- actual{}", case.expected.text(), actual.text()))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

#[test]
fn strictness_refuses_mistakes_and_keeps_notes() {
    let warnings = [Warning::mistake("one"), Warning::new("worth knowing"), Warning::mistake("two")];
    assert_eq!(warning::mistakes(&warnings).as_deref(), Some("one; two"));
    assert_eq!(warning::mistakes(&warnings[1..2]), None);
}

/// Reviews as the webhook does, for an operator like the one of the cluster tests.
fn review(case: &Case) -> Vec<Warning> {
    let settings = Settings {
        tenant_id: Some("contoso.onmicrosoft.com".to_owned()),
        sidecar: settings::Sidecar { native: true, ..Settings::default().sidecar },
        ..Settings::default()
    };
    let text = serde_json::to_vec(&case.object).unwrap();
    let object: Object<'_> = serde_json::from_slice(&text).unwrap();
    let question = object.question(&settings);
    let account = question.and_then(|question| {
        let account = case.before.iter().find(|object| object["metadata"]["name"] == question.service_account)?;
        Some(account_of(account))
    });
    let namespace = Namespace::default();
    let known = question.map(|_| Known {
        service_account: account.as_ref(),
        namespace: &namespace,
        limits: &Limits::NONE,
        random: 0,
    });
    let context = Context { kind: kind(&case.object), namespace: "shop", known, settings: &settings };
    advice::review(&object, context)
}

fn account_of(object: &Value) -> ServiceAccount {
    assert_eq!(object["kind"], "ServiceAccount");
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    ServiceAccount::from_annotations(annotations.map(|(key, value)| (key.as_str(), value.as_str().unwrap())))
}

fn kind(object: &Value) -> Kind {
    let version = object["apiVersion"].as_str().unwrap();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let resource = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    Kind::of(group, &resource).unwrap()
}

// === impl Expected ===

impl Expected {
    fn of(warnings: &[Warning]) -> Self {
        let texts = |mistake| {
            warnings.iter().filter(move |warning| warning.is_mistake() == mistake).map(ToString::to_string).collect()
        };
        assert!(warnings.is_sorted_by_key(|warning| !warning.is_mistake()), "{warnings:?}");
        Self { mistakes: texts(true), notes: texts(false) }
    }

    fn text(&self) -> String {
        if *self == Self::default() {
            return " {}\n".to_owned();
        }
        let text = serde_norway::to_string(self).unwrap();
        text.lines().fold("\n".to_owned(), |text, line| text + "  " + line + "\n")
    }
}
