//! `docs/clients.md`: what became of each client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::client::{CLIENTS, Client};
use crate::pod::Way;
use crate::scenario::Scenario;

const HEAD: &str = "\
# Clients

<!-- Written by the tests: PODBADGE_REWRITE_GOLDEN=1 cargo test -p podbadge-clients-tests -->

What becomes of a client that asks the sidecar for a token, as seen: each line is a real client of the given version, alone
in a network of its own with the sidecar, the local Entra ID and a vault, which every token had to open. .NET and Java are
replayed: their requests, retries and parsers as they were read or seen elsewhere; `–` is what is not known of them. A client
without a line for one way does not look there.

| column | what happens | what is shown |
|---|---|---|
| own identity | the pod's own identity, or the one of `AZURE_CLIENT_ID`, is asked for | |
| chosen identity | another identity that trusts the pod is asked for by its client id | |
| identity not allowed | an identity is asked for that the service account does not allow | whether the client's error says so |
| refused by Entra | no federated credential matches | whether the client's error has Entra's words, `AADSTS700213` |
| throttled | Entra answers 429 with `Retry-After: 10`, longer than a request waits | |
| Entra away, token held | connections to Entra break while the sidecar holds a token, and the application starts anew | |
| Entra away, no token | connections to Entra break until the sidecar has said so to the client | |
| before the sidecar | nobody listens yet when the client connects | |

`token`: it got the right token, if need be by its own retries. `error, then token`: it gave up, and got one when it was
started again later; nothing else was done. `reason lost`: the client replaces the text by its own; asking once by curl shows
it. A native sidecar (Kubernetes 1.32 and newer) serves before any application starts, so the last column is of older
clusters.

";

/// What became of a client that finds the sidecar in one way.
pub type Row = (&'static str, Way);
/// By client, way and scenario.
pub type Cells = BTreeMap<(Row, &'static str), String>;

/// Where nothing was to be seen.
const NONE: &str = "–";

/// The committed file.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md")
}

/// The whole file.
///
/// # Errors
/// A version is pinned nowhere.
pub fn render(cells: &Cells) -> Result<String> {
    let titles: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.title()).collect();
    let mut text = format!("{HEAD}| client | version | found by | {} |\n", titles.join(" | "));
    text.push_str(&format!("|{}\n", "---|".repeat(3 + titles.len())));
    for (client, way) in rows() {
        let words = Scenario::ALL
            .map(|scenario| cells.get(&((client.name, way), scenario.name())).map_or(NONE, String::as_str));
        let version = client.version()?;
        text.push_str(&format!("| {} | {version} | {} | {} |\n", client.title, way.title(), words.join(" | ")));
    }
    Ok(text)
}

/// What a file of [`render`] says.
#[must_use]
pub fn read(text: &str) -> Cells {
    let mut cells = Cells::new();
    for (client, way) in rows() {
        let line = text
            .lines()
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
            .find(|line| line.get(1) == Some(&client.title) && line.get(3) == Some(&way.title()));
        for (place, scenario) in Scenario::ALL.iter().enumerate() {
            let word = line.as_ref().and_then(|line| line.get(4 + place)).filter(|word| **word != NONE);
            if let Some(word) = word {
                cells.insert(((client.name, way), scenario.name()), (*word).to_owned());
            }
        }
    }
    cells
}

/// The committed file's text.
///
/// # Errors
/// There is none.
pub fn committed() -> Result<String> {
    std::fs::read_to_string(path()).context("docs/clients.md")
}

fn rows() -> impl Iterator<Item = (&'static Client, Way)> {
    CLIENTS.iter().flat_map(|client| client.ways.iter().map(move |way| (client, *way)))
}
