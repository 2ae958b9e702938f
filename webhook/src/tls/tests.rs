#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::args::Args;
use clap::Parser as _;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

const SECOND: Duration = Duration::from_secs(1);

/// As much of an API server as a Lease asks for.
#[derive(Clone, Default)]
struct Leases(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    is_forbidden: bool,
    version: u64,
}

impl Leases {
    fn client(&self) -> Client {
        let leases = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let leases = leases.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (status, answer) = leases.state().answer(&parts.method, serde_json::from_slice(&body).ok());
                let answer = axum::body::Body::from(answer.to_string());
                Ok::<_, std::io::Error>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self) -> Value {
        self.state().lease.as_ref().map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
    }
}

impl State {
    fn answer(&mut self, method: &Method, body: Option<Value>) -> (u16, Value) {
        let refusal = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
        };
        match (method, body, &self.lease) {
            _ if self.is_forbidden => refusal(403, "Forbidden"),
            (&Method::GET, _, Some(lease)) => (200, lease.clone()),
            (&Method::GET, _, None) => refusal(404, "NotFound"),
            (_, Some(new), Some(old)) if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] => {
                refusal(409, "Conflict")
            }
            (_, Some(mut new), _) => {
                self.version += 1;
                new["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.lease = Some(new.clone());
                (200, new)
            }
            (_, None, _) => refusal(400, "BadRequest"),
        }
    }
}

struct Replica {
    part: watch::Receiver<Part>,
    trigger: Option<podbadge_runtime::drain::Trigger>,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    fn start(leases: &Leases, name: &str) -> Self {
        let args = Args::try_parse_from(["podbadge-webhook", &format!("--pod-name={name}")]).unwrap();
        let certificate = Config::try_from(args).unwrap().certificate;
        let (plays, part) = watch::channel(Part::default());
        let leadership = Leadership { certificate, client: leases.client(), plays };
        let (trigger, draining) = podbadge_runtime::drain::drain();
        Self { part, trigger: Some(trigger), task: tokio::spawn(leadership.run(draining)) }
    }

    fn part(&self) -> Part {
        *self.part.borrow()
    }
}

#[tokio::test(start_paused = true)]
async fn one_writes_and_one_that_is_lost_is_followed_by_another() {
    let leases = Leases::default();
    let mut first = Replica::start(&leases, "a");
    tokio::time::sleep(SECOND).await;
    let second = Replica::start(&leases, "b");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((first.part(), second.part()), (Part::Leads, Part::Follows));

    // One that stops in order gives the lease back.
    drop(first.trigger.take());
    (&mut first.task).await.unwrap();
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!((first.part(), second.part()), (Part::Follows, Part::Leads));

    // One that dies leaves it to run out.
    let third = Replica::start(&leases, "c");
    second.task.abort();
    tokio::time::sleep(12 * SECOND).await;
    assert_eq!(third.part(), Part::Follows);
    tokio::time::sleep(8 * SECOND).await;
    assert_eq!((third.part(), leases.holder()), (Part::Leads, json!("c")));
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_the_lease_everybody_writes() {
    let leases = Leases::default();
    leases.state().is_forbidden = true;
    let (first, second) = (Replica::start(&leases, "a"), Replica::start(&leases, "b"));
    tokio::time::sleep(SECOND).await;
    assert_eq!((first.part(), second.part()), (Part::Unled, Part::Unled));
    leases.state().is_forbidden = false;
    tokio::time::sleep(5 * SECOND).await;
    let mut parts = [first.part(), second.part()];
    parts.sort_by_key(|part| *part == Part::Leads);
    assert_eq!(parts, [Part::Follows, Part::Leads]);

    // The one that leads does so until its lease has run out.
    leases.state().is_forbidden = true;
    tokio::time::sleep(5 * SECOND).await;
    assert!([first.part(), second.part()].contains(&Part::Leads));
    tokio::time::sleep(15 * SECOND).await;
    assert_eq!((first.part(), second.part()), (Part::Unled, Part::Unled));
}
