//! A certificate from a directory that somebody else keeps, such as a mounted Secret of cert-manager.
//!
//! The kubelet changes such files by swapping a symbolic link (`..data`), which a watch on a file sees once and then
//! never again; so the files are read again and again and their bytes compared.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    event::{Event, Step, Trouble},
    material::{self, Key, Material, Names, rfc3339},
    resolver::Serving,
    state::{TLS_CERT, TLS_KEY},
};

/// How often a pair is read again when it changed while being read.
const ATTEMPTS: usize = 3;

/// Why the files cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read is not usable.
    #[error("{} {source}", path.display())]
    Check {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: material::Error,
    },
}

#[derive(PartialEq, Eq)]
struct Pair {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Serves `tls.crt` and `tls.key` of `directory`, looked at `every` so often, until dropped. What cannot be read or does
/// not fit is logged once and told to `on`; the last good pair stays served.
pub async fn watch(
    directory: PathBuf,
    names: Names,
    every: Duration,
    serving: Serving,
    clock: impl Fn() -> OffsetDateTime,
    mut on: impl FnMut(Event),
) -> Infallible {
    let mut trouble = Trouble::of_certificates();
    let mut last: Option<Pair> = None;
    let mut ready = false;
    loop {
        match load(&directory, &names, last.as_ref(), clock()).await {
            Ok(changed) => {
                if let Some((pair, material)) = changed {
                    let not_after = material.validity().not_after;
                    let generation = serving.publish(material);
                    tracing::info!(generation, not_after = rfc3339(not_after), "Serving a certificate from files");
                    on(Event::Published { generation, not_after });
                    last = Some(pair);
                }
                if let Some(event) = trouble.over() {
                    on(event);
                }
                if !std::mem::replace(&mut ready, true) {
                    on(Event::Ready);
                }
            }
            Err(error) => on(trouble.failed(Step::ReadFiles, error.to_string())),
        }
        tokio::time::sleep(every).await;
    }
}

/// The pair, unless it is the `last` one that was good.
async fn load(
    directory: &Path,
    names: &Names,
    last: Option<&Pair>,
    now: OffsetDateTime,
) -> Result<Option<(Pair, Material)>, Error> {
    let pair = read_together(directory).await?;
    if last == Some(&pair) {
        return Ok(None);
    }
    let material = Material::from_pem(&pair.chain, Key::new(pair.key.to_vec()), names, now)
        .map_err(|source| Error::Check { path: directory.to_owned(), source })?;
    Ok(Some((pair, material)))
}

/// Reads until two readings agree: between one file and the other the link may have been swapped.
async fn read_together(directory: &Path) -> Result<Pair, Error> {
    let mut pair = read_pair(directory).await?;
    for _ in 1..ATTEMPTS {
        let again = read_pair(directory).await?;
        if again == pair {
            break;
        }
        pair = again;
    }
    Ok(pair)
}

async fn read_pair(directory: &Path) -> Result<Pair, Error> {
    let chain = read(directory.join(TLS_CERT)).await?;
    let key = Zeroizing::new(read(directory.join(TLS_KEY)).await?);
    Ok(Pair { chain, key })
}

async fn read(path: PathBuf) -> Result<Vec<u8>, Error> {
    tokio::fs::read(&path).await.map_err(|source| Error::Read { path, source })
}

#[cfg(test)]
mod tests;
