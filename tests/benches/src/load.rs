//! The load generators, `h2load` and `wrk`, and what they print.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// How `h2load` speaks to the webhook.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// HTTP/1.1, as the API server speaks; else HTTP/2.
    pub(crate) h1: bool,
    pub(crate) connections: u32,
    /// Requests in flight on one connection; 1 with HTTP/1.1.
    pub(crate) streams: u32,
}

/// What one run of a load generator says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
}

/// Posts `body` to `url` `requests` times; an answer other than 2xx is an error.
///
/// With `log`, each answer's time stands there, a line each.
pub(crate) fn h2load(shape: Shape, requests: u64, body: &Path, url: &str, log: Option<&Path>) -> Result<Load> {
    let Shape { h1, connections, streams } = shape;
    let mut command = Command::new("h2load");
    command
        .args(["--requests", &requests.to_string(), "--clients", &connections.to_string()])
        .args(["--max-concurrent-streams", &streams.to_string()])
        .args(["--header", "content-type: application/json"])
        .args(["--connection-inactivity-timeout", "20s"])
        .arg("--data")
        .arg(body);
    if h1 {
        command.arg("--h1");
    }
    if let Some(log) = log {
        command.arg("--log-file").arg(log);
    }
    let load = parse_h2load(&text_of(command.arg(url))?)?;
    ensure!(load.requests == requests, "h2load: {} of {requests} requests were answered with 2xx", load.requests);
    Ok(load)
}

/// Asks `url` for `seconds` over 16 connections; an answer other than 2xx is an error.
pub(crate) fn wrk(seconds: u32, header: &str, url: &str) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args([
        "--threads",
        "1",
        "--connections",
        "16",
        "--duration",
        &format!("{seconds}s"),
        "--header",
        header,
        url,
    ]);
    parse_wrk(&text_of(&mut command)?)
}

/// The times of an `h2load` log, in microseconds: the third of its columns.
pub(crate) fn latencies(log: &str) -> Result<Vec<f64>> {
    log.lines()
        .map(|line| {
            let micros = line.split('\t').nth(2).and_then(|column| column.parse().ok());
            micros.with_context(|| format!("h2load's log has no time in `{line}`"))
        })
        .collect()
}

fn text_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {name}; is it installed?"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} ended with {}: {}{text}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

fn parse_h2load(text: &str) -> Result<Load> {
    let per_second = between(text, ", ", " req/s").context("h2load prints no rate")?;
    let requests = between(text, "status codes: ", " 2xx").context("h2load prints no status codes")?;
    Ok(Load { requests, per_second })
}

fn parse_wrk(text: &str) -> Result<Load> {
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        bail!("wrk: {}", line.trim());
    }
    let per_second = between(text, "Requests/sec:", "\n").context("wrk prints no rate")?;
    let line = text.lines().find(|line| line.contains(" requests in ")).context("wrk prints no count")?;
    let requests = line.split_whitespace().next().and_then(|word| word.parse().ok()).context("wrk prints no count")?;
    Ok(Load { requests, per_second })
}

/// The first number that stands between `begin` and `end`.
fn between<T: std::str::FromStr>(text: &str, begin: &str, end: &str) -> Option<T> {
    text.match_indices(begin).find_map(|(at, _)| {
        let (number, _) = text[at + begin.len()..].split_once(end)?;
        number.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const H2LOAD: &str = "\
starting benchmark...
Application protocol: h2

finished in 2.29s, 43589.21 req/s, 140.01MB/s
requests: 100000 total, 100000 started, 100000 done, 99990 succeeded, 10 failed, 0 errored, 0 timeout
status codes: 99990 2xx, 0 3xx, 10 4xx, 0 5xx
";
    const WRK: &str = "\
Running 2s test @ http://127.0.0.1:8000/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   160.00us   30.00us   1.00ms   90.00%
    Req/Sec    74.00k     1.00k   76.00k    80.00%
  148000 requests in 2.00s, 300.00MB read
Requests/sec:  74000.50
Transfer/sec:    150.00MB
";

    #[test]
    fn h2load_is_read_by_its_2xx() {
        assert_eq!(parse_h2load(H2LOAD).unwrap(), Load { requests: 99_990, per_second: 43_589.21 });
        assert!(parse_h2load("finished in 0us, nothing").is_err());
    }

    #[test]
    fn wrk_is_read_and_its_errors_are_errors() {
        assert_eq!(parse_wrk(WRK).unwrap(), Load { requests: 148_000, per_second: 74_000.5 });
        assert!(parse_wrk(&format!("{WRK}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert!(parse_wrk(&format!("{WRK}  Socket errors: connect 0, read 3, write 0, timeout 0\n")).is_err());
    }

    #[test]
    fn the_log_gives_times() {
        assert_eq!(latencies("1700000000000001\t200\t150\n1700000000000151\t200\t161\n").unwrap(), [150.0, 161.0]);
        assert!(latencies("x\ty\n").is_err());
    }
}
