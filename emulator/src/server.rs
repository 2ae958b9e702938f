//! Listeners of one emulator, started and stopped together.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use http::{HeaderMap, Uri, header::HOST};
use podbadge_runtime::{
    drain::{Drain, Trigger, drain},
    serve::{Bound, Error, Limits},
};
use rustls::ServerConfig;
use tokio::task::JoinHandle;
use url::Url;

/// How long open requests may take once the emulator stops.
const DEADLINE: Duration = Duration::from_secs(2);

/// Running listeners. Dropping them starts their drain.
pub(crate) struct Servers {
    trigger: Trigger,
    drain: Drain,
    tasks: Vec<JoinHandle<()>>,
}

/// How a listener is reached.
#[derive(Clone)]
pub(crate) struct Names {
    /// Its URL, without a trailing slash.
    pub(crate) url: String,
    /// Every name and address in its certificate.
    pub(crate) hosts: Arc<BTreeSet<String>>,
}

// === impl Names ===

impl Names {
    /// Whether a URL's host is one of the names.
    pub(crate) fn contain(&self, host: &str) -> bool {
        self.hosts.contains(host.trim_matches(['[', ']']))
    }

    /// The URL that the client reached the listener by, if it is by one of its names, so that what the client finds leads
    /// back the same way; else the listener's own.
    pub(crate) fn reached_by(&self, uri: &Uri, headers: &HeaderMap) -> String {
        // HTTP/2 has the authority in the URI.
        let authority = uri.authority().map(|authority| authority.as_str());
        let authority = authority.or_else(|| headers.get(HOST).and_then(|value| value.to_str().ok()));
        let url = authority.and_then(|authority| Url::parse(&format!("https://{authority}")).ok());
        url.filter(|url| url.host_str().is_some_and(|host| self.contain(host)))
            .map_or_else(|| self.url.clone(), |url| url.origin().ascii_serialization())
    }
}

// === impl Servers ===

impl Servers {
    pub(crate) fn new() -> Self {
        let (trigger, drain) = drain();
        Self { trigger, drain, tasks: Vec::new() }
    }

    pub(crate) fn serve(&mut self, bound: Bound, tls: Arc<ServerConfig>, router: Router) {
        let drain = self.drain.clone();
        self.tasks.push(tokio::spawn(async move {
            if let Err(error) = bound.serve_tls(tls, router, Limits::default(), drain).await {
                tracing::error!(%error, "A listener ended");
            }
        }));
    }

    /// Lets open requests end for up to two seconds, then cuts them.
    pub(crate) async fn stop(self) {
        let Self { trigger, drain: _, tasks } = self;
        trigger.start();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        for mut task in tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// Binds `address`.
pub(crate) fn bind(address: SocketAddr) -> Result<Bound, Error> {
    Bound::bind(address)
}

/// The URL of a listener, without a trailing slash: by `host` if there is one, else by its address, which is the loopback
/// one where it listens on all.
pub(crate) fn url(address: SocketAddr, host: Option<&str>) -> String {
    let port = address.port();
    let host = host.map_or_else(|| reachable(address.ip()).to_string(), ToOwned::to_owned);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { ip }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_can_be_reached() {
        for (address, host, expected) in [
            ("127.0.0.1:8443", None, "https://127.0.0.1:8443"),
            ("0.0.0.0:8443", None, "https://127.0.0.1:8443"),
            ("[::]:8443", None, "https://127.0.0.1:8443"),
            ("[::1]:8443", None, "https://[::1]:8443"),
            ("10.0.0.1:443", None, "https://10.0.0.1"),
            ("10.0.0.1:443", Some("entra.test"), "https://entra.test"),
            ("0.0.0.0:8443", Some("entra.test"), "https://entra.test:8443"),
            ("[::]:8443", Some("fd00::1"), "https://[fd00::1]:8443"),
        ] {
            assert_eq!(url(address.parse().unwrap(), host), expected);
        }
    }

    #[test]
    fn only_own_names_are_led_back_to() {
        let hosts = ["entra.test", "::1"].map(ToOwned::to_owned).into();
        let names = Names { url: "https://127.0.0.1:1".to_owned(), hosts: Arc::new(hosts) };
        for (host, expected) in [
            ("entra.test:8443", "https://entra.test:8443"),
            ("ENTRA.test", "https://entra.test"),
            ("[::1]:1", "https://[::1]:1"),
            ("evil.example", "https://127.0.0.1:1"),
            ("entra.test@evil.example", "https://127.0.0.1:1"),
            ("", "https://127.0.0.1:1"),
        ] {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            assert_eq!(names.reached_by(&Uri::from_static("/x"), &headers), expected, "{host}");
        }
        let uri = Uri::from_static("https://entra.test/x");
        assert_eq!(names.reached_by(&uri, &HeaderMap::new()), "https://entra.test");
        assert_eq!(names.reached_by(&Uri::from_static("/x"), &HeaderMap::new()), "https://127.0.0.1:1");
    }
}
