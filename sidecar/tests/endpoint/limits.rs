//! What one client, or all of them at once, can do to the sidecar.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::authority::Authority;
use crate::pod::{APP_SERVICE, IDENTITY_HEADER, IMDS, Pod, ask};

/// Both ends of every connection are this process's; 1,024 descriptors are usual.
fn with_descriptors() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
}

#[tokio::test]
async fn a_thousand_requests_are_one_exchange() {
    with_descriptors();
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let mut clients = JoinSet::new();
    for number in 0..1_000 {
        let address = sidecar.address;
        clients.spawn(async move {
            let header = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\nMetadata: true\r\n");
            ask(address, &format!("GET {}", if number % 2 == 0 { IMDS } else { APP_SERVICE }), &header).await.status
        });
    }
    let statuses = clients.join_all().await;
    assert!(statuses.len() == 1_000 && statuses.iter().all(|status| *status == 200));
    assert_eq!(authority.asked().len(), 1);
}

#[tokio::test]
async fn a_header_has_an_end() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let long = |length| format!("Metadata: true\r\nX: {}\r\n", "x".repeat(length));
    assert_eq!(ask(sidecar.address, &format!("GET {IMDS}"), &long(12_000)).await.status, 200);
    assert_eq!(ask(sidecar.address, &format!("GET {IMDS}"), &long(17_000)).await.status, 431);
    let many = "X: x\r\n".repeat(101) + "Metadata: true\r\n";
    assert_eq!(ask(sidecar.address, &format!("GET {IMDS}"), &many).await.status, 431);
    let query = format!("GET {IMDS}&x={}", "x".repeat(17_000));
    assert_eq!(ask(sidecar.address, &query, "Metadata: true\r\n").await.status, 431);
    assert_eq!(authority.asked().len(), 1);
}

/// Time is the runtime's: seconds pass at once, as nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_whole_header_is_left() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    for sent in ["", "GET /metadata/identity/oauth2/token HTTP/1.1\r\nMetadata: true\r\n"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(sidecar.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}

#[tokio::test]
async fn more_clients_than_there_is_room_for_wait() {
    with_descriptors();
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let mut open = Vec::new();
    for _ in 0..512 {
        open.push(TcpStream::connect(sidecar.address).await.unwrap());
    }
    // The last one is known to be accepted once it is answered.
    let last = open.last_mut().unwrap();
    last.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_ne!(last.read(&mut [0; 64]).await.unwrap(), 0);
    let mut one_more = Box::pin(sidecar.imds());
    assert!(timeout(Duration::from_millis(200), one_more.as_mut()).await.is_err(), "there is no room");
    drop(open.pop());
    assert_eq!(one_more.await.status, 200);
}
