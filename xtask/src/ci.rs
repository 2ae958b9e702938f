//! The whole gate: every step is run, each is timed, and one that fails fails all.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Failure, cargo, no_arguments, unstarted};
use crate::{control_plane, images, manifests, peers, release, tools, tree};

/// Test outcomes, summed over all test programs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

struct Step {
    name: &'static str,
    took: Duration,
    failure: Option<Failure>,
}

pub(crate) fn ci(arguments: &[String]) -> Result<(), Failure> {
    no_arguments("ci", arguments)?;
    // Go's compiler and Rust's long single-threaded links fill each other's gaps.
    let control_plane = thread::spawn(|| {
        [
            step("helm", tools::install_helm),
            step("control-plane", || control_plane::control_plane(&[])),
            step("peers", || peers::peers(&[])),
        ]
    });
    let check = [String::from("--check")];
    let mut steps = vec![
        step("fmt", || crate::fmt(&check)),
        step("cores", || tree::cores(&[])),
        step("one-provider", || tree::one_provider(&[])),
        step("lint", || crate::lint(&[])),
        step("release", || release::release(&[])),
        step("images", || images::images(&[String::from("--host")])),
        step("cargo-deny", tools::cargo_deny),
        step("deny", || tools::deny(&[])),
    ];
    match control_plane.join() {
        Ok(built) => steps.extend(built),
        Err(_) => return Err(Failure::failed("the control plane's builder ended in a panic")),
    }
    steps.push(step("manifests", || manifests::manifests(&check)));
    let mut counts = Counts::default();
    steps.push(step("test", || count_tests(&mut counts)));
    steps.push(step("bench", || crate::bench(&["--quick", "--check"].map(String::from))));

    println!();
    for step in &steps {
        println!("{step}");
    }
    println!("{counts}");
    // The counts are the last line, also of a gate that fails.
    if steps.iter().all(|step| step.failure.is_none()) { Ok(()) } else { Err(Failure::Reported) }
}

fn step(name: &'static str, work: impl FnOnce() -> Result<(), Failure>) -> Step {
    println!("\n==> {name}");
    let start = Instant::now();
    let failure = work().err();
    let step = Step { name, took: start.elapsed(), failure };
    println!("<== {step}");
    step
}

/// Runs every test with the shipped binaries, shows what they write, and counts.
fn count_tests(counts: &mut Counts) -> Result<(), Failure> {
    let mut command = cargo();
    command
        .args(["test", "--locked", "--no-fail-fast"])
        // What a suite lacks on a developer's machine is skipped with a reason; here it is a failure.
        .env("CI", "true")
        .env("PODBADGE_BIN_DIR", release::dist(release::Architecture::host()?))
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unstarted(&command, &error))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| Failure::failed(format!("reading the tests' output: {error}")))?;
            let line = String::from_utf8_lossy(&line);
            counts.add(&line);
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
    let status = child.wait().map_err(|error| Failure::failed(format!("waiting for the tests: {error}")))?;
    if !status.success() {
        return Err(Failure::failed(format!("cargo test ended with {status}")));
    }
    if counts.passed == 0 {
        return Err(Failure::failed("no test was run"));
    }
    Ok(())
}

// === impl Counts ===

impl Counts {
    /// Adds one line of a test program, if it is its result:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    fn add(&mut self, line: &str) {
        let Some((_, numbers)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in numbers.split("; ") {
            let Some((Ok(number), what)) = part.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what))
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "filtered out" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, took, failure } = self;
        write!(f, "{name:<14} {:>7.1} s  ", took.as_secs_f64())?;
        match failure {
            None => f.write_str("ok"),
            Some(failure) => write!(f, "FAILED: {failure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_summed() {
        let mut counts = Counts::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.20s",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 5, failed: 1, skipped: 3 });
        assert_eq!(counts.to_string(), "5 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn a_test_that_prints_a_result_inside_a_line_does_not_count() {
        let mut counts = Counts::default();
        counts.add("it said: test result: ok. 3 passed; 0 failed; 0 ignored");
        assert_eq!(counts, Counts::default());
    }

    #[test]
    fn a_failed_step_says_so() {
        let step = step("x", || Err(Failure::failed("out of step")));
        assert!(step.to_string().ends_with("FAILED: out of step"), "{step}");
    }
}
