//! Listening and serving, with limits on every door.
//!
//! The API server speaks HTTP/1.1 to webhooks and opens a connection per concurrent pod, hundreds at once after a node
//! failure. Whatever comes beyond a limit therefore waits in the kernel's queue; it is never reset, because a refused
//! connection fails the pod at once while a late answer does not. It waits for a connection to end, or to have been idle.

mod again;
mod connection;
mod seat;

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::TcpStream,
    task::{Id, JoinError, JoinSet},
};

use crate::{drain::Drain, metrics::Registry};
use connection::Served;
use seat::Seat;

/// How many connections may wait for `accept`; the kernel lowers it to `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// The pause after an accept failed for want of something (file descriptors, memory), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long who waits for a place waits until it is looked again whether somebody has been idle for long enough.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A bound, listening socket that nobody serves yet. Made at start-up, so that an address in use ends the process
/// there; with port 0 the system picks a free one.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    counts: Counts,
}

/// What is counted of a server's connections.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    open: Gauge,
    evicted: Counter,
}

/// What a server allows its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time, at least 1. Beyond, accepting pauses until one ends; the one that has been idle for
    /// longest, and for a second at least, is ended for that.
    pub connections: usize,
    /// The time of a TLS handshake.
    pub handshake: Duration,
    /// The time from connection (or handshake) to the end of the first request's header.
    pub header: Duration,
    /// The most bytes that an HTTP/1.1 connection buffers of a request before the handler takes it, header included, at
    /// least 8 KiB: a longer header is answered 431. Buffers start at 8 KiB and grow only where needed.
    pub buffer: usize,
    /// How long an HTTP/1.1 connection may wait for its next request, or for its peer to take an answer. Longer than
    /// clients keep idle connections (90 seconds in Go, so in the API server): whoever closes first while the other
    /// sends loses a request, and a POST is not sent again.
    pub idle: Duration,
}

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Binding failed: in use, no permission, no such address here.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The listening socket cannot be driven by the async runtime.
    #[error("cannot accept connections on {address}")]
    Accept {
        /// The address bound.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What stands between an accepted socket and HTTP.
#[derive(Clone)]
enum Door {
    Plain,
    #[cfg(feature = "tls")]
    Tls(tokio_rustls::TlsAcceptor),
}

/// Everybody who is served, and who waits.
struct Room {
    limit: usize,
    connections: JoinSet<()>,
    seats: HashMap<Id, Arc<Seat>>,
    /// Accepted while there was no place.
    waiting: Option<TcpStream>,
    counts: Counts,
}

// === impl Counts ===

impl Counts {
    /// Registers the metrics `connections`, those that are open, and `connections_evicted`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        registry.register("connections", "Connections that are open", counts.open.clone());
        let help = "Idle connections that were closed because others waited for a place";
        registry.register("connections_evicted", help, counts.evicted.clone());
        counts
    }
}

// === impl Limits ===

impl Default for Limits {
    /// 2,048 connections, 10 seconds for a handshake and for a header, 64 KiB of buffer, 2 minutes idle.
    fn default() -> Self {
        Self {
            connections: 2048,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            buffer: 64 * 1024,
            idle: Duration::from_secs(120),
        }
    }
}

// === impl Bound ===

impl Bound {
    /// Binds and listens. `[::]` means every address of both families, and where there is no IPv6 every address of
    /// IPv4.
    ///
    /// # Errors
    /// [`Error::Bind`], which names the address.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bound = or_without_ipv6(address, listen).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address, counts: Counts::default() })
        });
        bound.map_err(|source| Error::Bind { address, source })
    }

    /// The address bound, with the real port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Has its connections counted there.
    #[must_use]
    pub fn counted(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }

    /// Serves `router` in HTTP/1.1 until `drain` starts and the open requests are answered. Dropping the future closes
    /// every connection at once.
    ///
    /// # Errors
    /// [`Error::Accept`] if the socket cannot be used at all; a failed accept is logged and tried again.
    pub async fn serve(self, router: Router, limits: Limits, drain: Drain) -> Result<(), Error> {
        self.run(Door::Plain, router, limits, drain).await
    }

    /// Serves `router` over TLS, in HTTP/2 or HTTP/1.1 as agreed by ALPN, until `drain` starts and the open requests are
    /// answered. Dropping the future closes every connection at once.
    ///
    /// # Errors
    /// As [`Bound::serve`].
    #[cfg(feature = "tls")]
    pub async fn serve_tls(
        self,
        config: Arc<rustls::ServerConfig>,
        router: Router,
        limits: Limits,
        drain: Drain,
    ) -> Result<(), Error> {
        self.run(Door::Tls(config.into()), router, limits, drain).await
    }

    async fn run(self, door: Door, router: Router, limits: Limits, drain: Drain) -> Result<(), Error> {
        let Self { listener, address, counts } = self;
        let listener = adopt(listener, limits).map_err(|source| Error::Accept { address, source })?;
        let served = Served { door, router, limits, drain: drain.clone() };
        let mut room = Room::new(limits.connections, counts);
        loop {
            tokio::select! {
                biased;
                () = drain.started() => break,
                Some(ended) = room.connections.join_next_with_id() => room.left(ended, &served),
                accepted = listener.accept(), if room.waiting.is_none() => match accepted {
                    Ok((stream, _)) => room.enter(stream, &served),
                    Err(error) if only_this_connection(&error) => tracing::debug!(%error, "A connection was gone"),
                    Err(error) => {
                        tracing::warn!(%error, %address, "Cannot accept connections, trying again");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = tokio::time::sleep(LOOK_AGAIN), if room.waiting.is_some() => room.make(),
            }
        }
        drop(listener);
        room.waiting = None;
        while let Some(ended) = room.connections.join_next_with_id().await {
            room.left(ended, &served);
        }
        Ok(())
    }
}

// === impl Room ===

impl Room {
    fn new(limit: usize, counts: Counts) -> Self {
        Self { limit: limit.max(1), connections: JoinSet::new(), seats: HashMap::new(), waiting: None, counts }
    }

    /// Serves a connection, or has it wait for a place.
    fn enter(&mut self, stream: TcpStream, served: &Served) {
        if self.seats.len() >= self.limit {
            self.waiting = Some(stream);
            return self.make();
        }
        let seat = Seat::take();
        let task = self.connections.spawn(connection::serve(stream, served.clone(), Arc::clone(&seat)));
        self.seats.insert(task.id(), seat);
        self.counts.open.inc();
    }

    /// One has ended, and who waits has its place.
    fn left(&mut self, ended: Result<(Id, ()), JoinError>, served: &Served) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        if self.seats.remove(&id).is_some() {
            self.counts.open.dec();
        }
        if ended.is_err_and(|error| error.is_panic()) {
            // The panic itself was printed where it happened; it costs this connection, not the process.
            tracing::error!("A connection ended in a panic");
        }
        if let Some(stream) = self.waiting.take() {
            self.enter(stream, served);
        }
    }

    fn make(&mut self) {
        if seat::make_room(self.seats.values()) {
            self.counts.evicted.inc();
        }
    }
}

/// Tries `address`; where `[::]` cannot be had, `0.0.0.0`. An address in use or forbidden stays an error: IPv4 would
/// serve half of the clients and hide it.
fn or_without_ipv6<L>(address: SocketAddr, listen: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    listen(address).or_else(|error| {
        let final_kind = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
        if address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) || final_kind {
            return Err(error);
        }
        listen((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // The default is a sysctl's (net.ipv6.bindv6only).
        socket.set_only_v6(false)?;
    }
    // A restarted process must not wait for its predecessor's connections to time out.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn adopt(listener: TcpListener, limits: Limits) -> io::Result<tokio::net::TcpListener> {
    // Accepted sockets inherit it. Without, a peer that stops reading keeps its connection for ever: HTTP servers here
    // have no write time-out.
    #[cfg(target_os = "linux")]
    SockRef::from(&listener).set_tcp_user_timeout(Some(limits.idle))?;
    tokio::net::TcpListener::from_std(listener)
}

fn only_this_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn tried(address: &str, fails: &[(&str, io::ErrorKind)]) -> (Vec<String>, Result<(), io::ErrorKind>) {
        let tried = RefCell::default();
        let outcome = or_without_ipv6(address.parse().unwrap(), |address| {
            let address = address.to_string();
            let fault = fails.iter().find(|(failing, _)| *failing == address).map(|(_, kind)| (*kind).into());
            Vec::push(&mut tried.borrow_mut(), address);
            fault.map_or(Ok(()), Err)
        });
        (tried.into_inner(), outcome.map_err(|error| error.kind()))
    }

    #[test]
    fn every_address_falls_back_to_ipv4_only_where_there_is_no_ipv6() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied, Unsupported};
        assert_eq!(tried("[::]:1", &[]), (vec!["[::]:1".into()], Ok(())));
        for kind in [AddrNotAvailable, Unsupported] {
            let both = vec!["[::]:1".into(), "0.0.0.0:1".into()];
            assert_eq!(tried("[::]:1", &[("[::]:1", kind)]), (both.clone(), Ok(())));
            let fails = [("[::]:1", kind), ("0.0.0.0:1", AddrInUse)];
            assert_eq!(tried("[::]:1", &fails), (both, Err(kind)), "the address asked for is the one explained");
        }
        for kind in [AddrInUse, PermissionDenied] {
            assert_eq!(tried("[::]:1", &[("[::]:1", kind)]), (vec!["[::]:1".into()], Err(kind)));
        }
        let specific = ("[::1]:1", AddrNotAvailable);
        assert_eq!(tried("[::1]:1", &[specific]), (vec!["[::1]:1".into()], Err(AddrNotAvailable)));
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(first.local_addr().port(), 0);
        let Err(error) = Bound::bind(first.local_addr()) else { panic!("bound twice") };
        assert_eq!(error.to_string(), format!("cannot listen on {}", first.local_addr()));
        assert!(matches!(error, Error::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse));
    }
}
