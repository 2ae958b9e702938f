//! `podbadge`: what a person types.
//!
//! ```text
//! podbadge demo        the whole path on this machine, in seconds
//! podbadge emulator    a local Entra ID with key vaults, from a YAML file
//! podbadge inject      what the webhook would add to a manifest, offline
//! ```
//!
//! It is a library as well, so that tests play the same [`local`] cluster as the demo.

mod demo;
mod emulator;
mod failure;
mod inject;
pub mod local;
mod order;
mod signals;

use clap::{Parser, Subcommand, error::ErrorKind};
use podbadge_runtime::args::one_line;
use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

/// Azure identities for Kubernetes pods, without secrets
#[derive(Parser)]
#[command(name = "podbadge", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Emulator(emulator::Args),
    Inject(Box<inject::Args>),
    /// The sidecar itself, for the demo: the same entry as `podbadge-sidecar`.
    #[command(hide = true, disable_help_flag = true)]
    Sidecar {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// The program. Failures are one line on standard error and an exit code: 2 for wrong arguments or settings, 1 for
/// anything else.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let result = match cli.command {
        Command::Sidecar { args } => return podbadge_sidecar::main(args, |name| std::env::var_os(name)),
        Command::Demo(args) => demo::run(&args),
        Command::Emulator(args) => emulator::run(&args),
        Command::Inject(args) => inject::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told where standard error is closed.
            let _ = writeln!(io::stderr(), "podbadge: {}", failure::line(&error));
            failure::code(&error)
        }
    }
}

/// Help and the version are no mistakes; neither is asking for nothing, which is answered with help.
fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let _ = writeln!(io::stderr(), "podbadge: {}", one_line(error));
    ExitCode::from(2)
}
