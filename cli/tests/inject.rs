//! `podbadge inject` as a person runs it: a folder for each case, with what goes in and what has to come out.
//!
//! `PODBADGE_REWRITE_GOLDEN=1 cargo test -p podbadge --test inject` writes down what comes out now, to be read before it is
//! committed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn podbadge(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_podbadge"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments may be gone before it reads.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn inject(arguments: &[&str], input: &[u8]) -> Output {
    podbadge(&[&["inject", "-f", "-"], arguments].concat(), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inject");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 20);
    cases
}

fn input(case: &Path) -> Vec<u8> {
    let read = ["input.yaml", "input.json"].map(|name| fs::read(case.join(name)));
    read.into_iter().find_map(Result::ok).unwrap()
}

/// A file that is empty where there is none.
fn expected(case: &Path, name: &str, found: &str) -> String {
    let path = case.join(name);
    if std::env::var_os("PODBADGE_REWRITE_GOLDEN").is_some() {
        if found.is_empty() {
            let _ = fs::remove_file(&path);
        } else {
            fs::write(&path, found).unwrap();
        }
    }
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn golden() {
    let mut wrong = Vec::new();
    for case in cases() {
        let arguments = fs::read_to_string(case.join("args")).unwrap_or_default();
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = inject(&arguments, &input(&case));
        let code = output.status.code().unwrap();
        let code = if code == 0 { String::new() } else { format!("{code}\n") };
        for (name, found) in [("stdout", text(&output.stdout)), ("stderr", text(&output.stderr)), ("exit", code)] {
            let expected = expected(&case, name, &found);
            if expected != found {
                wrong.push(format!("{}: {name}\nexpected:\n{expected}\nfound:\n{found}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_printed_needs_no_second_injection() {
    for case in cases() {
        let arguments = fs::read_to_string(case.join("args")).unwrap_or_default();
        let arguments: Vec<_> = arguments.split_whitespace().filter(|argument| *argument != "--patch").collect();
        let once = inject(&arguments, &input(&case));
        if once.status.success() {
            let twice = inject(&arguments, &once.stdout);
            assert_eq!(text(&twice.stdout), text(&once.stdout), "{}", case.display());
            assert!(!text(&twice.stderr).contains("injected"), "{}", case.display());
        }
    }
}

#[test]
fn every_kind_gets_what_a_pod_gets() {
    let template = serde_json::json!({
        "metadata": { "annotations": { "podbadge.io/sidecar": "endpoint" } },
        "spec": { "serviceAccountName": "orders", "containers": [{ "name": "app", "image": "app" }] },
    });
    let flags = ["--client-id=7d1c7a2e-4f0b-4f6e-9a35-2f1e8c0b6d41", "--tenant-id=contoso.com"];
    let injected = |object: Value| -> Value {
        let output = inject(&flags, object.to_string().as_bytes());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mut pod = template.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    let spec = injected(pod)["spec"].clone();
    assert_eq!(spec["initContainers"][0]["name"], "podbadge-sidecar");
    for (version, kind, at) in [
        ("v1", "PodTemplate", "/template"),
        ("v1", "ReplicationController", "/spec/template"),
        ("apps/v1", "Deployment", "/spec/template"),
        ("apps/v1", "StatefulSet", "/spec/template"),
        ("apps/v1", "DaemonSet", "/spec/template"),
        ("apps/v1", "ReplicaSet", "/spec/template"),
        ("batch/v1", "Job", "/spec/template"),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
    ] {
        let mut object = at
            .rsplit('/')
            .filter(|name| !name.is_empty())
            .fold(template.clone(), |inner, name| serde_json::json!({ name: inner }));
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        assert_eq!(injected(object).pointer(at).unwrap()["spec"], spec, "{kind}");
    }
}

#[test]
fn the_patch_applied_is_the_manifest_printed() {
    for case in cases() {
        let arguments = fs::read_to_string(case.join("args")).unwrap_or_default();
        let arguments: Vec<_> = arguments.split_whitespace().filter(|argument| *argument != "--patch").collect();
        let source = input(&case);
        let Ok(mut object) = serde_json::from_slice::<Value>(&source) else {
            continue;
        };
        let printed = inject(&arguments, &source);
        let patch = inject(&[&arguments[..], &["--patch"]].concat(), &source);
        let patch: json_patch::Patch = serde_json::from_slice(&patch.stdout).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), object);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (file, said) in [("missing.yaml", "missing.yaml: No such file"), (".", "the manifest is empty")] {
        let path = folder.path().join(file);
        let output = podbadge(&["inject", "-f", path.to_str().unwrap()], b"");
        assert_eq!(output.status.code(), Some(1));
        let line = text(&output.stderr);
        assert!(line.starts_with("podbadge: ") && line.contains(said), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
    let path = folder.path().join("latin.yaml");
    fs::write(&path, b"kind: Pod # \xe4\n").unwrap();
    let output = podbadge(&["inject", "-f", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is not UTF-8 text"));
}

#[test]
fn service_accounts_may_stand_in_other_files() {
    const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: orders\n  annotations:\n    \
                           azure.workload.identity/client-id: 7d1c7a2e-4f0b-4f6e-9a35-2f1e8c0b6d41\n";
    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"orders"},"spec":{"serviceAccountName":"orders",
        "containers":[{"name":"orders","image":"orders"}]}}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("pod.json"), POD).unwrap();
    fs::write(path("account.yml"), ACCOUNT).unwrap();
    fs::write(path("notes.txt"), "no manifest").unwrap();
    let (pod, account, all) = (path("pod.json"), path("account.yml"), path(""));
    let tenant = "--tenant-id=contoso.com";
    for arguments in [
        &["inject", tenant, "-f", &account, "-f", &pod][..],
        &["inject", tenant, "-f", &all],
        &["inject", tenant, "-f", &account, "-f", "-"],
    ] {
        let output = podbadge(arguments, POD.as_bytes());
        assert_eq!(text(&output.stderr), "Pod default/orders: injected\n");
        let (first, second) =
            text(&output.stdout).split_once("---\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(first, ACCOUNT);
        assert!(
            second.starts_with("apiVersion: v1\nkind: Pod\n") && second.contains("azure-identity-token"),
            "{second}"
        );
    }
    let output = podbadge(&["inject", tenant, "-f", &pod, "-f", &pod], b"");
    assert!(
        text(&output.stderr).contains("unchanged, not opted in: service account \"orders\" is not in the manifest")
    );
    assert!(output.stdout.starts_with(b"{"), "all JSON stays JSON");
}

#[test]
fn the_examples_are_injected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in ["deployment.yaml", "pod-labelled.yaml", "pod-sidecar.yaml"] {
        let output = inject(&[], &fs::read(folder.join(name)).unwrap());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).trim_end().ends_with(": injected"), "{name}");
        assert!(!text(&output.stderr).contains("Warning"), "{name}");
    }
}
