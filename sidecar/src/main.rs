//! The sidecar's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    podbadge_sidecar::main(std::env::args_os().skip(1), |name| std::env::var_os(name))
}
