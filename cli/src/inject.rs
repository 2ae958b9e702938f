//! `podbadge inject`: what the webhook would add to a manifest, without a cluster.
//!
//! ```text
//! text -> documents -> workloads (pods and templates) -> webhook-core decides -> JSON Patch -> text in its own order
//!                  \-> cluster (service accounts, namespaces)
//! ```

mod cluster;
mod document;
mod mutate;
mod settings;
mod workload;
mod yaml;

use anyhow::Context as _;
use cluster::Cluster;
use document::Input;
use mutate::{Change, Verdict};
use podbadge_webhook::args::PolicyArgs;
use podbadge_webhook_core::denial::Denial;
use std::{
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    slice,
};

/// Print what the webhook would make of a manifest.
///
/// Pods and pod templates (Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob,
/// PodTemplate, and lists of them) get their identity; other objects pass unchanged. Service accounts and namespaces of
/// the same input count as the cluster's. The manifest goes to standard output in the form it came in, YAML or JSON (YAML
/// where both came); warnings and refusals go to standard error.
///
/// Exit code 0: printed. 1: refused or unreadable, and nothing is printed. 2: wrong arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The manifest, YAML or JSON: a file, a directory of them, or `-` for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Print JSON Patches (RFC 6902) in place of the manifest: one line for each document that holds pods
    #[arg(long)]
    patch: bool,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    account: settings::AccountArgs,
    #[command(flatten, next_help_heading = "Settings of the webhook, by its own names and with its own defaults")]
    policy: PolicyArgs,
}

/// Runs the subcommand.
///
/// # Errors
///
/// The manifest cannot be read, an object of it is refused, or the settings make no sense.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let settings = settings::settings(args.policy.clone())?;
    let input = Input::parse(&read(&args.files)?)?;
    let cluster = Cluster::of(input.objects(), &args.namespace, args.account.annotations());
    let mut changes = Vec::with_capacity(input.documents.len());
    let mut notes = io::stderr().lock();
    let mut refused = 0_usize;
    for document in &input.documents {
        let change = mutate::mutate(&document.value, &args.namespace, &cluster, &settings)?;
        for (object, verdict) in &change.verdicts {
            for warning in verdict.warnings() {
                writeln!(notes, "Warning: {object}: {warning}")?;
            }
            match verdict {
                Verdict::Refused { denial, .. } => {
                    refused += 1;
                    let here = if matches!(denial, Denial::NoTenant) { " (or --tenant-id here)" } else { "" };
                    writeln!(notes, "{object}: refused: {denial}{here}")?;
                }
                Verdict::Changed { .. } => writeln!(notes, "{object}: injected")?,
                Verdict::Unchanged { reason, .. } => writeln!(notes, "{object}: unchanged, {reason}")?,
            }
        }
        changes.push(change);
    }
    if refused > 0 {
        anyhow::bail!("{refused} refused; nothing is printed");
    }
    if changes.iter().all(|change| change.verdicts.is_empty()) {
        writeln!(notes, "nothing here holds pods")?;
    }
    let text = if args.patch { patches(&changes)? } else { input.print(&changes)? };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough, as in `podbadge inject ... | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// The texts, each with the name of where it came from.
fn read(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        if file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
            texts.push(utf8("standard input".to_owned(), bytes)?);
            continue;
        }
        let name = |path: &Path| path.display().to_string();
        let listed = if file.is_dir() { listed(file).with_context(|| name(file))? } else { Vec::new() };
        for path in if file.is_dir() { &listed[..] } else { slice::from_ref(file) } {
            let bytes = std::fs::read(path).with_context(|| name(path))?;
            texts.push(utf8(name(path), bytes)?);
        }
    }
    Ok(texts)
}

/// The manifests right in a directory, by their names as `kubectl` chooses them.
fn listed(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_manifest = |path: &PathBuf| {
        path.is_file()
            && path.extension().is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known))
    };
    let paths: io::Result<Vec<_>> = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.retain(is_manifest);
    paths.sort();
    Ok(paths)
}

fn utf8(name: String, bytes: Vec<u8>) -> anyhow::Result<(String, String)> {
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8 text"))?;
    Ok((name, text))
}

fn patches(changes: &[Change]) -> anyhow::Result<String> {
    let mut text = String::new();
    for change in changes.iter().filter(|change| !change.verdicts.is_empty()) {
        text.push_str(&serde_json::to_string(&change.patch)?);
        text.push('\n');
    }
    Ok(text)
}
