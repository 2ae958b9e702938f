//! The plain server over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    future::pending,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use podbadge_runtime::{
    drain::{self, Drain, Steps, Trigger, Unfinished},
    ready::Readiness,
    serve::{Bound, Error, Limits},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};

/// A limit that no test reaches.
const NEVER: Duration = Duration::from_secs(3600);

struct Server {
    address: SocketAddr,
    trigger: Trigger,
    drain: Drain,
    serving: JoinHandle<Result<(), Error>>,
}

fn start(router: Router, limits: Limits) -> Server {
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (trigger, drain) = drain::drain();
    let address = bound.local_addr();
    let serving = tokio::spawn(bound.serve(router, limits, drain.clone()));
    Server { address, trigger, drain, serving }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: podbadge\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// One whole answer, header and body, in lower case.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let seen = String::from_utf8_lossy(&text).to_lowercase();
        if let Some((head, body)) = seen.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").unwrap().1.split("\r\n").next().unwrap();
            if body.len() >= length.parse().unwrap() {
                return seen;
            }
        }
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0, "closed after {seen:?}");
    }
}

async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) => assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn connections_are_kept_between_requests() {
    let server = start(hello(), Limits::default());
    let mut client = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        ask(&mut client, "/").await;
        let answer = answer(&mut client).await;
        assert!(answer.starts_with("http/1.1 200 ok\r\n") && answer.ends_with("hello"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn every_address_includes_ipv4() {
    let bound = Bound::bind("[::]:0".parse().unwrap()).unwrap();
    let (_trigger, drain) = drain::drain();
    let port = bound.local_addr().port();
    tokio::spawn(bound.serve(hello(), Limits::default(), drain));
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    ask(&mut client, "/").await;
    assert!(answer(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn beyond_the_limit_connections_wait_and_are_served() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let router = Router::new().route(
        "/",
        get(move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            "hello"
        }),
    );
    let server = start(router, Limits { connections: 1, ..Limits::default() });

    let mut first = TcpStream::connect(server.address).await.unwrap();
    ask(&mut first, "/").await;
    answer(&mut first).await;
    let mut second = TcpStream::connect(server.address).await.expect("the kernel queues it");
    ask(&mut second, "/").await;
    for _ in 0..20 {
        ask(&mut first, "/").await;
        answer(&mut first).await;
    }
    assert_eq!(served.load(Ordering::SeqCst), 21, "the second connection is not served beside the first");
    assert_eq!(second.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock, "nor is it reset");

    drop(first);
    assert!(answer(&mut second).await.ends_with("hello"));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_the_longest_idle_connection_makes_room() {
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let busy = get(move || async move {
        enter.notify_one();
        pending::<()>().await;
    });
    let server = start(hello().route("/busy", busy), Limits { connections: 3, header: NEVER, ..Limits::default() });
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    ask(&mut busy, "/busy").await;
    entered.notified().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        ask(&mut idle, "/").await;
        answer(&mut idle).await;
    }

    let begin = Instant::now();
    let mut others = Vec::new();
    for closes in [&mut silent, &mut idle] {
        let mut next = TcpStream::connect(server.address).await.unwrap();
        ask(&mut next, "/").await;
        assert!(answer(&mut next).await.ends_with("hello"));
        closed(closes).await;
        others.push(next);
    }
    assert!(begin.elapsed() >= Duration::from_millis(900), "who was idle for a moment only keeps its place");
    let refused = busy.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock, "an open request keeps its place");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_no_whole_header_is_closed() {
    let limits = Limits { header: Duration::from_secs(10), idle: NEVER, ..Limits::default() };
    let server = start(hello(), limits);
    for sent in ["", "GET / HTTP/1.1\r\nHost: pod"] {
        let begin = Instant::now();
        let mut client = TcpStream::connect(server.address).await.unwrap();
        client.write_all(sent.as_bytes()).await.unwrap();
        closed(&mut client).await;
        // The timer wheel counts in whole milliseconds.
        assert!(begin.elapsed().abs_diff(limits.header) <= Duration::from_millis(2), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit_and_ends_at_its_own() {
    let limits = Limits { header: Duration::from_millis(10), idle: Duration::from_millis(200), ..Limits::default() };
    let server = start(hello(), limits);
    let mut client = TcpStream::connect(server.address).await.unwrap();
    ask(&mut client, "/").await;
    answer(&mut client).await;
    let begin = Instant::now();
    closed(&mut client).await;
    assert!(begin.elapsed() >= limits.idle / 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn while_lingering_the_server_accepts_and_asks_clients_to_leave() {
    let server = start(hello(), Limits::default());
    let readiness = Readiness::default();
    let steps = Steps { linger: NEVER, deadline: NEVER };
    let mut client = TcpStream::connect(server.address).await.unwrap();
    ask(&mut client, "/").await;
    assert!(!answer(&mut client).await.contains("connection: close"));

    let stopping = tokio::spawn({
        let readiness = readiness.clone();
        async move { drain::shutdown(&readiness, server.trigger, steps, server.serving).await.map(|_| ()) }
    });
    while !server.drain.leaving() {
        tokio::task::yield_now().await;
    }
    assert_eq!(readiness.missing(), [Readiness::STOPPING]);
    let mut late = TcpStream::connect(server.address).await.unwrap();
    for client in [&mut client, &mut late] {
        ask(client, "/").await;
        let answer = answer(client).await;
        assert!(answer.starts_with("http/1.1 200 ok\r\n") && answer.contains("connection: close\r\n"), "{answer}");
        closed(client).await;
    }
    stopping.abort();
}

#[tokio::test]
async fn a_drain_answers_open_requests_and_takes_no_more() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let router = hello().route(
        "/slow",
        get(move || async move {
            enter.notify_one();
            wait.notified().await;
            "at last"
        }),
    );
    let server = start(router, Limits::default());
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    ask(&mut idle, "/").await;
    answer(&mut idle).await;
    let mut open = TcpStream::connect(server.address).await.unwrap();
    ask(&mut open, "/slow").await;
    entered.notified().await;

    server.trigger.start();
    closed(&mut idle).await;
    let refused = loop {
        // Until the listener is closed the kernel may still take connections.
        if let Err(error) = TcpStream::connect(server.address).await {
            break error;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!server.serving.is_finished(), "one request is open");

    release.notify_one();
    let answer = answer(&mut open).await;
    assert!(answer.ends_with("at last") && answer.contains("connection: close\r\n"), "{answer}");
    server.serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn under_load_no_request_is_lost_to_a_shutdown() {
    const REQUESTS: usize = 100;
    let server = start(hello(), Limits::default());
    let (address, half_way) = (server.address, Arc::new(Notify::new()));
    let clients: Vec<JoinHandle<usize>> = (0..16)
        .map(|_| {
            let half_way = Arc::clone(&half_way);
            tokio::spawn(async move {
                // As the API server does: a kept connection until told to leave, then a new one.
                let (mut left, mut stream) = (0, TcpStream::connect(address).await.unwrap());
                for request in 0..REQUESTS {
                    if request == REQUESTS / 2 {
                        half_way.notify_one();
                    }
                    ask(&mut stream, "/").await;
                    if answer(&mut stream).await.contains("connection: close\r\n") {
                        stream = TcpStream::connect(address).await.unwrap();
                        left += 1;
                    }
                }
                left
            })
        })
        .collect();
    half_way.notified().await;

    let steps = Steps { linger: NEVER, deadline: NEVER };
    let left = drain::shutdown(&Readiness::default(), server.trigger, steps, async {
        let mut left = 0;
        for client in clients {
            left += client.await.expect("a client lost a request");
        }
        left
    })
    .await;
    assert!(left.unwrap() > 0, "the shutdown came while clients were asking");
    server.serving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_meets_the_deadline() {
    let entered = Arc::new(Notify::new());
    let enter = Arc::clone(&entered);
    let router = Router::new().route(
        "/",
        get(move || async move {
            enter.notify_one();
            pending::<()>().await;
        }),
    );
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (trigger, drain) = drain::drain();
    let limits = Limits { header: NEVER, idle: NEVER, ..Limits::default() };
    let (address, mut serving) = (bound.local_addr(), Box::pin(bound.serve(router, limits, drain)));
    let mut client = TcpStream::connect(address).await.unwrap();
    ask(&mut client, "/").await;
    tokio::select! {
        _ = &mut serving => panic!("ended"),
        () = entered.notified() => {}
    }
    let steps = Steps { linger: Duration::from_secs(5), deadline: Duration::from_secs(20) };
    let outcome = drain::shutdown(&Readiness::default(), trigger, steps, serving).await;
    assert!(matches!(outcome, Err(Unfinished::Deadline(after)) if after == steps.deadline));
    closed(&mut client).await;
}

#[tokio::test]
async fn a_panic_costs_its_connection_only() {
    async fn broken() {
        panic!("a bug in a handler, printed on purpose");
    }
    let server = start(hello().route("/broken", get(broken)), Limits::default());
    let mut client = TcpStream::connect(server.address).await.unwrap();
    ask(&mut client, "/broken").await;
    closed(&mut client).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    ask(&mut client, "/").await;
    assert!(answer(&mut client).await.ends_with("hello"));
}
