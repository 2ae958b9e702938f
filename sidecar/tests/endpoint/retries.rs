//! What is asked again while a client waits. Time is the runtime's: seconds pass at once, as nothing else is left to do.

use tokio::time::{Duration, Instant, sleep};

use crate::authority::{Authority, refusal};
use crate::pod::{IMDS, Pod, ask, assertion, text};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again_while_the_client_waits() {
    let (json, page) = ([("content-type", "application/json")], [("content-type", "text/html")]);
    let refusal = |code| refusal(code, "invalid_request", "Request to External OIDC endpoint failed.");
    for (status, headers, body) in [
        (400, &json[..], &*refusal(50_166)),
        (400, &json[..], &refusal(90_061)),
        (400, &json[..], &refusal(501_661)),
        (503, &json[..], &refusal(90_033)),
        (500, &page[..], "<html>"),
        (408, &[][..], ""),
        (429, &[][..], "Too Many Requests"),
        (429, &[("retry-after", "2")][..], "Too Many Requests"),
        // As a gateway in between may put it, whose clock is wrong.
        (429, &[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT")][..], ""),
    ] {
        let authority = Authority::start().await;
        for _ in 0..3 {
            authority.next(status, headers, body);
        }
        let pod = Pod::new(&authority);
        let (start, sidecar) = (Instant::now(), pod.start());
        let answer = sidecar.imds().await;
        assert_eq!((answer.status, authority.asked().len()), (200, 4), "{status} {body}: {answer:?}");
        assert!(start.elapsed() < 9 * SECOND, "{:?}", start.elapsed());
        // Each with the assertion as it was then, which is the same here.
        assert!(authority.asked().iter().all(|asked| asked.form["client_assertion"] == assertion("one")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_in_time_says_when_to_ask_again() {
    let json = [("content-type", "application/json")];
    let oidc = refusal(90_061, "invalid_request", "Request to External OIDC endpoint failed.");
    for (status, headers, body, told, part) in [
        (500, &[][..], "", 503, "answered 500"),
        (
            503,
            &json[..],
            &*refusal(90_033, "temporarily_unavailable", "A transient error."),
            503,
            "AADSTS90033: A transient error.",
        ),
        (400, &json[..], &oidc, 503, "AADSTS90061: Request to External OIDC endpoint failed."),
        (429, &[][..], "Too Many Requests", 429, "throttling"),
    ] {
        let authority = Authority::start().await;
        for _ in 0..9 {
            authority.next(status, headers, body);
        }
        let sidecar = Pod::new(&authority).start();
        let start = Instant::now();
        for answer in [sidecar.imds().await, sidecar.app_service().await] {
            assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (told, "1"), "{answer:?}");
            assert!(text(&answer).contains(part), "{answer:?}");
        }
        assert!((4..=6).contains(&authority.asked().len()), "{}", authority.asked().len());
        assert!(start.elapsed() < 9 * SECOND, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn patience_that_nobody_has_is_passed_on_at_once() {
    let date = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")];
    for headers in [&[("retry-after", "60")][..], &date[..]] {
        let authority = Authority::start().await;
        authority.next(429, headers, "Too Many Requests");
        let answer = Pod::new(&authority).start().imds().await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "5"));
        assert!(text(&answer).contains("throttling"));
        assert_eq!(authority.asked().len(), 1);
    }
}

/// A new federated credential is not known everywhere at once.
#[tokio::test(start_paused = true)]
async fn a_mismatch_is_doubted_while_the_pod_is_young() {
    let no = |code| refusal(code, "invalid_client", "No matching federated identity record found.");
    for code in [70_021, 700_211, 700_212, 700_213] {
        let authority = Authority::start().await;
        for _ in 0..3 {
            authority.next_json(401, &no(code));
        }
        let mut pod = Pod::new(&authority);
        pod.set("PODBADGE_CREDENTIAL_SPREADING_SECONDS", "");
        let sidecar = pod.start();
        assert_eq!((sidecar.imds().await.status, authority.asked().len()), (200, 4), "{code}");
        // One that is really missing is told in time, in Entra's words.
        let other = format!("GET {IMDS}&client_id=99999999-2222-3333-4444-555555555555");
        for _ in 0..9 {
            authority.next_json(401, &no(code));
        }
        let start = Instant::now();
        let answer = ask(sidecar.address, &other, "Metadata: true\r\n").await;
        assert!(answer.status == 401 && text(&answer).contains("would match: {"), "{answer:?}");
        assert!((3 * SECOND..9 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
        // Two minutes after the start it is believed.
        sleep(120 * SECOND).await;
        let (start, asked) = (Instant::now(), authority.asked().len());
        assert_eq!(ask(sidecar.address, &other, "Metadata: true\r\n").await.status, 401);
        assert_eq!((start.elapsed() < SECOND, authority.asked().len() - asked), (true, 1));
    }
}
