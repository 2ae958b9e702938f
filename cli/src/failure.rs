//! How the program ends when it cannot do what was asked: one line on standard error, and an exit code.

use std::process::ExitCode;

/// Arguments or settings that cannot be meant; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

/// The whole chain of causes in one line.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// 2 for wrong arguments or settings, 1 for anything else.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.is::<Wrong>() { 2 } else { 1 })
}
