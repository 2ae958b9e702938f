//! What clients are made with.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use podbadge_machine::tools::{cargo, made_from, python, run, which};

/// What a client is made with and runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Toolchain {
    /// Python, with a virtual environment.
    Python,
    /// Node and npm.
    JavaScript,
    /// Go, with a module of several programs.
    Go,
    /// Cargo, with a package outside the workspace, since it brings a TLS stack of its own.
    Rust,
    /// curl, as the machine has it.
    Curl,
    /// Nothing: the client is a part of this program.
    Replay,
}

impl Toolchain {
    /// What of it this machine lacks.
    #[must_use]
    pub fn lacking(self) -> Option<&'static str> {
        let needs: &[&'static str] = match self {
            Self::Python => &["python3"],
            Self::JavaScript => &["node", "npm"],
            Self::Go => &["go"],
            Self::Rust | Self::Replay => &[],
            Self::Curl => &["curl"],
        };
        needs.iter().copied().find(|program| which(program).is_none())
    }

    /// Installs or builds what its clients are run from, below cargo's target directory, once for each state of the lock
    /// files.
    ///
    /// # Errors
    /// What should have worked did not: a build failed, a download did.
    pub fn prepare(self, target: &Path) -> Result<()> {
        let made = self.folder(target);
        match self {
            Self::Python => python(&source("python/requirements.txt"), &made),
            Self::JavaScript => {
                let [manifest, lock] = ["javascript/package.json", "javascript/package-lock.json"].map(source);
                made_from(&[&manifest, &lock], &made, || {
                    std::fs::create_dir_all(&made)?;
                    std::fs::copy(&manifest, made.join("package.json"))?;
                    std::fs::copy(&lock, made.join("package-lock.json"))?;
                    let quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
                    run(Command::new("npm").arg("ci").args(quiet).current_dir(&made))
                })
            }
            // These two know by themselves what is up to date.
            Self::Go => {
                std::fs::create_dir_all(&made)?;
                let build = ["build", "-buildvcs=false", "-o"];
                run(Command::new("go")
                    .args(build)
                    .arg(&made)
                    .arg("./...")
                    .current_dir(source("go"))
                    .env("CGO_ENABLED", "0"))
            }
            Self::Rust => run(cargo()
                .args(["build", "--quiet", "--locked", "--target-dir"])
                .arg(&made)
                .current_dir(source("rust"))),
            Self::Curl | Self::Replay => Ok(()),
        }
    }

    /// The command of one of its clients; `program` tells them apart where there are several.
    #[must_use]
    pub fn command(self, target: &Path, program: &str) -> Command {
        let made = self.folder(target);
        match self {
            Self::Python => {
                let mut command = Command::new(made.join("bin/python"));
                command.arg(source("python/client.py"));
                command
            }
            Self::JavaScript => {
                let mut command = Command::new(which("node").unwrap_or_else(|| "node".into()));
                command.arg(source("javascript/client.cjs"));
                command
            }
            Self::Go => Command::new(made.join(program)),
            Self::Rust => Command::new(made.join("debug/podbadge-rust-client")),
            Self::Curl | Self::Replay => Command::new(source("curl/client.sh")),
        }
    }

    /// The variables without which its programs do not run.
    #[must_use]
    pub fn variables(self, target: &Path) -> Vec<(&'static str, PathBuf)> {
        match self {
            Self::JavaScript => vec![("NODE_PATH", self.folder(target).join("node_modules"))],
            _ => Vec::new(),
        }
    }

    fn folder(self, target: &Path) -> PathBuf {
        let name = match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Curl | Self::Replay => "",
        };
        target.join("clients").join(name)
    }
}

/// A file of this crate.
#[must_use]
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
