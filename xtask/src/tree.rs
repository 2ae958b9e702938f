//! What the dependency graph must and must not hold, proved with `cargo tree`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::process::{Failure, cargo, no_arguments, output};

/// The crates that decide: no input, no output, no clock.
const CORES: [&str; 2] = ["podbadge-sidecar-core", "podbadge-webhook-core"];

/// What a core must not pull in, by what it would bring.
const IMPURE: [(&str, &[&str]); 5] = [
    ("a runtime", &["tokio", "async-std", "smol", "async-io", "mio", "polling", "futures-executor", "rayon"]),
    (
        "HTTP",
        &["http", "hyper", "h2", "h3", "axum", "tower", "reqwest", "ureq", "isahc", "oauth2", "actix-web", "warp"],
    ),
    ("TLS", &["rustls", "native-tls", "openssl", "openssl-sys", "ring", "aws-lc-rs", "aws-lc-sys", "rcgen", "boring"]),
    ("a Kubernetes client", &["kube", "k8s-openapi", "kubert"]),
    ("a clock or randomness", &["time", "chrono", "jiff", "rand", "rand_core", "getrandom", "fastrand"]),
];

/// Second implementations of what the workspace has one of, and what each would bring.
const SECOND: [(&str, &str); 4] = [
    ("ring", "a second TLS provider"),
    ("openssl-sys", "a TLS library of the host"),
    ("native-tls", "a TLS library of the host"),
    ("rsa", "an unpatched timing weakness (RUSTSEC-2023-0071)"),
];

/// Crates whose types meet between ours and others': two versions would not fit together.
const SINGLE: [&str; 5] = ["reqwest", "rustls", "hyper", "json-patch", "jsonwebtoken"];

pub(crate) fn cores(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("cores", arguments)?;
    for core in CORES {
        let tree = tree(&["--package", core])?;
        let found = impure(core, &tree)?;
        if !found.is_empty() {
            return Err(Failure::failed(format!(
                "{core} pulls in {}; see `cargo tree -e normal -p {core}`",
                found.join(", ")
            )));
        }
    }
    println!("{}: no runtime, HTTP, TLS, Kubernetes client, clock or randomness", CORES.join(", "));
    Ok(())
}

pub(crate) fn one_provider(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("one-provider", arguments)?;
    let found = second(&tree(&["--workspace"])?);
    if !found.is_empty() {
        return Err(Failure::failed(format!("{}; see `cargo tree -e normal -i CRATE`", found.join("; "))));
    }
    println!("one TLS provider, and one version each of {}", SINGLE.join(", "));
    Ok(())
}

fn tree(selection: &[&str]) -> Result<String, Failure> {
    output(cargo().args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]).args(selection))
}

/// The crates of a tree: name and version of each line, as in `serde v1.0.228 (*)`.
fn crates(tree: &str) -> impl Iterator<Item = (&str, &str)> {
    tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?.strip_prefix('v')?))
    })
}

/// What in the tree of `core` is on the list, as `tokio (a runtime)`.
fn impure(core: &str, tree: &str) -> Result<Vec<String>, Failure> {
    let names: BTreeSet<&str> = crates(tree).map(|(name, _)| name).collect();
    // A check of nothing would find nothing.
    if !names.contains(core) {
        return Err(Failure::failed(format!("cargo tree does not show {core}, so nothing was checked")));
    }
    let bringing = |name: &str| {
        IMPURE.iter().find(|(_, banned)| banned.iter().any(|banned| family(name, banned))).map(|(what, _)| *what)
    };
    Ok(names.into_iter().filter_map(|name| bringing(name).map(|what| format!("{name} ({what})"))).collect())
}

/// True for the crate itself and those named after it, such as `tokio-util` of `tokio`.
fn family(name: &str, head: &str) -> bool {
    name.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What in the workspace's tree is there a second time or as a second kind.
fn second(tree: &str) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in crates(tree) {
        versions.entry(name).or_default().insert(version);
    }
    let banned = SECOND
        .iter()
        .filter(|(name, _)| versions.contains_key(name))
        .map(|(name, brings)| format!("{name} is there ({brings})"));
    let doubled = SINGLE.iter().filter_map(|name| {
        let found = versions.get(name).filter(|found| found.len() > 1)?;
        let found: Vec<&str> = found.iter().copied().collect();
        Some(format!("{name} is there in {}", found.join(" and ")))
    });
    banned.chain(doubled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURE: &str = "podbadge-sidecar-core v0.1.0 (/repo/sidecar/core)\nserde v1.0.228\nserde_core v1.0.228\nserde_derive v1.0.228 (proc-macro)\n\nserde v1.0.228 (*)\n";

    #[test]
    fn a_pure_core_passes() {
        assert!(impure("podbadge-sidecar-core", PURE).unwrap().is_empty());
    }

    #[test]
    fn each_kind_of_impurity_is_named() {
        let tree =
            format!("{PURE}tokio v1.48.0\nhyper-util v0.1.19\nrustls v0.23.46\nkube-client v5.0.0\ngetrandom v0.3.4\n");
        let found = impure("podbadge-sidecar-core", &tree).unwrap();
        assert_eq!(
            found,
            [
                "getrandom (a clock or randomness)",
                "hyper-util (HTTP)",
                "kube-client (a Kubernetes client)",
                "rustls (TLS)",
                "tokio (a runtime)"
            ]
        );
    }

    #[test]
    fn a_name_that_only_begins_alike_is_no_relative() {
        assert!(!family("httparse", "http"));
        assert!(!family("timeago", "time"));
        assert!(family("tower-http", "tower"));
    }

    #[test]
    fn a_tree_without_the_core_proves_nothing() {
        assert!(impure("podbadge-webhook-core", PURE).is_err());
    }

    #[test]
    fn second_kinds_and_versions_are_found() {
        let tree = "a v0.1.0 (/repo/a)\nring v0.17.14\nreqwest v0.12.24\nreqwest v0.13.5\nreqwest v0.13.5 (*)\nrustls v0.23.46\nrustls v0.23.46 (*)\n";
        assert_eq!(second(tree), ["ring is there (a second TLS provider)", "reqwest is there in 0.12.24 and 0.13.5"]);
        assert!(second(PURE).is_empty());
    }
}
