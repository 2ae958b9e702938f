//! The webhook's process.

use podbadge_runtime::args::one_line;
use podbadge_webhook::{app, args::Args, config::Invalid};
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A wrong argument or setting.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            complain(&one_line(&error));
            return ExitCode::from(MISUSED);
        }
        // Help and version are no errors and go to standard output.
        Err(error) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    match app::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            if error.is::<Invalid>() { ExitCode::from(MISUSED) } else { ExitCode::FAILURE }
        }
    }
}

fn complain(error: &str) {
    let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "podbadge-webhook: {line}");
}
