//! One connection, from the accepted socket to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use hyper::{
    body::{Body as _, Incoming},
    rt::{Read, Write},
    server::conn::http1,
    service::{HttpService, Service},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tower::Service as _;

use super::{Door, Limits, again::Again, seat::Seat};
use crate::drain::Drain;

/// Less than this the HTTP server refuses to be told.
const LEAST_BUFFER: usize = 8 * 1024;

/// What ends with the open requests once it is told to.
trait Stop: Future<Output = hyper::Result<()>> {
    fn stop(self: Pin<&mut Self>);
}

/// What every connection is served by.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) door: Door,
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
}

/// Serves one connection until the peer leaves, a limit is hit, its seat is wanted or the drain ends it.
pub(super) async fn serve(stream: TcpStream, served: Served, seat: Arc<Seat>) {
    let left = Arc::clone(&seat);
    let serving = async {
        match served.door.clone() {
            Door::Plain => http1(stream, served, seat).await,
            #[cfg(feature = "tls")]
            Door::Tls(acceptor) => tls::serve(stream, acceptor, served, seat).await,
        }
    };
    tokio::select! {
        () = serving => {}
        () = left.left() => tracing::debug!("An idle connection made room for another"),
    }
}

fn http1<I>(io: I, served: Served, seat: Arc<Seat>) -> impl Future<Output = ()>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let Served { router, limits, drain, .. } = served;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Hyper's limit runs while the connection is idle, too; the first header's own limit is `drive`'s.
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.buffer.max(LEAST_BUFFER))
        .serve_connection(TokioIo::new(io), service(router, Arc::clone(&seat), drain.clone()));
    drive(Again::new(connection), seat, limits.header, drain)
}

fn service(
    router: Router,
    seat: Arc<Seat>,
    drain: Drain,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
> {
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let open = seat.ask();
        let keeps_alive = request.version() <= Version::HTTP_11;
        let answer = router.clone().call(request.map(body));
        let drain = drain.clone();
        async move {
            let mut response = answer.await?;
            if keeps_alive && drain.leaving() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(open);
            Ok(response)
        }
    })
}

/// Most requests to the sidecar are GETs; an empty body that is known to be one costs no allocation.
fn body(incoming: Incoming) -> Body {
    if incoming.is_end_stream() { Body::empty() } else { Body::new(incoming) }
}

/// The connection comes in a box: a future has room of its own for whatever is moved into it, and again for where it stays.
async fn drive<C: Stop>(mut connection: Again<C>, seat: Arc<Seat>, header: Duration, drain: Drain) {
    let mut silent = pin!(async {
        tokio::time::sleep(header).await;
        if seat.was_asked() {
            std::future::pending::<()>().await;
        }
    });
    let mut started = pin!(drain.started());
    let mut draining = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "A connection failed");
                }
                return;
            }
            () = silent.as_mut() => {
                tracing::debug!(limit = ?header, "A connection sent no request in time");
                return;
            }
            () = started.as_mut(), if !draining => {
                draining = true;
                connection.get().stop();
            }
        }
    }
}

impl<I, S> Stop for http1::Connection<I, S>
where
    I: Read + Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn stop(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(feature = "tls")]
mod tls {
    use hyper::server::conn::http2;
    use hyper_util::rt::TokioExecutor;
    use tokio_rustls::{TlsAcceptor, server::TlsStream};

    use super::*;

    /// Requests at the same time on one HTTP/2 connection.
    const HTTP2_STREAMS: u32 = 256;

    /// How much of one request may be on its way before the handler takes it, and of all of one connection: a review of
    /// 3 MB passes in a few steps, and no client can make us hold much more.
    const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
    const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

    /// The most that request headers may take together.
    const HTTP2_HEADERS: u32 = 16 * 1024;

    /// After this silence the peer is asked for a sign of life (PING), which it must give in as much time again.
    const HTTP2_PING: Duration = Duration::from_secs(30);

    pub(super) async fn serve(stream: TcpStream, acceptor: TlsAcceptor, served: Served, seat: Arc<Seat>) {
        let limits = served.limits;
        // On the heap and gone once it is over: else each connection had room for it all its life.
        let accepted = Box::pin(tokio::time::timeout(limits.handshake, acceptor.accept(stream))).await;
        match accepted {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                http2(stream, served, seat).await;
            }
            Ok(Ok(stream)) => http1(stream, served, seat).await,
            Ok(Err(error)) => tracing::debug!(%error, "A TLS handshake failed"),
            Err(_) => tracing::debug!(limit = ?limits.handshake, "A TLS handshake took too long"),
        }
    }

    fn http2(stream: TlsStream<TcpStream>, served: Served, seat: Arc<Seat>) -> impl Future<Output = ()> {
        let Served { router, limits, drain, .. } = served;
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_header_list_size(HTTP2_HEADERS)
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING)
            .serve_connection(TokioIo::new(stream), service(router, Arc::clone(&seat), drain.clone()));
        drive(Again::new(connection), seat, limits.header, drain)
    }

    impl<I, S> Stop for http2::Connection<I, S, TokioExecutor>
    where
        I: Read + Write + Unpin + 'static,
        S: HttpService<Incoming, ResBody = Body>,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send + 'static,
    {
        fn stop(self: Pin<&mut Self>) {
            self.graceful_shutdown();
        }
    }
}
