//! A token endpoint on TLS that answers as it is told, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use podbadge_runtime::drain::{self, Trigger};
use podbadge_runtime::serve::{Bound, Limits};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WantsServerCert;
use rustls::{ConfigBuilder, ServerConfig};

/// The token that is granted where nothing else is told, in the form of a JWT, so that its traces can be looked for.
pub(crate) const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl";

pub(crate) struct Authority {
    pub(crate) address: SocketAddr,
    /// The root to trust, in PEM.
    pub(crate) ca: String,
    told: Arc<Told>,
    _stop: Trigger,
}

#[derive(Default)]
struct Told {
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Asked>>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) form: HashMap<String, String>,
}

/// What to do with one request; none means never to answer.
type Reply = Box<dyn FnOnce() -> Option<Response<Body>> + Send>;

impl Authority {
    pub(crate) async fn start() -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let tls = tls().with_single_cert(vec![cert.der().clone()], key).unwrap();
        Self::start_with(tls, cert.pem())
    }

    pub(crate) fn start_with(tls: ServerConfig, ca: String) -> Self {
        let bound = Bound::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (address, (stop, drain), told) = (bound.local_addr(), drain::drain(), Arc::new(Told::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&told));
        tokio::spawn(bound.serve_tls(Arc::new(tls), router, Limits::default(), drain));
        Self { address, ca, told, _stop: stop }
    }

    /// What the next request without a reply of its own is answered with.
    pub(crate) fn next(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(body.to_owned())).unwrap();
        self.then(move || Some(response));
    }

    pub(crate) fn next_json(&self, status: u16, body: &str) {
        self.next(status, &[("content-type", "application/json; charset=utf-8")], body);
    }

    pub(crate) fn next_hangs(&self) {
        self.then(|| None);
    }

    /// Does something when the next request arrives.
    pub(crate) fn then(&self, reply: impl FnOnce() -> Option<Response<Body>> + Send + 'static) {
        self.told.replies.lock().unwrap().push_back(Box::new(reply));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.told.asked.lock().unwrap().clone()
    }
}

/// A server's TLS that lacks its certificate.
pub(crate) fn tls() -> ConfigBuilder<ServerConfig, WantsServerCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth()
}

/// The refusal that Entra writes for `code`.
pub(crate) fn refusal(code: u32, error: &str, text: &str) -> String {
    serde_json::json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 1\r\nCorrelation ID: 2\r\nTimestamp: 3"),
        "error_codes": [code],
        "timestamp": "2026-01-02 03:04:05Z",
        "trace_id": "1",
        "correlation_id": "2",
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    })
    .to_string()
}

/// The grant of a token for so many seconds.
pub(crate) fn grant(token: &str, expires_in: u64) -> String {
    serde_json::json!({
        "token_type": "Bearer", "expires_in": expires_in, "ext_expires_in": expires_in, "access_token": token,
    })
    .to_string()
}

async fn answer(State(told): State<Arc<Told>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let line = format!("{} {}", parts.method, parts.uri);
    told.asked.lock().unwrap().push(Asked { line, headers: parts.headers, form });
    let reply = told.replies.lock().unwrap().pop_front();
    let granted = || {
        let answer = Response::builder().header("content-type", "application/json; charset=utf-8");
        Some(answer.body(Body::from(grant(TOKEN, 3_599))).unwrap())
    };
    match reply.map_or_else(granted, |reply| reply()) {
        Some(response) => response,
        None => std::future::pending().await,
    }
}
