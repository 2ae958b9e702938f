//! Waiting for something to become so, with a deadline and a last word.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long anything may take here; generous, because machines that run tests are busy.
pub const LONG: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it gives a value.
///
/// # Errors
/// [`LONG`] passed; the message says what was awaited and what the last try said.
pub async fn until<T, F: Future<Output = Result<T>>>(what: &str, mut probe: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + LONG;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => bail!("{what}: not within {} s: {error:#}", LONG.as_secs()),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
