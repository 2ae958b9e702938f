//! `podbadge demo` as a program sees it: every part is real, over real sockets, and the sidecar is a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde::Deserialize as _;
use serde_json::{Value, json};
use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const CLIENT_ID: &str = "e94b0c53-7f82-4a1d-8c6e-3d5a1b92f470";
const TENANT: &str = "5b3e1c64-9d27-4e0a-8f51-c2a90d7b3e18";

fn podbadge(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podbadge"));
    command.arg("demo").args(arguments).env_clear().env("TMPDIR", folder);
    // A proxy that is not there: whatever went through it would fail.
    command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9");
    command
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    podbadge(arguments, folder).output().unwrap()
}

fn step<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut steps = document["steps"].as_array().unwrap().iter();
    steps.find(|step| step["step"] == name).unwrap_or_else(|| panic!("no step {name}"))
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

#[test]
fn every_step_is_named_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["--json"], folder.path());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(error, "");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], true);
    let names: Vec<_> = document["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    let expected = ["start", "admission", "volume", "sidecar", "token", "secret", "refusal"];
    assert_eq!(names, expected);

    let issuer = &step(&document, "start")["issuer"];
    let patch = step(&document, "admission")["patch"].as_array().unwrap();
    assert!(patch.iter().all(|operation| operation["op"] == "add"), "{patch:?}");
    assert!(patch.iter().any(|operation| operation["value"]["name"] == "podbadge-sidecar"
        || operation["value"][0]["name"] == "podbadge-sidecar"));

    let assertion = &step(&document, "volume")["assertion"];
    assert_eq!(assertion["iss"], *issuer);
    assert_eq!(assertion["sub"], "system:serviceaccount:shop:billing");
    assert_eq!(assertion["aud"], json!(["api://AzureADTokenExchange"]));

    let token = &step(&document, "token")["token"];
    assert_eq!(token["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(token["aud"], "https://vault.azure.net");
    assert_eq!(token["appid"], CLIENT_ID);
    assert_eq!(token["sub"], token["oid"]);

    assert_eq!(step(&document, "secret")["value"], "hello from the vault");

    let refusal = step(&document, "refusal");
    assert_eq!(refusal["code"], "AADSTS700213");
    assert_eq!(refusal["status"], 401);
    assert_eq!(refusal["assertion"]["sub"], "system:serviceaccount:shop:visitor");
    let message = refusal["message"].as_str().unwrap();
    assert!(message.contains("'system:serviceaccount:shop:visitor'"), "{message}");

    // The first characters of every JWT: a token's claims are shown, a token never.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("eyJ"));
    assert!(is_empty(folder.path()), "files are left");
}

#[test]
fn the_environment_shown_is_the_one_injected() {
    let folder = tempfile::tempdir().unwrap();
    let document: Value = serde_json::from_slice(&run(&["--json"], folder.path()).stdout).unwrap();
    let start = step(&document, "start");
    let sidecar = step(&document, "sidecar");
    let names: Vec<_> = sidecar["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "AZURE_AUTHORITY_HOST",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_TENANT_ID",
            "PODBADGE_IDENTITY_HEADER",
            "PODBADGE_PORT",
        ]
    );
    assert_eq!(sidecar["environment"]["AZURE_AUTHORITY_HOST"], start["authority"]);
    assert_eq!(sidecar["environment"]["AZURE_FEDERATED_TOKEN_FILE"], step(&document, "volume")["file"]);
    // The emulator's CA, and no patience with a credential that is not there: it does not spread.
    let added: Vec<_> = sidecar["added"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(added, ["PODBADGE_CA_FILE", "PODBADGE_CREDENTIAL_SPREADING_SECONDS"]);
    // What was injected is in the patch, letter for letter.
    let patch = step(&document, "admission")["patch"].to_string();
    for name in ["AZURE_AUTHORITY_HOST", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "PODBADGE_PORT"] {
        let value = json!({ "name": name, "value": sidecar["environment"][name] });
        assert!(patch.contains(&value.to_string()), "{value} in {patch}");
    }
}

#[test]
fn a_person_reads_numbered_steps_without_colours_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&[], folder.path());
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b') && !text.contains("eyJ"));
    for said in [
        "\n 1. ",
        "\n 7. ",
        "     +  - name: podbadge-sidecar\n",
        "     greeting   hello from the vault\n",
        "     401 AADSTS700213: ",
        "The application read its secret",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn a_wrong_argument_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["--jsno"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text, "podbadge: unexpected argument '--jsno' found; see --help\n");
}

#[test]
fn without_a_place_for_files_it_fails_in_one_line_and_says_so_to_programs() {
    let output = run(&["--json"], Path::new("/nonexistent"));
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], false);
    assert_eq!(document["steps"], json!([]));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("podbadge: temporary folder: "), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_reader_who_has_seen_enough_ends_it_quietly() {
    for argument in ["--no-color", "--json"] {
        let folder = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = podbadge(&[argument], folder.path()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success());
        assert!(is_empty(folder.path()), "files are left");
    }
}

/// Ends the demo even where an assertion fails.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_kept_can_be_tried_until_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let child = podbadge(&["--json", "--keep"], folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut kept = Kept(child);
    let mut output = kept.0.stdout.take().unwrap();
    let document = Value::deserialize(&mut serde_json::Deserializer::from_reader(&mut output)).unwrap();
    let commands: Vec<_> =
        document["try"].as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap()).collect();
    assert_eq!(commands.len(), 4);

    // The first two as they are typed, one after the other in one shell.
    let shell = Command::new("sh").args(["-c", &format!("{}\n{}", commands[0], commands[1])]).output().unwrap();
    if Command::new("curl").arg("--version").output().is_ok() {
        let answer = String::from_utf8_lossy(&shell.stdout);
        assert!(answer.contains("hello from the vault"), "{answer}{}", String::from_utf8_lossy(&shell.stderr));
        let refused = Command::new("sh").args(["-c", commands[2]]).output().unwrap();
        assert!(String::from_utf8_lossy(&refused.stdout).contains("401"));
        let keys = Command::new("sh").args(["-c", commands[3]]).output().unwrap();
        assert!(serde_json::from_slice::<Value>(&keys.stdout).unwrap()["keys"].is_array());
    } else {
        assert!(std::env::var_os("CI").is_none(), "curl is missing");
        eprintln!("curl is missing: what is printed was not tried");
    }

    // As when its terminal is closed.
    let told = Command::new("kill").args(["-s", "HUP"]).arg(kept.0.id().to_string()).status().unwrap();
    assert!(told.success());
    assert!(kept.0.wait().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.trim(), "");
    assert!(is_empty(folder.path()), "files are left");
}
