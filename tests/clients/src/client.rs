//! The clients.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use podbadge_sidecar_core::contract;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::pod::Way::{self, Endpoint, Host, Redirect};
use crate::replay::Replay;
use crate::toolchain::{Toolchain, source};
use crate::world::World;

/// Longer than the most patient of them tries.
const DEADLINE: Duration = Duration::from_secs(150);

/// A client, in one of the forms in which it is used.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// In the names of tests.
    pub name: &'static str,
    /// In the table.
    pub title: &'static str,
    /// What it is made with.
    pub toolchain: Toolchain,
    /// The ways in which it finds the sidecar.
    pub ways: &'static [Way],
    kind: Kind,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A program, and its first argument.
    Program(&'static str, &'static str),
    /// The same, where the identity can be chosen by `AZURE_CLIENT_ID` only.
    ByVariable(&'static str, &'static str),
    Replayed(Replay),
}

#[derive(Clone, Copy, Debug)]
enum Version {
    /// What follows these words in this file.
    Locked(&'static str, &'static str),
    Said(&'static str),
}

/// What a client made of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A token, which opened the vault.
    Token,
    /// All that it said.
    Error(String),
}

const ALL_WAYS: &[Way] = &[Endpoint, Host, Redirect];
const AZURE_IDENTITY: Version = Version::Locked("python/requirements.txt", "azure-identity==");
const JAVASCRIPT: Version = Version::Locked("javascript/package.json", "\"@azure/identity\": \"");
const AZIDENTITY: Version = Version::Locked("go/go.mod", "sdk/azidentity v");

/// All of them.
pub const CLIENTS: &[Client] = &[
    Client {
        name: "python-managed",
        title: "Python azure-identity, `ManagedIdentityCredential`",
        toolchain: Toolchain::Python,
        ways: ALL_WAYS,
        kind: Kind::Program("", "managed"),
        version: AZURE_IDENTITY,
    },
    Client {
        name: "python-default",
        title: "Python azure-identity, `DefaultAzureCredential`",
        toolchain: Toolchain::Python,
        ways: ALL_WAYS,
        kind: Kind::Program("", "default"),
        version: AZURE_IDENTITY,
    },
    Client {
        name: "python-msal",
        title: "Python msal, `ManagedIdentityClient`",
        toolchain: Toolchain::Python,
        ways: ALL_WAYS,
        kind: Kind::Program("", "msal"),
        version: Version::Locked("python/requirements.txt", "msal=="),
    },
    Client {
        name: "python-msrestazure",
        title: "Python msrestazure, `MSIAuthentication`",
        toolchain: Toolchain::Python,
        ways: &[Redirect],
        kind: Kind::Program("", "msrestazure"),
        version: Version::Locked("python/requirements.txt", "msrestazure=="),
    },
    Client {
        name: "javascript-managed",
        title: "JavaScript @azure/identity, `ManagedIdentityCredential`",
        toolchain: Toolchain::JavaScript,
        ways: ALL_WAYS,
        kind: Kind::Program("", "managed"),
        version: JAVASCRIPT,
    },
    Client {
        name: "javascript-default",
        title: "JavaScript @azure/identity, `DefaultAzureCredential`",
        toolchain: Toolchain::JavaScript,
        ways: ALL_WAYS,
        kind: Kind::Program("", "default"),
        version: JAVASCRIPT,
    },
    Client {
        name: "go-managed",
        title: "Go azidentity, `ManagedIdentityCredential`",
        toolchain: Toolchain::Go,
        ways: &[Endpoint, Redirect],
        kind: Kind::Program("azidentity", "managed"),
        version: AZIDENTITY,
    },
    Client {
        name: "go-default",
        title: "Go azidentity, `DefaultAzureCredential`",
        toolchain: Toolchain::Go,
        ways: &[Endpoint, Redirect],
        kind: Kind::ByVariable("azidentity", "default"),
        version: AZIDENTITY,
    },
    Client {
        name: "go-hashicorp",
        title: "HashiCorp go-azure-sdk (Terraform)",
        toolchain: Toolchain::Go,
        ways: &[Redirect],
        kind: Kind::Program("hashicorp", "managed"),
        version: Version::Locked("go/go.mod", "hashicorp/go-azure-sdk/sdk v"),
    },
    Client {
        name: "rust",
        title: "Rust azure_identity, `ManagedIdentityCredential`",
        toolchain: Toolchain::Rust,
        ways: &[Endpoint, Redirect],
        kind: Kind::Program("", "managed"),
        version: Version::Locked("rust/Cargo.toml", "azure_identity = \"="),
    },
    Client {
        name: "curl",
        title: "curl `--retry 5 --retry-connrefused`",
        toolchain: Toolchain::Curl,
        ways: ALL_WAYS,
        kind: Kind::Program("", "managed"),
        version: Version::Said("any"),
    },
    Client {
        name: "dotnet-managed",
        title: ".NET Azure.Identity, `ManagedIdentityCredential`",
        toolchain: Toolchain::Replay,
        ways: ALL_WAYS,
        kind: Kind::Replayed(Replay::DotnetManaged),
        version: Version::Said("replayed"),
    },
    Client {
        name: "dotnet-default",
        title: ".NET Azure.Identity, `DefaultAzureCredential`",
        toolchain: Toolchain::Replay,
        ways: &[Endpoint, Redirect],
        kind: Kind::Replayed(Replay::DotnetDefault),
        version: Version::Said("replayed"),
    },
    Client {
        name: "java-managed",
        title: "Java azure-identity, `ManagedIdentityCredential`",
        toolchain: Toolchain::Replay,
        ways: ALL_WAYS,
        kind: Kind::Replayed(Replay::JavaManaged),
        version: Version::Said("replayed"),
    },
    Client {
        name: "java-default",
        title: "Java azure-identity, `DefaultAzureCredential`",
        toolchain: Toolchain::Replay,
        ways: ALL_WAYS,
        kind: Kind::Replayed(Replay::JavaDefault),
        version: Version::Said("replayed"),
    },
];

impl Client {
    /// Its version, as the lock files pin it.
    ///
    /// # Errors
    /// They do not.
    pub fn version(&self) -> Result<String> {
        match self.version {
            Version::Said(words) => Ok(words.to_owned()),
            Version::Locked(file, words) => {
                let text = fs::read_to_string(source(file)).context(file)?;
                let rest = text.lines().find_map(|line| line.split_once(words).map(|(_, rest)| rest));
                let ends = |character: char| !character.is_ascii_alphanumeric() && character != '.';
                let version = rest.and_then(|rest| rest.split(ends).next());
                Ok(version.with_context(|| format!("{file}: no {words}"))?.to_owned())
            }
        }
    }

    /// Whether it is a client itself, and not what was written down of one.
    #[must_use]
    pub const fn is_real(&self) -> bool {
        !matches!(self.kind, Kind::Replayed(_))
    }

    /// Whether it is one of .NET.
    #[must_use]
    pub const fn is_dotnet(&self) -> bool {
        matches!(self.kind, Kind::Replayed(Replay::DotnetManaged | Replay::DotnetDefault))
    }

    /// Starts it anew and waits for what it makes of it; `chosen` is the identity it asks for.
    ///
    /// # Errors
    /// It neither got a token that is right in every way, nor said that it got none.
    pub async fn run(&self, world: &World, target: &Path, chosen: Option<&str>) -> Result<Outcome> {
        let mut variables = world.application()?;
        let (program, mode) = match self.kind {
            Kind::Replayed(replay) => {
                let answer =
                    timeout(DEADLINE, replay.run(&variables, chosen)).await.context("it did not end in time")?;
                return match answer? {
                    Ok(token) => world.check(&token, chosen).await.map(|()| Outcome::Token),
                    Err(error) => Ok(Outcome::Error(error)),
                };
            }
            Kind::Program(program, mode) => (program, mode),
            Kind::ByVariable(program, mode) => {
                if let Some(chosen) = chosen {
                    variables.insert(contract::CLIENT_ID.to_owned(), chosen.to_owned());
                }
                (program, mode)
            }
        };
        let mut command = Command::from(self.toolchain.command(target, program));
        command.args([mode, world.vault()]).args(chosen).env_clear().envs(variables);
        command.envs(self.toolchain.variables(target)).kill_on_drop(true);
        let output = timeout(DEADLINE, command.output()).await.context("it did not end in time")?;
        let output = output.with_context(|| format!("{command:?}"))?;
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Ok(Outcome::Error(format!("{said}\n{complained}")));
        }
        let mut lines = said.lines();
        let token = lines.next().context("it said nothing")?;
        let answer: Option<Value> = serde_json::from_str(token).ok();
        let token =
            answer.as_ref().map_or(Some(token), |answer| answer["access_token"].as_str()).context("no token")?;
        match lines.next() {
            Some(secret) if secret != World::SECRET => bail!("it read {secret:?} from the vault"),
            _ => world.check(token, chosen).await.map(|()| Outcome::Token),
        }
    }
}
