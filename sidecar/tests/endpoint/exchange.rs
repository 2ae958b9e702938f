//! What happens between the sidecar and Entra ID, and what of it the application sees.

use std::net::Ipv4Addr;

use axum::body::Body;
use axum::http::Response;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::authority::{Authority, TOKEN, grant, refusal};
use crate::pod::{CLIENT_ID, IMDS, Pod, TENANT, ask, assertion, assertion_until, text};

#[tokio::test]
async fn the_request_is_the_one_of_the_standard() {
    let authority = Authority::start().await;
    let pod = Pod::new(&authority);
    pod.write_token(&format!("{}\n", assertion("with a newline")));
    let sidecar = pod.start();
    assert_eq!(sidecar.imds().await.status, 200);
    let asked = authority.asked().remove(0);
    assert_eq!(asked.line, format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.headers["accept"], "application/json");
    assert!(!asked.headers.contains_key("authorization"));
    for (field, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("scope", "https://vault.azure.net/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion("with a newline")),
    ] {
        assert_eq!(asked.form[field], value);
    }
    assert_eq!(asked.form.len(), 5);
}

#[tokio::test]
async fn a_claims_challenge_is_sent_to_entra() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let line = format!("GET {IMDS}&claims=%7B%22access_token%22:%7B%22nbf%22:%7B%22value%22:%221%22%7D%7D%7D");
    assert_eq!(sidecar.imds().await.status, 200);
    assert_eq!(ask(sidecar.address, &line, "Metadata: true\r\n").await.status, 200);
    let asked = authority.asked();
    assert_eq!(asked.len(), 2, "the cached token lacks the claims");
    assert!(!asked[0].form.contains_key("claims"));
    assert_eq!(asked[1].form["claims"], r#"{"access_token":{"nbf":{"value":"1"}}}"#);
    let answer = ask(sidecar.address, &format!("GET {IMDS}&claims=cp1"), "Metadata: true\r\n").await;
    assert!(answer.status == 400 && text(&answer).contains("JSON object"), "{answer:?}");
}

#[tokio::test]
async fn a_refusal_is_401_in_entras_own_words() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let refused = "Application with identifier 'x' was not found in the directory 'y'.";
    authority.next_json(400, &refusal(700_016, "unauthorized_client", refused));
    let answer = sidecar.imds().await;
    let words = format!("AADSTS700016: {refused} Trace ID: 1 Correlation ID: 2 Timestamp: 3");
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.json(),
        json!({"error": "unauthorized_client", "error_description": words, "error_codes": [700_016], "correlation_id": "2"})
    );
    assert!(!answer.headers.contains_key("retry-after"));
    // The same failure once more, in the other form.
    let answer = sidecar.app_service().await;
    assert_eq!(
        (answer.status, answer.json()),
        (401, json!({"statusCode": 401, "message": words, "correlationId": "2"}))
    );
    assert_eq!(authority.asked().len(), 1);
}

#[tokio::test]
async fn a_mismatch_names_what_this_pod_presented() {
    for (code, part) in [
        (700_211, "The issuer differs: no federated credential has 'https://cluster.example/'."),
        (700_212, "The audience differs: no federated credential has 'api://AzureADTokenExchange'."),
        (700_213, "The subject differs: no federated credential has 'system:serviceaccount:shop:cart'."),
        (70_021, "No federated credential has this pod's issuer, subject and audience together."),
        (70_025, "The application has no federated credential."),
    ] {
        let authority = Authority::start().await;
        authority.next_json(401, &refusal(code, "invalid_client", "No matching federated identity record found."));
        let answer = Pod::new(&authority).start().app_service().await;
        let text = text(&answer);
        assert_eq!(answer.status, 401);
        assert!(text.starts_with(&format!("AADSTS{code}: No matching")) && text.contains(part), "{text}");
        let (_, fits) = text.split_once(&format!("This one of application {CLIENT_ID} would match: ")).unwrap();
        let fits: serde_json::Value = serde_json::from_str(&fits[..=fits.rfind('}').unwrap()]).unwrap();
        let expected = json!({
            "name": "shop-cart", "issuer": "https://cluster.example/", "subject": "system:serviceaccount:shop:cart",
            "audiences": ["api://AzureADTokenExchange"],
        });
        assert_eq!(fits, expected);
    }
}

/// A refusal that is asked again and again as if it could pass would hide its reason.
#[tokio::test]
async fn a_refusal_in_strange_spelling_is_still_a_refusal() {
    let long = "x".repeat(1_000);
    for (status, body, words, code) in [
        (
            401,
            json!({"error": "invalid_client", "error_description": "AADSTS70021: No.", "error_codes": ["70021"]}),
            "AADSTS70021: No. No federated credential has this pod's issuer, subject and audience together. This one",
            "invalid_client",
        ),
        (
            400,
            json!({"error": "invalid_scope", "error_codes": null, "trace_id": 7}),
            "Entra ID answered 400 with the error 'invalid_scope' and no description.",
            "invalid_scope",
        ),
        (403, json!({"error": long, "error_description": "No.", "correlation_id": TOKEN}), "No.", &long[..64]),
    ] {
        let authority = Authority::start().await;
        authority.next_json(status, &body.to_string());
        let sidecar = Pod::new(&authority).start();
        let answer = sidecar.imds().await;
        assert!(answer.status == 401 && text(&answer).starts_with(words), "{answer:?}");
        assert!(answer.json()["error"] == *code && !answer.body.contains("eyJ"), "{answer:?}");
        let answer = sidecar.app_service().await;
        assert!(answer.status == 401 && text(&answer).starts_with(words), "{answer:?}");
        assert!(!answer.body.contains("eyJ"), "{answer:?}");
    }
}

#[tokio::test]
async fn whatever_is_no_answer_of_entra_is_503() {
    let html = "<html><body>Sign in to the hotel's network eyJhbGciOiJSUzI1NiJ9.x.y</body></html>";
    let json = [("content-type", "application/json")];
    let page = [("content-type", "text/html; charset=utf-8")];
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(300_000));
    let too_old = grant(TOKEN, 0);
    for (status, headers, body, part) in [
        (200, &page[..], html, "text/html"),
        (400, &page[..], html, "text/html"),
        (403, &page[..], html, "text/html"),
        (200, &json[..], "{}", "neither a token nor an error"),
        (200, &json[..], "", "neither a token nor an error"),
        (200, &json[..], r#"{"access_token":"eyJhbGciOiJSUzI1NiJ9.x.y"}"#, "neither a token nor an error"),
        (200, &json[..], r#"{"access_token":"","token_type":"Bearer","expires_in":1}"#, "neither a token nor an error"),
        (200, &json[..], &too_old, "neither a token nor an error"),
        (200, &json[..], "{\"access_token\":", "neither a token nor an error"),
        (400, &json[..], "{}", "neither a token nor an error"),
        (200, &json[..], &long, "more than 262144 bytes"),
        (204, &[][..], "", "204"),
        (302, &[("location", "https://127.0.0.1/")][..], "", "302"),
        (307, &[("location", "/elsewhere")][..], "", "307"),
    ] {
        let authority = Authority::start().await;
        authority.next(status, headers, body);
        let sidecar = Pod::new(&authority).start();
        for answer in [sidecar.imds().await, sidecar.app_service().await] {
            let text = text(&answer);
            assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "1"), "{status} {answer:?}");
            assert!(text.starts_with("Entra ID at https://127.0.0.1:") && text.contains(part), "{text}");
        }
        assert_eq!(authority.asked().len(), 1, "an assertion is not sent twice");
    }
}

/// Where time is paused, it is the runtime's: seconds pass at once, as nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn an_authority_that_is_down_is_503() {
    // Bound, so that nobody else gets the port, and not listening.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = taken.local_addr().unwrap();
    let sidecar = Pod::asking(&format!("https://{address}/")).start();
    let answer = sidecar.imds().await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "1"));
    let text = text(&answer);
    assert!(
        text.contains("cannot be reached") && text.contains("refused") && text.contains(&address.to_string()),
        "{text}"
    );
}

#[tokio::test]
async fn an_authority_with_a_strange_certificate_is_503() {
    let authority = Authority::start().await;
    let answer = Pod::asking(&format!("https://{}/", authority.address)).start().imds().await;
    assert_eq!(answer.status, 503);
    assert!(text(&answer).contains("certificate"), "{answer:?}");
    assert!(authority.asked().is_empty());
}

/// As an operator gives them to all sidecars, and beside the file of one.
#[tokio::test]
async fn further_roots_may_come_as_text() {
    let (authority, other) = (Authority::start().await, Authority::start().await);
    let mut pod = Pod::asking(&format!("https://{}/", authority.address));
    pod.set("PODBADGE_CA_DATA", &format!("{}\n{}", other.ca, authority.ca));
    assert_eq!(pod.start().imds().await.status, 200);
    let mut pod = Pod::new(&authority);
    pod.set("PODBADGE_CA_DATA", &other.ca);
    assert_eq!(pod.start().imds().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_slow_is_503() {
    let authority = Authority::start().await;
    authority.next_hangs();
    let sidecar = Pod::new(&authority).start();
    let start = tokio::time::Instant::now();
    let answer = sidecar.imds().await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "1"));
    assert!(text(&answer).contains("did not answer within 9 seconds"), "{answer:?}");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[tokio::test]
async fn the_token_file_is_read_at_every_exchange() {
    let authority = Authority::start().await;
    let pod = Pod::new(&authority);
    let sidecar = pod.start();
    // Short enough for the second request to want a better one.
    authority.next_json(200, &grant("first", 1));
    assert_eq!(sidecar.imds().await.json()["access_token"], "first");
    pod.write_token(&assertion("two"));
    let line = format!("GET {IMDS}&bypass_cache=true");
    assert_eq!(ask(sidecar.address, &line, "Metadata: true\r\n").await.json()["access_token"], TOKEN);
    let sent: Vec<_> = authority.asked().into_iter().map(|asked| asked.form["client_assertion"].clone()).collect();
    assert_eq!(sent, [assertion("one"), assertion("two")]);
}

#[tokio::test]
async fn an_assertion_out_of_time_is_read_once_more() {
    let late = refusal(700_024, "invalid_client", "Client assertion is not within its valid time range.");
    let authority = Authority::start().await;
    let pod = Pod::new(&authority);
    let (file, body) = (pod.token_file(), late.clone());
    authority.then(move || {
        std::fs::write(file, assertion("two")).unwrap();
        let answer = Response::builder().status(401).header("content-type", "application/json");
        Some(answer.body(Body::from(body)).unwrap())
    });
    let sidecar = pod.start();
    assert_eq!(sidecar.imds().await.status, 200);
    assert_eq!(authority.asked().len(), 2);
    // The same file again would be refused again.
    let authority = Authority::start().await;
    authority.next_json(401, &late);
    let answer = Pod::new(&authority).start().imds().await;
    assert!(answer.status == 401 && text(&answer).starts_with("AADSTS700024: "), "{answer:?}");
    assert_eq!(authority.asked().len(), 1);
}

#[tokio::test]
async fn a_useless_token_file_is_named_and_looked_at_again() {
    let authority = Authority::start().await;
    let pod = Pod::new(&authority);
    let sidecar = pod.start();
    let path = pod.token_file();
    std::fs::remove_file(&path).unwrap();
    let check = async |status: u16, part: &str| {
        for answer in [sidecar.imds().await, sidecar.app_service().await] {
            let text = text(&answer);
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(text.contains(path.to_str().unwrap()) && text.contains(part), "{text}");
        }
    };
    check(503, "No such file").await;
    for (written, status, part) in [
        ("", 503, "is empty"),
        ("password", 400, "does not hold a JWT"),
        (&assertion_until("old", 1_000_000), 503, "expired at 1000000"),
    ] {
        pod.write_token(written);
        check(status, part).await;
    }
    assert!(authority.asked().is_empty());
    pod.write_token(&assertion("good"));
    assert_eq!(sidecar.imds().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_for_the_authority() {
    let proxy = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut pod = Pod::asking("https://entra.invalid/");
    pod.set("HTTPS_PROXY", &format!("http://{}", proxy.local_addr().unwrap()));
    let asked = tokio::spawn(async move {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    });
    let answer = pod.start().imds().await;
    assert_eq!(answer.status, 503, "the proxy hung up: {answer:?}");
    assert_eq!(asked.await.unwrap(), "CONNECT entra.invalid:443 HTTP/1.1\r\n");
    // Not one on loopback, which could not know this pod.
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    pod.set("HTTPS_PROXY", "http://127.0.0.1:1");
    assert_eq!(pod.start().imds().await.status, 200);
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let authority = Authority::start().await;
    let (arrived, arrives) = tokio::sync::oneshot::channel();
    authority.then(move || {
        arrived.send(()).unwrap();
        None
    });
    let sidecar = Pod::new(&authority).start();
    let address = sidecar.address;
    let open = tokio::spawn(async move { ask(address, &format!("GET {IMDS}"), "Metadata: true\r\n").await });
    arrives.await.unwrap();
    // From here on nothing but the exchange's own deadline can end it.
    tokio::time::pause();
    sidecar.stop().await.unwrap();
    let answer = open.await.unwrap();
    assert_eq!((answer.status, answer.headers["connection"].as_str()), (503, "close"));
}
