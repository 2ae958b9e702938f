//! Golden pods: each folder of `tests/golden` holds a pod, what is known of its cluster, and what must come out.
//!
//! `pod.yaml` is the pod as it is created, `cluster.yaml` the [`Cluster`], `expected.yaml` the [`Expected`] result.
//! After a wanted change, `PODBADGE_REWRITE_GOLDEN=1 cargo test -p podbadge-webhook-core golden` writes every
//! `expected.yaml` anew; read the difference before you commit it.

use crate::cluster::{Admission, Cluster};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

const REWRITE: &str = "PODBADGE_REWRITE_GOLDEN";
const INPUTS: [&str; 2] = ["pod.yaml", "cluster.yaml"];
const EXPECTED: &str = "expected.yaml";

/// `expected.yaml`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The reason of an allowed pod, or `denied`.
    outcome: String,
    /// What the pod's author reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    denial: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The whole pod with the patch applied; absent where it stays as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Value>,
}

#[test]
fn golden_pods() {
    let rewrite = env::var_os(REWRITE).is_some();
    let failures: Vec<String> = cases()
        .into_iter()
        .filter_map(|case| {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            check(&case, rewrite).err().map(|failure| format!("{name}: {failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

fn cases() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<_> = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 40, "the golden folders are missing: {}", cases.len());
    cases
}

fn check(case: &Path, rewrite: bool) -> Result<(), String> {
    complete(case, rewrite)?;
    let cluster: Cluster = read(case, "cluster.yaml")?;
    let pod: Value = read(case, "pod.yaml")?;
    let first = cluster.admit(&pod);
    let second = cluster.admit(&first.pod);
    if let Some(patch) = &second.patch {
        return Err(format!("a second admission still patches: {patch}"));
    }
    let actual = Expected::of(first);
    if rewrite {
        let text = serde_norway::to_string(&actual).map_err(|error| error.to_string())?;
        return fs::write(case.join(EXPECTED), text).map_err(|error| error.to_string());
    }
    let expected: Expected = read(case, EXPECTED)?;
    if actual == expected {
        return Ok(());
    }
    let text = |expected| serde_norway::to_string(expected).unwrap();
    Err(format!("differs from {EXPECTED}\n--- expected\n{}--- actual\n{}", text(&expected), text(&actual)))
}

/// A forgotten file must not pass as an empty one, nor a misspelt one go unread.
fn complete(case: &Path, rewrite: bool) -> Result<(), String> {
    let found: BTreeSet<String> = fs::read_dir(case)
        .map_err(|error| error.to_string())?
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let wanted = INPUTS.into_iter().chain((!rewrite).then_some(EXPECTED));
    if let Some(missing) = wanted.into_iter().find(|name| !found.contains(*name)) {
        return Err(format!("{missing} is missing"));
    }
    match found.iter().find(|name| !INPUTS.contains(&name.as_str()) && *name != EXPECTED) {
        Some(stray) => Err(format!("{stray} is no file of a golden folder")),
        None => Ok(()),
    }
}

fn read<T: DeserializeOwned>(case: &Path, name: &str) -> Result<T, String> {
    let text = fs::read_to_string(case.join(name)).map_err(|error| format!("{name}: {error}"))?;
    serde_norway::from_str(&text).map_err(|error| format!("{name}: {error}"))
}

// === impl Expected ===

impl Expected {
    fn of(admission: Admission) -> Self {
        let Admission { outcome, denial, warnings, patch, pod } = admission;
        Self { outcome: outcome.to_owned(), denial, warnings, pod: patch.map(|_| pod) }
    }
}
