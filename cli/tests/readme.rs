//! The README says what is so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The lines from one that begins with `start` to the next that begins with `end`.
fn section<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(start)).skip(1);
    let section: Vec<_> = lines.take_while(|line| !line.starts_with(end)).collect();
    assert!(!section.is_empty(), "no {start} in the README");
    section
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_demo_prints_its_steps() {
    let output = Command::new(env!("CARGO_BIN_EXE_podbadge")).arg("demo").output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let readme = readme();
    let is_step = |line: &&&str| line.get(2..4) == Some(". ") && line.trim_start().starts_with(char::is_numeric);
    let demo = section(&readme, "```text", "```");
    let steps: Vec<_> = demo.iter().filter(is_step).collect();
    assert!(steps.len() > 6, "{steps:?}");
    for step in steps {
        assert!(printed.lines().any(|line| line == *step), "the demo does not print {step:?}:\n{printed}");
    }
}

/// In the last column of each row, after the two lines that head a table.
fn all_name_tests(rows: &[&str]) {
    let mut code = String::new();
    sources(&root(), &mut code);
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let shown = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        assert!(quoted(shown).next().is_some(), "nothing shows {row:?}");
        for name in quoted(shown) {
            let golden = root().join("webhook/core/tests/golden").join(name).is_dir();
            assert!(golden || code.contains(&format!("fn {name}(")), "there is no test {name:?}");
        }
    }
}

#[test]
fn every_row_of_the_comparison_names_a_test() {
    let readme = readme();
    let rows = section(&readme, "## How it compares", "## ").into_iter().filter(|line| line.starts_with("| "));
    all_name_tests(&rows.skip(1).collect::<Vec<_>>());
}

#[test]
fn every_threat_names_a_test() {
    let model = fs::read_to_string(root().join("THREAT_MODEL.md")).unwrap();
    let rows = model.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat |"));
    all_name_tests(&rows.collect::<Vec<_>>());
}

#[test]
fn every_key_is_one_that_is_read() {
    let contract = fs::read_to_string(root().join("webhook/core/src/contract.rs")).unwrap();
    let readme = readme();
    let rows = section(&readme, "| on | key | meaning |", "Injected, each");
    let mut keys = 0;
    for row in rows.iter().filter(|row| row.starts_with("| ")) {
        let cell = row.split(" | ").nth(1).unwrap();
        for key in quoted(cell) {
            let key = if key.contains('/') { key.to_owned() } else { format!("azure.workload.identity/{key}") };
            assert!(contract.contains(&format!("\"{key}\"")), "{key} is not in the contract");
            keys += 1;
        }
    }
    assert!(keys > 8, "{keys} keys");
}

#[test]
fn values_are_as_long_as_it_says() {
    use podbadge_webhook_core::contract;
    let readme = readme();
    let lines = section(&readme, "| on | key | meaning |", "Injected, each").join(" ");
    let [longest, url, list, map] =
        [contract::CLIENT_ID, contract::AUDIENCE, contract::ALLOWED_CLIENT_IDS, contract::IDENTITY_MAP]
            .map(contract::longest);
    assert_eq!((contract::longest(contract::TENANT_ID), contract::longest(contract::AUTHORITY_HOST)), (longest, url));
    let most = podbadge_sidecar_core::identity::MOST;
    let said = format!(
        "at most {longest} bytes, `audience` and `authority-host` {url}, `allowed-client-ids` {list}, `identity-map` {map}, \
         and of the last two each at most {most} entries"
    );
    assert!(lines.contains(&said), "the README does not say: {said}");
}

#[test]
fn its_commands_work() {
    let readme = readme();
    let inject = readme.lines().find_map(|line| line.strip_prefix("cargo run -p podbadge -- ")).expect("a command");
    let output =
        Command::new(env!("CARGO_BIN_EXE_podbadge")).args(inject.split(' ')).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains("AZURE_FEDERATED_TOKEN_FILE"));
}
