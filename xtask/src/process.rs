//! Running programs, and how a recipe fails.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Why a recipe ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong arguments: exit code 2.
    Usage(String),
    /// The recipe ran and found or met something: exit code 1.
    Failed(String),
    /// As `Failed`, with everything said already.
    Reported,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Reported => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
            Self::Reported => Ok(()),
        }
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// A command that starts in the repository's root.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from))
}

/// Runs to the end with our own input and output.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| unstarted(command, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::failed(format!("{} ended with {status}", shown(command)))) }
}

/// Runs to the end and gives what it wrote to standard output; its errors are seen.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(|error| unstarted(command, &error))?;
    if !output.status.success() {
        return Err(Failure::failed(format!("{} ended with {}", shown(command), output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::failed(format!("{} wrote something that is not UTF-8", shown(command))))
}

/// True where the program starts and ends well, whatever it writes.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// True if the one flag that `recipe` knows was given.
pub(crate) fn flag(recipe: &str, arguments: &[String], known: &str) -> Result<bool, Failure> {
    match arguments {
        [] => Ok(false),
        [one] if one == known => Ok(true),
        _ => Err(Failure::usage(format!("{recipe} knows only {known}, got {}", arguments.join(" ")))),
    }
}

pub(crate) fn no_arguments(recipe: &str, arguments: &[String]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("{recipe} takes no arguments, got {}", arguments.join(" "))))
}

pub(crate) fn unstarted(command: &Command, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot start {}: {error}", command.get_program().display()))
}

/// What could not be done with a file or a folder.
pub(crate) fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().display().to_string();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
