//! When the sidecar is ready, and what it tells of itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::authority::{Authority, refusal};
use crate::pod::{Pod, ask, assertion};

#[tokio::test]
async fn ready_means_it_can_serve() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    assert_eq!(ask(sidecar.address, "GET /readyz", "").await.status, 200);
    assert!(authority.asked().is_empty());
    sidecar.stop().await.unwrap();
}

/// Time is the runtime's: seconds pass at once, as nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn ready_may_mean_a_token_is_there() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_READY_RESOURCE", "https://vault.azure.net");
    pod.write_token("");
    for _ in 0..3 {
        authority.next_json(401, &refusal(700_213, "invalid_client", "No."));
    }
    let sidecar = pod.start();
    let ready = async || ask(sidecar.address, "GET /readyz", "").await;
    let answer = ready().await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "not ready: token\n"));
    sleep(Duration::from_secs(60)).await;
    assert!(authority.asked().is_empty() && ready().await.status == 503, "there is no assertion");
    pod.write_token(&assertion("one"));
    let start = Instant::now();
    while ready().await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(authority.asked().len(), 4);
    // It is the one that the application gets.
    assert_eq!((sidecar.imds().await.status, authority.asked().len()), (200, 4));
    sidecar.stop().await.unwrap();
}

/// An exit code of 0 would tell a Job that it is done.
#[tokio::test]
async fn an_end_before_it_is_ready_is_a_failure() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_READY_RESOURCE", "https://vault.azure.net");
    pod.write_token("");
    let error = pod.start().stop().await.unwrap_err().to_string();
    assert_eq!(error, "stopped before it was ready: token is missing");
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own_when_asked_for() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    assert_eq!(pod.start().metrics, None);
    pod.set("PODBADGE_METRICS_ADDRESS", "0.0.0.0:8096");
    let sidecar = pod.start();
    let admin = sidecar.metrics.unwrap();
    assert!(admin.ip().is_unspecified() && admin != sidecar.address);
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 200)] {
        assert_eq!(ask(admin, &format!("GET {path}"), "Host: pod.example\r\n").await.status, status, "{path}");
    }
    // No token leaves the pod.
    for path in [crate::pod::IMDS, crate::pod::APP_SERVICE] {
        let headers = format!("Metadata: true\r\nX-IDENTITY-HEADER: {}\r\n", crate::pod::IDENTITY_HEADER);
        assert_eq!(ask(admin, &format!("GET {path}"), &headers).await.status, 404, "{path}");
    }
    assert!(authority.asked().is_empty());
    sidecar.stop().await.unwrap();
}

/// docs/metrics.md is what operators, the alerts and the dashboard go by.
#[tokio::test]
async fn its_metrics_are_those_that_are_documented() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_METRICS_ADDRESS", "127.0.0.1:8096");
    let sidecar = pod.start();
    let served = ask(sidecar.metrics.unwrap(), "GET /metrics", "Host: pod.example\r\n").await.body;
    let served: std::collections::BTreeSet<_> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `podbadge_sidecar_"));
    let documented: Vec<_> = rows
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
            format!("{} {}", cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    assert_eq!(served, documented.iter().map(String::as_str).collect());
    sidecar.stop().await.unwrap();
}
