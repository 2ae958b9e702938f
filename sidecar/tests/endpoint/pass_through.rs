//! What of the real metadata service is passed on: nothing, and where it is switched on, what is listed.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use podbadge_runtime::drain::{self, Trigger};
use podbadge_runtime::serve::{Bound, Limits};
use tokio::time::Instant;

use crate::authority::Authority;
use crate::pod::{APP_SERVICE, IDENTITY_HEADER, IMDS, Pod, ask, send};

/// Stands for the real one, and would hand out the node's identity.
struct MetadataService {
    address: SocketAddrV4,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: Trigger,
}

impl MetadataService {
    fn start() -> Self {
        let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let SocketAddr::V4(address) = bound.local_addr() else { unreachable!("it is bound to IPv4") };
        let ((stop, drain), asked) = (drain::drain(), Arc::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        tokio::spawn(bound.serve(router, Limits::default(), drain));
        Self { address, asked, _stop: stop }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(asked): State<Arc<Mutex<Vec<String>>>>, request: Request) -> Response<Body> {
    assert_eq!(request.headers()["metadata"], "true");
    asked.lock().unwrap().push(request.uri().to_string());
    match request.uri().path() {
        "/metadata/instance/hangs" => std::future::pending().await,
        "/metadata/instance/long" => Response::new(Body::from("x".repeat(300_000))),
        "/metadata/instance/moved" => {
            Response::builder().status(302).header("location", "/metadata/identity").body(Body::empty()).unwrap()
        }
        _ => {
            let answer = Response::builder().header("content-type", "application/json").header("set-cookie", "a=b");
            answer.body(Body::from("{\"node\":1}")).unwrap()
        }
    }
}

/// Ways to come at an identity, or at something that is not listed.
const NEVER: [&str; 22] = [
    "/metadata/identity/oauth2/token",
    "/metadata/identity",
    "/metadata/identity/info",
    "/metadata/identity/getplatformmetadata",
    "/metadata/identity\\oauth2\\token",
    "/metadata/identity%5Coauth2%5Ctoken",
    "/metadata/identity%2Foauth2%2Ftoken",
    "/metadata/%69dentity/oauth2/token/x",
    "/metadata/instance/../identity/oauth2/token",
    "/metadata/instance/%2e%2e/identity/oauth2/token",
    "/metadata/instance/..%2fidentity/oauth2/token",
    "/metadata/instance%2f..%2fidentity/oauth2/token",
    "/metadata/instance/identity/oauth2/token",
    "/metadata/instance//compute",
    "/metadata/instance/compute%3Fx=y",
    "/metadata/instance;/../identity",
    "/metadata/instances",
    "/metadata/versions",
    "/metadata/attested/document",
    "//metadata/instance",
    "/latest/meta-data/",
    "/",
];

#[tokio::test]
async fn nothing_is_passed_on_unless_it_is_listed() {
    let (authority, service) = (Authority::start().await, MetadataService::start());
    let mut pod = Pod::new(&authority);
    let headers = format!("Metadata: true\r\nX-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
    let sidecar = pod.start_beside(service.address);
    for path in NEVER.into_iter().chain(["/metadata/instance", "/metadata/instance/compute"]) {
        ask(sidecar.address, &format!("GET {path}"), &headers).await;
    }
    assert_eq!(service.asked(), [""; 0], "off by default");

    pod.set("PODBADGE_PASS_THROUGH", "/metadata/instance");
    let sidecar = pod.start_beside(service.address);
    for path in NEVER {
        let answer = ask(sidecar.address, &format!("GET {path}"), &headers).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
    for path in [IMDS, APP_SERVICE] {
        assert_eq!(ask(sidecar.address, &format!("GET {path}"), &headers).await.status, 200);
    }
    assert_eq!(service.asked(), [""; 0], "identities never");
}

#[tokio::test]
async fn what_is_listed_is_passed_on_behind_the_same_guards() {
    let (authority, service) = (Authority::start().await, MetadataService::start());
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_PASS_THROUGH", "/metadata/instance");
    let sidecar = pod.start_beside(service.address);
    let line = "GET /metadata/instance/compute?api-version=2021-02-01&format=text";
    let answer = ask(sidecar.address, line, "Metadata: true\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"node\":1}"));
    assert!(answer.headers["content-type"] == "application/json" && !answer.headers.contains_key("set-cookie"));
    assert_eq!(service.asked(), ["/metadata/instance/compute?api-version=2021-02-01&format=text"]);
    for (line, headers, status) in [
        (line, "Host: localhost\r\n", 400),
        (line, "Host: localhost\r\nMetadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n", 400),
        (line, "Host: evil.example\r\nMetadata: true\r\n", 400),
        ("POST /metadata/instance", "Host: localhost\r\nMetadata: true\r\n", 405),
        // Our own request, led back to us.
        (line, "Host: localhost\r\nMetadata: true\r\nPodbadge-Pass-Through: 1\r\n", 404),
    ] {
        assert_eq!(send(sidecar.address, line, headers).await.status, status, "{headers}");
    }
    assert_eq!(service.asked().len(), 1);
    // A redirection is the application's to follow, to a path that is not passed on.
    assert_eq!(ask(sidecar.address, "GET /metadata/instance/moved", "Metadata: true\r\n").await.status, 302);
    let answer = ask(sidecar.address, "GET /metadata/instance/long", "Metadata: true\r\n").await;
    assert!(answer.status == 504 && answer.body.contains("has no end"), "{answer:?}");
}

/// Time is the runtime's: the second passes at once, as nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_metadata_service_that_is_not_there() {
    let (authority, service) = (Authority::start().await, MetadataService::start());
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_PASS_THROUGH", "/metadata/instance");
    let sidecar = pod.start_beside(service.address);
    let start = Instant::now();
    let answer = ask(sidecar.address, "GET /metadata/instance/hangs", "Metadata: true\r\n").await;
    assert_eq!((answer.status, start.elapsed().as_secs()), (504, 1), "{answer:?}");
    assert!(answer.json()["error"].as_str().unwrap().contains("within a second"));
}
