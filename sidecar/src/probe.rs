//! `podbadge-sidecar probe` and `wait`: what the kubelet runs in the container until it succeeds, since a program is all that an
//! image made from scratch has, and the port is open on loopback only.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use podbadge_sidecar_core::contract::READY_PATH;
use thiserror::Error;

/// The kubelet's default time-out of an exec probe is one second, beyond which it kills without a message.
const PATIENCE: Duration = Duration::from_millis(900);
const PAUSE: Duration = Duration::from_millis(20);

/// How long [`wait`] asks. A hook that fails ends the container, so it is as patient as a startup probe.
const MINUTE: Duration = Duration::from_secs(60);

/// Why the sidecar is not ready.
#[derive(Debug, Error)]
pub(crate) enum NotReady {
    /// Nothing listens there.
    #[error("no sidecar answers on port {port} yet: is it running, with the same PODBADGE_PORT?")]
    Silent { port: u16, source: io::Error },
    /// It answers, but not with 200.
    #[error("the sidecar on port {port} is not ready: {answer}")]
    Answered { port: u16, answer: String },
}

/// Asks until the sidecar answers or the patience ends: right after its start it refuses connections.
pub(crate) fn ready(port: u16) -> Result<(), NotReady> {
    until(port, PATIENCE, |failure| matches!(failure, NotReady::Silent { .. }))
}

/// Asks until the sidecar is ready, for a minute.
pub(crate) fn wait(port: u16) -> Result<(), NotReady> {
    until(port, MINUTE, |_| true)
}

fn until(port: u16, patience: Duration, may_pass: impl Fn(&NotReady) -> bool) -> Result<(), NotReady> {
    let end = Instant::now() + patience;
    loop {
        let failure = match ask(port, end.min(Instant::now() + PATIENCE)) {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => return Ok(()),
            Ok(answer) => NotReady::Answered { port, answer: told(&answer) },
            Err(source) => NotReady::Silent { port, source },
        };
        if !may_pass(&failure) || Instant::now() + PAUSE >= end {
            return Err(failure);
        }
        std::thread::sleep(PAUSE);
    }
}

fn ask(port: u16, end: Instant) -> io::Result<String> {
    // A zero time-out is an error of its own.
    let left = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), left())?;
    stream.set_write_timeout(Some(left()))?;
    stream.set_read_timeout(Some(left()))?;
    // In one piece: whoever answers the first piece may have closed before the next is sent.
    let request = format!("GET {READY_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// The status line and the reason on one line.
fn told(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default();
    format!("{status} {body}").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answering(answer: &'static str) -> (u16, thread::JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 256];
            let read = stream.read(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("sent");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (port, served)
    }

    #[test]
    fn ready_means_200() {
        let (port, served) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        ready(port).expect("ready");
        assert!(served.join().expect("served").starts_with("GET /readyz HTTP/1.1\r\n"));
    }

    #[test]
    fn what_is_missing_is_told() {
        let (port, served) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: a\nnot ready: b\n");
        let error = ready(port).expect_err("not ready").to_string();
        assert!(error.ends_with("is not ready: HTTP/1.1 503 Service Unavailable not ready: a not ready: b"), "{error}");
        served.join().expect("served");
    }

    #[test]
    fn waiting_goes_on_until_200() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let served = thread::spawn(move || {
            for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().expect("a connection");
                let _ = stream.read(&mut [0; 256]).expect("a request");
                stream.write_all(answer.as_bytes()).expect("sent");
            }
        });
        wait(port).expect("ready");
        served.join().expect("served");
    }

    #[test]
    fn nobody_there() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        assert!(matches!(ready(port), Err(NotReady::Silent { .. })));
    }
}
