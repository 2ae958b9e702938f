//! The chart as `helm template` renders it, without a cluster. That a real API server takes all of it is shown in
//! `tests/cluster`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

#[path = "chart/expected.rs"]
mod expected;
#[path = "chart/gitops.rs"]
mod gitops;
#[path = "chart/monitoring.rs"]
mod monitoring;
#[path = "chart/notes.rs"]
mod notes;
#[path = "chart/policies.rs"]
mod policies;
#[path = "chart/refused.rs"]
mod refused;
#[path = "chart/render.rs"]
mod render;
#[path = "chart/upstream.rs"]
mod upstream;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use podbadge_machine::tools;
use render::Helm;

type Body = fn(&Helm) -> Result<()>;

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as Body)),*]
    };
}

const TESTS: &[(&str, Body)] = tests![
    expected::the_defaults_pass_lint,
    expected::each_value_has_its_effect,
    expected::cert_manager_issues_and_injects,
    expected::an_uninstallation_asks_nobody_before_it_begins,
    expected::the_pod_passes_what_policies_demand,
    expected::every_value_is_in_the_schema,
    expected::the_sidecars_variables_are_the_webhooks,
    expected::the_test_pod_is_like_any_other,
    expected::it_is_packed_as_documented,
    gitops::waves_come_and_go_in_order,
    gitops::what_is_left_is_documented,
    notes::what_does_not_work_is_noted,
    policies::who_writes_ca_bundle_is_limited,
    refused::what_is_wrong_is_named,
    upstream::its_values_file_is_accepted,
    upstream::each_of_its_values_has_its_effect,
    upstream::what_means_nothing_here_is_said,
    monitoring::the_rules_parse,
    monitoring::the_rules_fit_the_certificates,
    monitoring::every_alert_has_its_page,
    monitoring::the_dashboard_parses,
    monitoring::every_metric_is_one_of_ours,
    monitoring::every_metric_is_looked_at,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's target directory");
    let helm = target.and_then(tools::helm);
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    let trials = match helm {
        Ok(Some(program)) => {
            let helm = Arc::new(Helm { program });
            let trial = |(name, body): &(&str, Body)| {
                let (helm, body) = (Arc::clone(&helm), *body);
                Trial::test(*name, move || body(&helm).map_err(|error| Failed::from(format!("{error:#}"))))
            };
            TESTS.iter().map(trial).collect()
        }
        lacking => {
            let reason = match lacking {
                Err(error) => format!("{error:#}"),
                Ok(_) => "this machine lacks: Helm, or Go to install it".to_owned(),
            };
            let trial = |(name, _): &(&str, Body)| {
                let reason = reason.clone();
                Trial::ignorable_test(*name, move || {
                    if must { Err(Failed::from(reason)) } else { Ok(Completion::ignored_with(reason)) }
                })
            };
            TESTS.iter().map(trial).collect()
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}
