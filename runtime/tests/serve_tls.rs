//! The TLS server over real sockets, in HTTP/1.1 and HTTP/2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, extract::DefaultBodyLimit, routing::post};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use podbadge_runtime::{
    drain::{self, Trigger},
    serve::{Bound, Error, Limits},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

struct Server {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    trigger: Trigger,
    serving: JoinHandle<Result<(), Error>>,
}

fn start(router: Router, limits: Limits) -> Server {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (trigger, drain) = drain::drain();
    let address = bound.local_addr();
    let serving = tokio::spawn(bound.serve_tls(Arc::new(config), router, limits, drain));
    Server { address, roots: roots.into(), trigger, serving }
}

/// Answers with the length of what it was sent.
fn length() -> Router {
    Router::new()
        .route("/", post(|body: Bytes| async move { body.len().to_string() }))
        .layer(DefaultBodyLimit::max(8 << 20))
}

async fn connect(server: &Server, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(Arc::clone(&server.roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    stream
}

fn review(bytes: usize) -> Request<Full<Bytes>> {
    Request::post("https://localhost/").body(Full::new(vec![b'x'; bytes].into())).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn large_reviews_pass_in_http_1() {
    let server = start(length(), Limits::default());
    let stream = connect(&server, b"http/1.1").await;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for bytes in [0, 10_000, 3_000_000] {
        send.ready().await.unwrap();
        let response = send.send_request(review(bytes)).await.unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_11, 200));
        assert_eq!(text(response).await, bytes.to_string());
    }
}

#[tokio::test]
async fn large_reviews_pass_in_http_2_side_by_side() {
    let server = start(length(), Limits::default());
    let stream = connect(&server, b"h2").await;
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut requests = JoinSet::new();
    for _ in 0..8 {
        let mut send = send.clone();
        requests.spawn(async move {
            let response = send.send_request(review(3_000_000)).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_2);
            text(response).await
        });
    }
    assert_eq!(requests.join_all().await, vec!["3000000"; 8]);
}

#[tokio::test]
async fn five_hundred_at_once_are_served_beyond_the_limit() {
    let server = Arc::new(start(length(), Limits { connections: 64, ..Limits::default() }));
    let mut clients = JoinSet::new();
    for _ in 0..500 {
        let server = Arc::clone(&server);
        clients.spawn(async move {
            let stream = connect(&server, b"http/1.1").await;
            let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            text(send.send_request(review(10_000)).await.unwrap()).await
        });
    }
    assert_eq!(clients.join_all().await, vec!["10000"; 500]);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_given_up() {
    let limits = Limits { handshake: Duration::from_secs(7), ..Limits::default() };
    let server = start(length(), limits);
    let begin = Instant::now();
    let mut client = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(begin.elapsed().abs_diff(limits.handshake) <= Duration::from_millis(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn what_is_not_tls_is_dropped_and_others_are_served() {
    let server = start(length(), Limits { connections: 1, ..Limits::default() });
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: podbadge\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    connect(&server, b"http/1.1").await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_given_up_in_both_protocols() {
    let server = start(length(), Limits { header: Duration::from_millis(50), ..Limits::default() });
    for alpn in [b"h2".as_slice(), b"http/1.1"] {
        let mut stream = connect(&server, alpn).await;
        // HTTP/2 servers speak first; what matters is that it ends.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn a_drain_answers_open_requests_in_both_protocols() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let router = Router::new().route(
        "/",
        post(move || async move {
            enter.notify_one();
            wait.notified().await;
            "at last"
        }),
    );
    let server = start(router, Limits::default());
    let stream = connect(&server, b"h2").await;
    let (two, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let two_ends = tokio::spawn(connection);
    let stream = connect(&server, b"http/1.1").await;
    let (mut one, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let one_ends = tokio::spawn(connection);

    let second = tokio::spawn({
        let mut two = two.clone();
        async move { two.send_request(review(1)).await.unwrap() }
    });
    entered.notified().await;
    let first = tokio::spawn(async move { one.send_request(review(1)).await.unwrap() });
    entered.notified().await;

    server.trigger.start();
    release.notify_waiters();

    let first = first.await.unwrap();
    assert_eq!(first.headers()["connection"], "close");
    assert_eq!(text(first).await, "at last");
    let second = second.await.unwrap();
    assert!(second.headers().get("connection").is_none(), "HTTP/2 forbids it (RFC 9113, 8.2.2)");
    assert_eq!(text(second).await, "at last");
    // Both end though the client would go on; HTTP/2 by GOAWAY.
    server.serving.await.unwrap().unwrap();
    one_ends.await.unwrap().unwrap();
    two_ends.await.unwrap().unwrap();
    drop(two);
}
