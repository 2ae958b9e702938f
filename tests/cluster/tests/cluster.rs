//! The tests on a real control plane; one control plane for all, a namespace for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "cluster/admission.rs"]
mod admission;
#[path = "cluster/advice.rs"]
mod advice;
#[path = "cluster/burst.rs"]
mod burst;
#[path = "cluster/cert_manager.rs"]
mod cert_manager;
#[path = "cluster/certificates.rs"]
mod certificates;
#[path = "cluster/crash.rs"]
mod crash;
#[path = "cluster/creating.rs"]
mod creating;
#[path = "cluster/fresh.rs"]
mod fresh;
#[path = "cluster/heal.rs"]
mod heal;
#[path = "cluster/identity.rs"]
mod identity;
#[path = "cluster/injection.rs"]
mod injection;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/modes.rs"]
mod modes;
#[path = "cluster/node.rs"]
mod node;
#[path = "cluster/outage.rs"]
mod outage;
#[path = "cluster/pod_security.rs"]
mod pod_security;
#[path = "cluster/pods.rs"]
mod pods;
#[path = "cluster/release.rs"]
mod release;
#[path = "cluster/resources.rs"]
mod resources;
#[path = "cluster/rights.rs"]
mod rights;
#[path = "cluster/second.rs"]
mod second;
#[path = "cluster/server_side.rs"]
mod server_side;
#[path = "cluster/stolen.rs"]
mod stolen;
#[path = "cluster/strict.rs"]
mod strict;
#[path = "cluster/switching.rs"]
mod switching;
#[path = "cluster/token_endpoint.rs"]
mod token_endpoint;

use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use podbadge_cluster_tests::cluster::Cluster;
use podbadge_cluster_tests::sandbox;
use podbadge_cluster_tests::scope::Scope;
use podbadge_cluster_tests::tools::{Prepared, prepare};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// No test may hang: each ends within this, and the time that one of them may be told to take.
const DEADLINE: Duration = Duration::from_secs(180);
/// Tests wait far more than they work.
const AT_ONCE: usize = 8;

type Body = fn(Scope) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What a test needs beside the control plane and the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Podbadge,
    /// Podbadge, and an Entra ID that trusts the test's namespace: no more than 20 can have that.
    Token,
    /// Podbadge, and nobody else meanwhile: it takes something away that the others need.
    PodbadgeAlone,
}

struct Test {
    name: &'static str,
    needs: Needs,
    body: Body,
}

/// Tests of what older versions of Kubernetes lack, each with the minor version that has it.
const NEWER: [(&str, u32); 2] =
    [("resources::resources_of_the_pod_are_shared", 34), ("token_endpoint::trusted_by_trust_bundles", 33)];

macro_rules! tests {
    ($($needs:ident: $($module:ident :: $name:ident),* ;)*) => {
        vec![$($(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: Needs::$needs,
            body: |scope| Box::pin($module::$name(scope)),
        }),*),*]
    };
}

fn tests() -> Vec<Test> {
    tests![
        Nothing:
            node::the_token_is_the_pods_own,
            node::a_volume_follows_its_secret,
            node::variables_are_resolved,
            node::sidecars_come_first_and_end_last,
            node::a_deployment_runs,
            node::a_failed_container_says_why;
        Token:
            identity::an_annotated_account_by_token_file,
            identity::an_annotated_account_by_sidecar,
            identity::a_labelled_pod_by_token_file,
            identity::a_labelled_pod_by_sidecar,
            identity::the_compatible_sidecar,
            identity::the_pod_of_a_deployment,
            identity::a_restricted_namespace,
            injection::a_pod_is_redirected,
            injection::two_pods_on_the_host_network,
            injection::a_debug_container_has_the_identity,
            injection::a_debug_container_is_never_refused,
            injection::a_job_ends,
            injection::the_token_can_be_read_by_whoever_runs,
            injection::an_own_identity_is_one_that_the_account_allows;
        Podbadge:
            identity::a_stranger_is_refused,
            pod_security::restricted_has_the_sidecar_without_redirection,
            pod_security::baseline_has_the_sidecar_without_redirection,
            admission::an_unannotated_pod_is_untouched,
            admission::unknown_fields_are_kept,
            admission::a_wrong_expiration_is_denied,
            admission::a_wrong_account_is_denied,
            resources::a_limit_range_is_kept_to,
            resources::a_quota_admits_the_pod,
            resources::a_pod_keeps_its_class,
            resources::resources_of_the_pod_are_shared,
            resources::an_annotation_wins,
            fresh::an_account_annotated_a_moment_before,
            fresh::an_account_annotated_again_a_moment_before,
            fresh::a_namespace_annotated_a_moment_before,
            strict::all_that_is_rendered_is_accepted,
            strict::overlays_and_policies_are_accepted,
            advice::manifests_are_advised_on,
            advice::only_changes_that_matter_are_reviewed,
            second::an_added_container_gets_the_identity,
            second::an_added_container_finds_the_sidecar;
        PodbadgeAlone:
            resources::the_operator_sets_them,
            outage::the_webhook_is_away,
            outage::the_webhook_fails_for_a_second,
            burst::two_thousand_pods_while_the_replicas_are_replaced,
            burst::what_a_pod_costs,
            crash::a_replica_is_killed_under_two_thousand_pods,
            rights::each_is_used_and_none_is_lacking,
            certificates::they_are_replaced_every_ten_seconds_under_load,
            certificates::each_fault_is_repaired,
            certificates::kubectl_sees_no_difference_after_a_rotation,
            fresh::a_gap_in_the_watch_is_survived,
            fresh::the_api_server_restarts,
            token_endpoint::trusted_by_a_config_map,
            token_endpoint::trusted_by_trust_bundles,
            release::it_is_installed_tested_upgraded_and_uninstalled,
            release::the_test_says_why_there_is_no_token,
            cert_manager::certificates_are_issued_and_renewed,
            cert_manager::an_issuer_of_the_cluster_is_used,
            switching::from_azure_workload_identity_as_documented,
            modes::the_maker_is_changed_as_documented,
            server_side::the_annotated_entry_is_switched,
            server_side::waves_come_and_go,
            stolen::a_stolen_token_writes_ca_bundle_only,
            heal::pods_left_behind_are_reported,
            heal::pods_left_behind_are_replaced,
            heal::a_labelled_pod_without_its_token_is_refused;
    ]
}

impl Test {
    fn namespace(&self) -> String {
        self.name.replace("::", "-").replace('_', "-")
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    if let Some(tools) = sandbox::inside()? {
        sandbox::set_up()?;
        // Several libraries here speak TLS, each by the process's provider.
        let _: Result<_, _> = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new()?;
        let namespaces: Vec<String> =
            tests().iter().filter(|test| test.needs == Needs::Token).map(Test::namespace).collect();
        let cluster = runtime.block_on(Cluster::start(&tools, &namespaces))?;
        return Ok(run_inside(arguments, &runtime, cluster));
    }
    let named: Vec<Trial> = tests().into_iter().map(|test| Trial::test(test.name, || Ok(()))).collect();
    if arguments.list || named.iter().all(|test| arguments.is_filtered_out(test) || arguments.is_ignored(test)) {
        return Ok(libtest_mimic::run(&arguments, named).exit_code());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's target directory")?;
    match prepare(target)? {
        Prepared::Ready(tools) => sandbox::enter(&tools),
        Prepared::Lacking(lacking) => Ok(run_without(&arguments, &lacking.join(", "))),
    }
}

/// What cannot be shown here is said to be ignored, and why; where it must be shown, that is a failure.
fn run_without(arguments: &Arguments, lacking: &str) -> ExitCode {
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    let reason = format!("this machine lacks: {lacking}");
    eprintln!("cluster tests: {reason}");
    let trial = |test: Test| {
        let reason = reason.clone();
        Trial::ignorable_test(test.name, move || {
            if must { Err(Failed::from(reason)) } else { Ok(Completion::ignored_with(reason)) }
        })
    };
    libtest_mimic::run(arguments, tests().into_iter().map(trial).collect()).exit_code()
}

fn run_inside(mut arguments: Arguments, runtime: &Runtime, cluster: Cluster) -> ExitCode {
    arguments.test_threads.get_or_insert(AT_ONCE);
    let cluster = Arc::new(cluster);
    let trials = tests()
        .into_iter()
        .map(|test| {
            let (cluster, handle) = (cluster.clone(), runtime.handle().clone());
            let lacking = NEWER.iter().find(|(name, since)| *name == test.name && cluster.minor < *since);
            Trial::ignorable_test(test.name, move || match lacking {
                Some((_, since)) => {
                    Ok(Completion::ignored_with(format!("Kubernetes 1.{since} is the first to have it")))
                }
                None => handle
                    .block_on(run_one(cluster, test))
                    .map(|()| Completion::Completed)
                    .map_err(|error| Failed::from(format!("{error:#}"))),
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(cluster) = Arc::into_inner(cluster) {
        cluster.end(conclusion.has_failed());
    }
    conclusion.exit_code()
}

async fn run_one(cluster: Arc<Cluster>, test: Test) -> Result<()> {
    let (mut _together, mut _alone) = (None, None);
    if test.needs == Needs::PodbadgeAlone {
        _alone = Some(cluster.whole.write().await);
    } else {
        _together = Some(cluster.whole.read().await);
    }
    if test.needs != Needs::Nothing {
        cluster.podbadge().await?;
    }
    let scope = Scope::open(cluster.clone(), test.namespace()).await?;
    let deadline = DEADLINE + certificates::rotation();
    // A panic must not keep the pods' last words from being shown.
    let outcome = tokio::spawn(timeout(deadline, (test.body)(scope.clone()))).await;
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(anyhow::anyhow!("not done within {} s", deadline.as_secs())),
        Err(panic) => match panic.into_panic().downcast::<String>() {
            Ok(message) => Err(anyhow::anyhow!(message)),
            Err(payload) => Err(anyhow::anyhow!(payload.downcast::<&str>().map_or("panicked", |message| *message))),
        },
    };
    match outcome {
        Ok(()) => {
            scope.close().await;
            Ok(())
        }
        Err(error) => Err(anyhow::anyhow!("{error:#}\n{}", scope.describe_all().await)),
    }
}
