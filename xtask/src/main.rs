//! The recipes that people and CI share: `cargo xtask` lists them, `cargo xtask NAME` runs one.
//!
//! Standard library only, so that the first recipe runs seconds after a checkout.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod ci;
mod control_plane;
mod go;
mod images;
mod manifests;
mod peers;
mod process;
mod release;
mod tools;
mod tree;

use std::process::ExitCode;

use process::{Failure, cargo, run};

/// What a recipe does with the arguments after its name.
type Work = fn(&[String]) -> Result<(), Failure>;

struct Recipe {
    name: &'static str,
    summary: &'static str,
    work: Work,
}

const RECIPES: &[Recipe] = &[
    Recipe { name: "fmt", summary: "format the code; --check only looks", work: fmt },
    Recipe { name: "lint", summary: "clippy over everything, warnings are errors", work: lint },
    Recipe { name: "deny", summary: "licences, sources, banned and vulnerable crates (deny.toml)", work: tools::deny },
    Recipe {
        name: "cores",
        summary: "the pure crates pull in no runtime, HTTP, TLS or Kubernetes client",
        work: tree::cores,
    },
    Recipe { name: "one-provider", summary: "one TLS provider, one HTTP client", work: tree::one_provider },
    Recipe {
        name: "manifests",
        summary: "render manifests/rendered from the chart; --check only compares",
        work: manifests::manifests,
    },
    Recipe {
        name: "control-plane",
        summary: "build etcd and Kubernetes for the cluster tests, once; --kubernetes 1.30 that version",
        work: control_plane::control_plane,
    },
    Recipe {
        name: "peers",
        summary: "build Azure Workload Identity and cert-manager for the cluster tests, once",
        work: peers::peers,
    },
    Recipe {
        name: "cluster",
        summary: "the cluster tests; --kubernetes 1.30 on that version, further arguments are passed on",
        work: control_plane::cluster,
    },
    Recipe {
        name: "release",
        summary: "build what is shipped, for this machine, into target/dist/ARCHITECTURE",
        work: release::release,
    },
    Recipe {
        name: "images",
        summary: "make images for amd64 and arm64, and their bills of materials; --host only for this machine",
        work: images::images,
    },
    Recipe { name: "test", summary: "cargo test; further arguments are passed on", work: test },
    Recipe { name: "bench", summary: "measure what is shipped beside the budget; --help tells the rest", work: bench },
    Recipe {
        name: "tools",
        summary: "install cargo-deny, cargo-auditable, auditable2cdx and helm where missing",
        work: tools::tools,
    },
    Recipe { name: "ci", summary: "the whole gate, with timings", work: ci::ci },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        println!("{}", list());
        return ExitCode::SUCCESS;
    };
    let outcome = match RECIPES.iter().find(|recipe| recipe.name == name) {
        Some(recipe) => (recipe.work)(rest),
        None if matches!(name.as_str(), "help" | "--help" | "-h") => {
            println!("{}", list());
            Ok(())
        }
        None => Err(Failure::usage(format!("no recipe `{name}`; `cargo xtask` lists them"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Reported) {
                eprintln!("xtask {name}: {failure}");
            }
            failure.code()
        }
    }
}

fn list() -> String {
    let mut text = String::from("cargo xtask RECIPE\n");
    for Recipe { name, summary, .. } in RECIPES {
        text.push_str(&format!("\n  {name:<14} {summary}"));
    }
    text
}

fn fmt(arguments: &[String]) -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["fmt", "--all"]);
    if process::flag("fmt", arguments, "--check")? {
        command.args(["--", "--check"]);
    }
    run(&mut command)
}

fn lint(arguments: &[String]) -> Result<(), Failure> {
    process::no_arguments("lint", arguments)?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn test(arguments: &[String]) -> Result<(), Failure> {
    run(cargo().args(["test", "--locked"]).args(arguments))
}

fn bench(arguments: &[String]) -> Result<(), Failure> {
    release::release(&[])?;
    let programs = release::dist(release::Architecture::host()?);
    // The driver itself need not be fast: what it measures are the shipped binaries.
    run(cargo()
        .args(["run", "--quiet", "--locked", "--package", "podbadge-benches", "--", "--bin-dir"])
        .arg(programs)
        .args(arguments))
}
