//! `podbadge emulator` as a process: what it prints, how it is used, how it ends, and what it says to bad settings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

struct Emulator {
    child: Child,
    lines: Vec<Vec<String>>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podbadge"));
    command.arg("emulator").args(arguments).env_clear().env("TMPDIR", folder);
    command
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/emulator.yaml");
    path.to_str().unwrap().to_owned()
}

fn start(folder: &Path, arguments: &[&str]) -> Emulator {
    let config = example();
    let arguments = [&["--config", &config, "--listen", "127.0.0.1:0"], arguments].concat();
    let mut child = command(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().take(3).map(|line| line.unwrap().split(' ').map(str::to_owned).collect());
    let lines = lines.collect();
    Emulator { child, lines }
}

impl Emulator {
    fn fact(&self, name: &str) -> &str {
        let line = self.lines.iter().find(|line| line[0] == name).unwrap();
        line.last().unwrap()
    }

    fn client(&self) -> reqwest::Client {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let authority = reqwest::Certificate::from_pem(&fs::read(self.fact("ca-file")).unwrap()).unwrap();
        reqwest::Client::builder().tls_certs_only([authority]).http1_only().no_proxy().build().unwrap()
    }

    fn signal(mut self, signal: &str) -> i32 {
        let told = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_what_it_prints_and_ends_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let emulator = start(folder.path(), &[]);
        let client = emulator.client();
        let tenant = "5b3e1c64-9d27-4e0a-8f51-c2a90d7b3e18";
        let authority = emulator.fact("authority");
        let url = format!("{authority}{tenant}/v2.0/.well-known/openid-configuration");
        let document: serde_json::Value =
            serde_json::from_slice(&client.get(url).send().await.unwrap().bytes().await.unwrap()).unwrap();
        assert!(document["token_endpoint"].as_str().unwrap().starts_with(authority), "{document}");

        let vault = emulator.fact("vault");
        let refused = client.get(format!("{vault}/secrets/greeting?api-version=7.4")).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains(tenant));
        drop((client, refused));

        assert_eq!(emulator.signal(signal), 0);
        assert!(folder.path().read_dir().unwrap().next().is_none(), "the temporary certificate is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_goes_where_it_is_wanted_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    let emulator = start(folder.path(), &["--ca-file", file.to_str().unwrap()]);
    assert_eq!(emulator.fact("ca-file"), file.to_str().unwrap());
    let keys = format!("{}common/discovery/keys", emulator.fact("authority"));
    assert!(emulator.client().get(keys).send().await.unwrap().status().is_success());
    assert_eq!(emulator.signal("TERM"), 0);
    assert!(file.exists());
}

#[test]
fn bad_settings_are_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let example = example();
    let missing = folder.path().join("missing");
    let tenant = file("tenant.yaml", "tenants:\n  - id: contoso\n");
    let unknown = file("unknown.yaml", "tenant: []\n");
    let none = file("none.yaml", "tenants: []\n");
    let yaml = file("not.yaml", "tenants: [\n");
    let text = file("text.pem", "no certificate\n");
    for (arguments, said) in [
        (vec!["--config", missing.to_str().unwrap()], "No such file"),
        (vec!["--config", tenant.to_str().unwrap()], "contoso"),
        (vec!["--config", unknown.to_str().unwrap()], "unknown field `tenant`"),
        (vec!["--config", none.to_str().unwrap()], "tenants"),
        (vec!["--config", yaml.to_str().unwrap()], "not.yaml: "),
        (vec!["--config", &example, "--issuer-ca-file", missing.to_str().unwrap()], "--issuer-ca-file"),
        (vec!["--config", &example, "--issuer-ca-file", text.to_str().unwrap()], "text.pem: "),
        (
            vec!["--config", &example, "--listen=127.0.0.1:0", "--ca-file", "/nonexistent/ca.pem"],
            "--ca-file /nonexistent/ca.pem: ",
        ),
    ] {
        let output = command(folder.path(), &arguments).output().unwrap();
        let line = String::from_utf8(output.stderr).unwrap();
        let line = line.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.starts_with("podbadge: ") && line.contains(said), "{line}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_address_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(folder.path(), &["--config", &example(), "--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("cannot listen on {address}")), "{error}");
}
