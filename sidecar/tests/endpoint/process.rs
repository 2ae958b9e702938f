//! The program itself: arguments, settings, exit codes, its log, and its end.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use crate::authority::{Authority, refusal};
use crate::pod::{IMDS, Pod, ask};

fn program(pod: &Pod) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podbadge-sidecar"));
    command.env_clear().envs(&pod.vars).stdin(Stdio::null());
    command
}

/// One line on standard error, nothing on standard output.
fn complaint(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.is_empty() && err.trim_end().lines().count() == 1, "{out:?} {err:?}");
    err.into_owned()
}

fn probe(pod: &Pod) -> Output {
    program(pod).arg("probe").output().unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn wrong_settings_are_exit_code_2_and_one_line() {
    for (name, value, part) in [
        ("AZURE_TENANT_ID", "", "not set"),
        ("AZURE_TENANT_ID", "a tenant", "GUID or a domain name"),
        ("AZURE_FEDERATED_TOKEN_FILE", "", "not set"),
        ("AZURE_CLIENT_ID", "me", "GUID"),
        ("PODBADGE_ALLOWED_CLIENT_IDS", "me", "GUID"),
        ("PODBADGE_IDENTITY_MAP", "{", "JSON object"),
        ("AZURE_AUTHORITY_HOST", "http://127.0.0.1/", "https"),
        ("AZURE_KUBERNETES_TOKEN_PROXY", "http://10.0.0.1/", "https"),
        ("AZURE_KUBERNETES_CA_DATA", "x", "must not be set without AZURE_KUBERNETES_TOKEN_PROXY"),
        ("PODBADGE_PORT", "0", "1 to 65535"),
        ("PODBADGE_PORT", "65536", "1 to 65535"),
        ("PODBADGE_IDENTITY_HEADER", "a b", "visible ASCII"),
        ("PODBADGE_CA_FILE", "/no/such/file", "No such file"),
        ("PODBADGE_LOG", "verbose", "error, warn, info, debug or trace"),
        ("HTTPS_PROXY", "ftp://proxy", "http or https URL"),
    ] {
        let mut pod = Pod::asking("https://127.0.0.1:1/");
        pod.set(name, value);
        let output = program(&pod).output().unwrap();
        let line = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {line}");
        assert!(line.starts_with(&format!("podbadge-sidecar: {name}")) && line.contains(part), "{line}");
    }
}

#[test]
fn wrong_arguments_are_exit_code_2_and_one_line() {
    let pod = Pod::asking("https://127.0.0.1:1/");
    for args in [&["serve"][..], &["--port"], &["probe", "now"], &["--version", "please"]] {
        let output = program(&pod).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(complaint(&output).contains("unknown argument"));
    }
    for (arg, part) in [("--version", env!("CARGO_PKG_VERSION")), ("--help", "PODBADGE_PORT")] {
        let output = program(&pod).arg(arg).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(part));
    }
}

#[test]
fn a_port_in_use_is_exit_code_1_and_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let mut pod = Pod::asking("https://127.0.0.1:1/");
    pod.set("PODBADGE_PORT", &address.port().to_string());
    let output = program(&pod).output().unwrap();
    let line = complaint(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains(&address.to_string()), "{line}");
}

#[test]
fn a_probe_of_nobody_is_exit_code_1() {
    let mut pod = Pod::asking("https://127.0.0.1:1/");
    pod.set("PODBADGE_PORT", &free_port().to_string());
    let output = probe(&pod);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("no sidecar answers on port"));
    pod.set("PODBADGE_PORT", "none");
    assert_eq!(probe(&pod).status.code(), Some(2));
}

/// Serves, fails, serves again, ends on SIGTERM, and no token, assertion or query was written anywhere meanwhile, at the
/// most talkative level.
#[tokio::test]
async fn the_whole_life_of_a_process() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    let port = free_port();
    pod.set("PODBADGE_PORT", &port.to_string());
    pod.set("PODBADGE_LOG", "trace");
    // A file, as a pipe that nobody reads would fill.
    let log = pod.token_file().with_file_name("log");
    let written = File::create(&log).unwrap();
    let sidecar = tokio::process::Command::from(program(&pod))
        .stdout(written.try_clone().unwrap())
        .stderr(written)
        .kill_on_drop(true)
        .spawn();
    let mut sidecar = sidecar.unwrap();
    let probed = probe(&pod);
    assert!(probed.status.success() && probed.stderr.is_empty(), "{probed:?}");

    let address = (Ipv4Addr::LOCALHOST, port).into();
    let get = async |more: &str| ask(address, &format!("GET {IMDS}{more}"), "Metadata: true\r\n").await;
    assert_eq!(get("").await.status, 200);
    let other = "&client_id=99999999-2222-3333-4444-555555555555";
    authority.next_json(401, &refusal(700_213, "invalid_client", "No matching federated identity record found."));
    assert_eq!(get(other).await.status, 401);
    authority.next(200, &[("content-type", "application/json")], r#"{"access_token":"eyJ0.eyJ1.c2ln"}"#);
    assert_eq!(get("&client_id=88888888-2222-3333-4444-555555555555").await.status, 503);
    assert_eq!(get("&client_id=77777777-2222-3333-4444-555555555555&token=eyJx").await.status, 200);

    let id = sidecar.id().unwrap().to_string();
    assert!(Command::new("kill").arg("-TERM").arg(id).status().unwrap().success());
    let status = timeout(Duration::from_secs(20), sidecar.wait()).await.expect("it ends").unwrap();
    let err = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    for line in err.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "not JSON: {line}");
    }
    for event in ["Serving", "Got a token", "Cannot get a token", "AADSTS700213", "Stopped"] {
        assert!(err.contains(event), "{event} is missing in {err}");
    }
    let assertion = std::fs::read_to_string(pod.token_file()).unwrap();
    for secret in ["eyJ", &assertion, "client_assertion", crate::pod::IDENTITY_HEADER] {
        assert!(!err.contains(secret), "{secret} in {err}");
    }
}

/// What somebody has to mend is told at the usual level, and not as often as a program in a loop asks.
#[tokio::test]
async fn each_reason_is_told_aloud_and_once() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    let port = free_port();
    pod.set("PODBADGE_PORT", &port.to_string());
    pod.set("PODBADGE_ALLOWED_CLIENT_IDS", "88888888-2222-3333-4444-555555555555");
    let log = pod.token_file().with_file_name("log");
    let written = File::create(&log).unwrap();
    let mut sidecar = tokio::process::Command::from(program(&pod)).stderr(written).kill_on_drop(true).spawn().unwrap();
    assert!(probe(&pod).status.success());
    let stranger = "99999999-2222-3333-4444-555555555555";
    for headers in ["", "Metadata: true\r\n", "Metadata: true\r\n", "Metadata: true\r\n"] {
        let line = format!("GET {IMDS}&client_id={stranger}");
        assert_eq!(ask((Ipv4Addr::LOCALHOST, port).into(), &line, headers).await.status, 400);
    }
    for headers in ["Metadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n"; 2] {
        assert_eq!(ask((Ipv4Addr::LOCALHOST, port).into(), &format!("GET {IMDS}"), headers).await.status, 400);
    }
    sidecar.kill().await.unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("Rejected a request")).collect();
    let [identity, forwarded] = told[..] else { panic!("{log}") };
    assert!(identity.contains(stranger) && identity.contains("does not allow"), "{log}");
    assert!(forwarded.contains("X-Forwarded-For"), "{log}");
}

#[tokio::test]
async fn a_flush_from_outside_replaces_tokens() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    let nobody = program(&pod).arg("flush").env("PODBADGE_PORT", "1").output().unwrap();
    // Another test's process may have been told.
    assert!(nobody.status.success() || complaint(&nobody).contains("no sidecar serves here"), "{nobody:?}");

    let port = free_port();
    pod.set("PODBADGE_PORT", &port.to_string());
    let mut sidecar =
        tokio::process::Command::from(program(&pod)).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    assert!(probe(&pod).status.success());
    let get =
        async || ask((Ipv4Addr::LOCALHOST, port).into(), &format!("GET {IMDS}"), "Metadata: true\r\n").await.status;
    assert_eq!((get().await, get().await, authority.asked().len()), (200, 200, 1));
    let flushed = program(&pod).arg("flush").output().unwrap();
    assert!(flushed.status.success() && flushed.stderr.is_empty(), "{flushed:?}");
    // It is told at some time, and heeds it from then on.
    timeout(Duration::from_secs(20), async {
        while authority.asked().len() < 2 {
            assert_eq!(get().await, 200);
        }
    })
    .await
    .expect("a new token");
    sidecar.kill().await.unwrap();
}
