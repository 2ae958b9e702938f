//! One plain HTTP request, blocking and without a client's own start-up: what it times is the server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

const PATIENCE: Duration = Duration::from_secs(5);

/// The status and body of a GET; `headers` end with CRLF each.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP status")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// True once the path answers 200.
pub(crate) fn answers(address: SocketAddr, path: &str) -> bool {
    get(address, path, "").is_ok_and(|(status, _)| status == 200)
}
