//! The local token endpoint of a pod: it answers as Azure's instance metadata service and App Service do, and gets its
//! tokens from Entra ID by workload identity federation.
//!
//! ```text
//! runtime::serve -> http -> guard -> core::request -> broker -> cache ------------------> core::response
//!                                                       |                                      ^
//!                                                       '-> token_file -> core::assertion -> exchange -> Entra ID
//! ```
//!
//! The same program, run before it as an init container, leads the metadata address to it: `redirect`.

pub mod app;
mod args;
mod broker;
mod cache;
mod chance;
mod check;
mod clock;
pub mod config;
mod exchange;
mod file;
mod flush;
mod guard;
mod http;
mod metrics;
mod pass_through;
mod probe;
mod redirect;
mod roots;
mod token_file;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use args::Command;
use config::Config;
use podbadge_sidecar_core::contract;

/// A wrong argument or setting.
const MISUSED: u8 = 2;

/// The program: `args` without its name, `vars` as the environment has them. Every failure is one line on standard error
/// and an exit code: 2 for wrong arguments and settings, 1 for anything else.
pub fn main(args: impl IntoIterator<Item = OsString>, vars: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    match args::parse(args) {
        Ok(Command::Serve) => match Config::from_vars(&vars) {
            Ok(config) => ended(app::main(config)),
            Err(error) => misused(&error),
        },
        Ok(Command::Probe) => with_port(&vars, probe::ready),
        Ok(Command::Wait) => with_port(&vars, probe::wait),
        Ok(Command::Check) => match check::read(&vars) {
            Ok(check) => ended(check.run()),
            Err(check::Unready::NotInjected(missing)) => ended(Err(missing.into())),
            Err(check::Unready::Wrong(error)) => misused(&error),
        },
        Ok(Command::Flush) => ended(flush::flush().map_err(anyhow::Error::from)),
        Ok(Command::Redirect) => match config::pass_through(&vars) {
            Ok(paths) if paths.is_some() => {
                with_port(&vars, |port| redirect::to_sidecar(port, Some(contract::USER_ID)))
            }
            Ok(_) => with_port(&vars, |port| redirect::to_sidecar(port, None)),
            Err(error) => misused(&error),
        },
        Ok(Command::Print(text)) => {
            let printed = writeln!(std::io::stdout(), "{text}");
            ended(printed.map_err(anyhow::Error::from))
        }
        Err(error) => misused(&error),
    }
}

/// Does what needs to know of the serving process of this pod no more than its port.
fn with_port<E: Into<anyhow::Error>>(
    vars: &impl Fn(&str) -> Option<OsString>,
    errand: impl FnOnce(u16) -> Result<(), E>,
) -> ExitCode {
    match config::port(vars) {
        Ok(port) => ended(errand(port).map_err(E::into)),
        Err(error) => misused(&error),
    }
}

fn misused(error: &dyn std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::from(MISUSED)
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &dyn std::fmt::Display) {
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(std::io::stderr(), "podbadge-sidecar: {error}");
}
