//! The redirection of the metadata address, by the program itself, in network namespaces of real kernels and with the
//! rights that the injected container has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../endpoint/authority.rs"]
#[allow(dead_code, reason = "shared; not all of it is needed here")]
mod authority;
#[path = "../endpoint/leaks.rs"]
#[allow(dead_code, reason = "shared; not all of it is needed here")]
mod leaks;
mod namespace;
#[path = "../endpoint/pod.rs"]
#[allow(dead_code, reason = "shared; not all of it is needed here")]
mod pod;
mod redirection;
mod refusal;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), $module::$name as fn())),*]
    };
}

fn main() -> ExitCode {
    let lacking = lacking();
    // As in CI.
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    let trials = tests![
        redirection::requests_reach_the_sidecar,
        redirection::nobody_is_exempt,
        redirection::the_sidecar_alone_is_exempt_where_it_must_be,
        redirection::the_sidecar_answers_as_the_metadata_service,
        redirection::nothing_is_forwarded_to_the_metadata_service,
        redirection::a_second_run_changes_nothing,
        redirection::another_port_moves_it,
        redirection::rules_of_others_survive,
        redirection::a_mesh_does_not_take_the_address,
        redirection::a_pod_without_a_route,
        refusal::without_the_capability,
        refusal::as_another_user,
        refusal::a_wrong_port,
    ];
    let trials = trials.map(|(name, body)| {
        let reason = (!lacking.is_empty()).then(|| format!("this machine lacks: {}", lacking.join(", ")));
        Trial::ignorable_test(name, move || match reason {
            None => {
                body();
                Ok(Completion::Completed)
            }
            Some(reason) if must => Err(Failed::from(reason)),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// What these tests need and is not here.
fn lacking() -> Vec<&'static str> {
    let works = |command: &[&str]| {
        Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success())
    };
    let nat = "add table ip t; add chain ip t c { type nat hook output priority -100; }; \
               add rule ip t c tcp dport 80 redirect to :8000";
    let needs: [(&str, &[&str]); 5] = [
        ("ip (iproute2)", &["ip", "-Version"]),
        ("nft (nftables)", &["nft", "--version"]),
        ("setpriv (util-linux)", &["setpriv", "--version"]),
        ("root with the right to make network namespaces (unshare --net)", &["unshare", "--net", "true"]),
        ("a kernel with nf_tables and NAT", &["unshare", "--net", "nft", nat]),
    ];
    needs.into_iter().filter(|(_, command)| !works(command)).map(|(need, _)| need).collect()
}
