//! Real clients against the sidecar; what becomes of each must be what `docs/clients.md` says.
//!
//! After a wanted change, `PODBADGE_REWRITE_GOLDEN=1 cargo test -p podbadge-clients-tests` writes the table, to be read
//! before it is committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use podbadge_clients_tests::client::{CLIENTS, Client};
use podbadge_clients_tests::pod::Way;
use podbadge_clients_tests::scenario::Scenario;
use podbadge_clients_tests::table::{self, Cells};
use podbadge_clients_tests::toolchain::Toolchain;
use podbadge_clients_tests::world::{World, redirect};
use podbadge_machine::namespace::Namespace;
use podbadge_machine::tools::{podbadge, which};

/// They wait far more than they work.
const AT_ONCE: usize = 10;

/// One client in one way and one scenario.
#[derive(Clone, Copy)]
struct Case {
    client: &'static Client,
    way: Way,
    scenario: Scenario,
}

/// What all cases share.
struct Run {
    target: PathBuf,
    binaries: PathBuf,
    committed: Cells,
    rewrites: bool,
    seen: Mutex<Cells>,
}

/// Why a toolchain's clients, or the redirection, cannot be shown here.
type Lacking = BTreeMap<Option<Toolchain>, String>;

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
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let is_wanted = |case: &Case| {
        let named = Trial::test(case.name(), || Ok(()));
        !arguments.list && !arguments.is_filtered_out(&named) && !arguments.is_ignored(&named)
    };
    let wanted: Vec<Case> = cases().into_iter().filter(is_wanted).collect();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("cargo's target directory")?;
    let rewrites = env::var_os("PODBADGE_REWRITE_GOLDEN").is_some();
    let committed = table::committed().or_else(|error| if rewrites { Ok(String::new()) } else { Err(error) })?;
    let mut run = Run {
        target: target.to_owned(),
        binaries: PathBuf::new(),
        committed: table::read(&committed),
        rewrites,
        seen: Mutex::default(),
    };
    let lacking = if wanted.is_empty() { Lacking::new() } else { prepare(&mut run, &wanted)? };

    // Several libraries here speak TLS, each by the process's provider.
    let _: Result<_, _> = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let run = Arc::new(run);
    let mut trials: Vec<Trial> = cases().into_iter().map(|case| trial(case, &run, &lacking)).collect();
    trials.push(Trial::test("the_table_is_of_these_clients", move || whole(&committed, rewrites)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if rewrites {
        let mut cells = run.committed.clone();
        cells.extend(run.seen.lock().unwrap().clone());
        fs::create_dir_all(table::path().parent().context("docs")?)?;
        fs::write(table::path(), table::render(&cells)?)?;
    }
    Ok(conclusion.exit_code())
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in CLIENTS {
        for way in client.ways {
            let known = Scenario::ALL.into_iter().filter(|scenario| scenario.is_known_of(client, *way));
            cases.extend(known.map(|scenario| Case { client, way: *way, scenario }));
        }
    }
    // Those that wait longest come first, so that nobody waits for them in the end.
    cases.sort_by_key(|case| !matches!(case.scenario, Scenario::Down | Scenario::Throttled));
    cases
}

/// Builds what is wanted and can be; says what cannot.
fn prepare(run: &mut Run, wanted: &[Case]) -> Result<Lacking> {
    let mut lacking = Lacking::new();
    let may = |command: &[&str]| {
        Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success())
    };
    let programs = ["ip", "setpriv", "unshare"].into_iter().find(|program| which(program).is_none());
    let missing = programs.or_else(|| {
        let what = "root with the right to make and set up network namespaces (unshare --net)";
        (!may(&["unshare", "--net", "ip", "link", "set", "lo", "up"])).then_some(what)
    });
    // Two runs at once must not make the same thing twice.
    let lock = File::create(run.target.join("clients-tests.lock")).context("lock file in the target directory")?;
    lock.lock().context("lock file in the target directory")?;
    for toolchain in wanted.iter().map(|case| case.client.toolchain) {
        if lacking.contains_key(&Some(toolchain)) {
            continue;
        }
        if let Some(missing) = missing.or_else(|| toolchain.lacking()) {
            lacking.insert(Some(toolchain), missing.to_owned());
        }
    }
    if missing.is_some() {
        return Ok(lacking);
    }
    run.binaries = podbadge(&run.target, &["podbadge-sidecar"])?;
    let mut toolchains: Vec<_> = wanted.iter().map(|case| case.client.toolchain).collect();
    toolchains.sort();
    toolchains.dedup();
    for toolchain in toolchains {
        if !lacking.contains_key(&Some(toolchain)) {
            toolchain.prepare(&run.target)?;
        }
    }
    let sidecar = run.binaries.join("podbadge-sidecar");
    if let Err(error) = Namespace::new()?.inside(|| redirect(&sidecar)) {
        lacking.insert(None, format!("a kernel that can redirect ({error})"));
    }
    Ok(lacking)
}

fn trial(case: Case, run: &Arc<Run>, lacking: &Lacking) -> Trial {
    let run = Arc::clone(run);
    let reason = lacking.get(&Some(case.client.toolchain)).cloned();
    let reason = reason.or_else(|| lacking.get(&None).filter(|_| case.way == Way::Redirect).cloned());
    Trial::ignorable_test(case.name(), move || match reason {
        None => match case.play(&run) {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => Err(Failed::from(format!("{error:#}"))),
        },
        Some(reason) => {
            let reason = format!("this machine lacks: {reason}");
            // As in CI.
            let must = env::var("CI").is_ok_and(|value| value == "true");
            if must { Err(Failed::from(reason)) } else { Ok(Completion::ignored_with(reason)) }
        }
    })
}

/// The committed file has these rows, columns and versions, and no others.
fn whole(committed: &str, rewrites: bool) -> Result<(), Failed> {
    let rendered = table::render(&table::read(committed)).map_err(|error| Failed::from(format!("{error:#}")))?;
    if !rewrites && rendered != committed {
        return Err(Failed::from(
            "docs/clients.md is of other clients or versions; PODBADGE_REWRITE_GOLDEN=1 writes it",
        ));
    }
    Ok(())
}

impl Case {
    fn name(&self) -> String {
        format!("{}::{}::{}", self.client.name, self.way.name(), self.scenario.name())
    }

    fn play(&self, run: &Run) -> Result<()> {
        let namespace = Namespace::new()?;
        let word = namespace.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let world = World::start(self.way, &run.binaries).await?;
                let played = self.scenario.play(self.client, &world, &run.target).await;
                played.with_context(|| format!("the sidecar said:\n{}", world.said()))
            })
        })?;
        let cell = ((self.client.name, self.way), self.scenario.name());
        if !run.rewrites {
            match run.committed.get(&cell) {
                Some(committed) if committed == word => {}
                committed => bail!("docs/clients.md says {committed:?}, seen was {word:?}"),
            }
        }
        run.seen.lock().unwrap().insert(cell, word.to_owned());
        Ok(())
    }
}
