//! The two forms of the endpoint.

use crate::authority::{Authority, TOKEN, refusal};
use crate::pod::{APP_SERVICE, CLIENT_ID, IDENTITY_HEADER, IMDS, Pod, ask, send};

#[tokio::test]
async fn both_forms_hand_out_the_same_token() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    for answer in [sidecar.imds().await, sidecar.app_service().await] {
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"), "{answer:?}");
        let json = answer.json();
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("{key} is no string: {json}")).to_owned();
        assert_eq!((text("access_token"), text("client_id")), (TOKEN.to_owned(), CLIENT_ID.to_owned()));
        assert_eq!((text("resource"), text("token_type")), ("https://vault.azure.net".to_owned(), "Bearer".to_owned()));
        let (left, until): (u64, u64) = (text("expires_in").parse().unwrap(), text("expires_on").parse().unwrap());
        assert!((3_590..=3_599).contains(&left) && until > 1_700_000_000, "{json}");
        assert_eq!(text("not_before").parse::<u64>().unwrap(), until - 3_599 - 300);
        // The order of the metadata service's keys, which some clients depend upon.
        let keys = [
            "access_token",
            "client_id",
            "expires_in",
            "expires_on",
            "ext_expires_in",
            "not_before",
            "resource",
            "token_type",
        ];
        let places: Vec<_> = keys.iter().map(|key| answer.body.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{}", answer.body);
    }
    assert_eq!(authority.asked().len(), 1, "the second came from the cache");
    sidecar.stop().await.unwrap();
}

#[tokio::test]
async fn the_identity_asked_for_is_the_one_that_entra_is_asked_for() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let other = "99999999-2222-3333-4444-555555555555";
    let answer = ask(sidecar.address, &format!("GET {IMDS}&client_id={other}"), "Metadata: true\r\n").await;
    assert_eq!((answer.status, answer.json()["client_id"].as_str()), (200, Some(other)));
    sidecar.imds().await;
    let asked: Vec<_> = authority.asked().into_iter().map(|asked| asked.form["client_id"].clone()).collect();
    assert_eq!(asked, [other, CLIENT_ID]);

    for selector in
        ["object_id=x", "principal_id=x", "msi_res_id=/x", "mi_res_id=/x", "msi-res-id=/x", "client_id=nobody"]
    {
        let answer = ask(sidecar.address, &format!("GET {IMDS}&{selector}"), "Metadata: true\r\n").await;
        let expected = serde_json::json!({"error": "invalid_request", "error_description": "Identity not found"});
        assert_eq!((answer.status, answer.json()), (400, expected), "{selector}");
    }
    assert_eq!(authority.asked().len(), 2);
}

#[tokio::test]
async fn nothing_that_is_not_meant_for_us_reaches_entra() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let identity = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
    let metadata = "Metadata: true\r\n";
    let forwarded = "Metadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n";
    for (line, headers, status, part) in [
        // The probes of the SDKs.
        (format!("GET {IMDS}"), "", 400, "Required metadata header not specified"),
        ("GET /metadata/identity/oauth2/token".to_owned(), "", 400, "Required metadata header not specified"),
        ("GET /metadata/identity/getplatformmetadata?cred-api-version=2.0".to_owned(), metadata, 404, "Not Found"),
        (format!("GET {IMDS}"), forwarded, 400, "X-Forwarded-For"),
        (format!("GET {IMDS}"), identity.as_str(), 400, "Required metadata header not specified"),
        (format!("POST {IMDS}"), metadata, 405, "GET"),
        (format!("DELETE {APP_SERVICE}"), &identity, 405, "GET"),
        (format!("GET {APP_SERVICE}"), metadata, 401, "X-IDENTITY-HEADER"),
        (format!("GET {APP_SERVICE}"), "X-IDENTITY-HEADER: guess\r\n", 401, "X-IDENTITY-HEADER"),
        ("GET /metadata/identity/oauth2/token?api-version=2018-02-01".to_owned(), metadata, 400, "Required audience"),
        (format!("GET {IMDS}&resource=x"), metadata, 400, "more than once"),
        ("GET /metadata/identity%5Coauth2%5Ctoken?resource=x".to_owned(), metadata, 400, "path"),
        ("GET /metadata/identity%2Foauth2%2Ftoken?resource=x".to_owned(), metadata, 400, "path"),
        ("GET /x/../metadata/identity/oauth2/token?resource=x".to_owned(), metadata, 400, "path"),
        ("GET /metadata/instance?api-version=2021-02-01".to_owned(), metadata, 404, "Not Found"),
        ("GET /latest/meta-data/".to_owned(), "", 404, "Not Found"),
        ("GET /".to_owned(), "", 404, "Not Found"),
    ] {
        let answer = ask(sidecar.address, &line, headers).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        answer.json();
        assert!(answer.body.contains(part), "{line}: {answer:?}");
        assert_eq!(answer.headers.get("allow").map(String::as_str), (status == 405).then_some("GET"));
    }
    // A raw backslash is no URI at all.
    let answer = ask(sidecar.address, r"GET /metadata/identity\oauth2\token?resource=x", metadata).await;
    assert_eq!(answer.status, 400);
    assert!(authority.asked().is_empty());
}

/// What a browser sends for a page whose name was made to resolve to loopback.
#[tokio::test]
async fn a_foreign_name_gets_no_token() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let wrong = "The Host must be localhost or an IP address";
    let identity = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
    let (foreign, local) = (format!("GET http://evil.example{IMDS}"), format!("GET http://127.0.0.1:8000{IMDS}"));
    let (imds, app_service) = (format!("GET {IMDS}"), format!("GET {APP_SERVICE}"));
    for (line, headers, status, part) in [
        (&imds, "Host: evil.example\r\nMetadata: true\r\n", 400, wrong),
        (&imds, "Host: localhost.evil.example:8000\r\nMetadata: true\r\n", 400, wrong),
        (&imds, "Host: 127.0.0.1\r\nHost: evil.example\r\nMetadata: true\r\n", 400, "Host is given more than once"),
        (&imds, "Host: 127.0.0.1\r\nMetadata: true\r\nMetadata: no\r\n", 400, "Metadata is given more than once"),
        (&foreign, "Metadata: true\r\n", 400, wrong),
        (&foreign, "Host: 127.0.0.1\r\nMetadata: true\r\n", 400, wrong),
        (&local, "Host: evil.example\r\nMetadata: true\r\n", 400, wrong),
        (&app_service, &format!("Host: evil.example\r\n{identity}"), 400, wrong),
        (&app_service, &format!("Host: localhost\r\n{identity}{identity}"), 401, "X-IDENTITY-HEADER is given more"),
        (&app_service, "Host: localhost\r\nsecret: a\r\nsecret: b\r\n", 401, "secret is given more than once"),
    ] {
        let answer = send(sidecar.address, line, headers).await;
        assert!(answer.status == status && answer.body.contains(part), "{line} {headers}: {answer:?}");
        let key = if *line == app_service { "message" } else { "error_description" };
        assert!(answer.json()[key].is_string(), "{answer:?}");
    }
    assert!(authority.asked().is_empty());
    for (line, headers) in [
        (&imds, "Metadata: true\r\n"),
        (&imds, "Host: [::1]:8000\r\nMetadata: true\r\n"),
        (&local, "Host: 127.0.0.1:8000\r\nMetadata: true\r\n"),
        (&app_service, &format!("Host: localhost:8000\r\n{identity}")),
    ] {
        let answer = send(sidecar.address, line, headers).await;
        assert_eq!(answer.status, 200, "{line} {headers}: {answer:?}");
    }
}

#[tokio::test]
async fn spellings_of_real_clients_are_served() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let header = format!("X-Identity-Header: {IDENTITY_HEADER}\r\n");
    let secret = format!("secret: {IDENTITY_HEADER}\r\n");
    for (line, headers) in [
        ("GET /metadata/identity/oauth2/token/?resource=https://vault.azure.net", "metadata: True\r\n"),
        ("GET //metadata/identity/oauth2/token?resource=https%3A%2F%2Fvault.azure.net", "Metadata: true\r\n"),
        (&format!("GET {IMDS}"), "Metadata: true\r\nContent-Type: application/x-www-form-urlencoded;charset=utf-8\r\n"),
        ("GET /msi/token/?resource=https://vault.azure.net&api-version=2019-08-01", &header),
        ("GET /msi/token?api-version=2017-09-01&clientid=&resource=https://vault.azure.net", &secret),
    ] {
        let answer = ask(sidecar.address, line, headers).await;
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
    }
    assert_eq!(authority.asked().len(), 1);
}

#[tokio::test]
async fn health_and_metrics() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    assert_eq!(ask(sidecar.address, "GET /livez", "").await.status, 200);
    assert_eq!(ask(sidecar.address, "GET /readyz", "").await.status, 200);
    sidecar.imds().await;
    sidecar.imds().await;
    authority.next_json(401, &refusal(700_213, "invalid_client", "No."));
    let other = format!("GET {IMDS}&client_id=99999999-2222-3333-4444-555555555555");
    assert_eq!(ask(sidecar.address, &other, "Metadata: true\r\n").await.status, 401);
    let metrics = ask(sidecar.address, "GET /metrics", "").await.body;
    for line in [
        r#"podbadge_sidecar_requests_total{form="imds",outcome="token"} 2"#,
        r#"podbadge_sidecar_cache_total{result="hit"} 1"#,
        r#"podbadge_sidecar_cache_total{result="miss"} 2"#,
        r#"podbadge_sidecar_exchanges_total{outcome="token",code=""} 1"#,
        r#"podbadge_sidecar_exchanges_total{outcome="refused",code="700213"} 1"#,
        "podbadge_sidecar_exchange_seconds_count 2",
        "podbadge_sidecar_assertion_expiry_timestamp_seconds 4000000000",
        "podbadge_sidecar_tokens 1.0",
        "podbadge_sidecar_token_age_seconds 0.0",
        "podbadge_sidecar_token_left_seconds 35",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(!metrics.contains("eyJ") && !metrics.contains(CLIENT_ID));
}

#[tokio::test]
async fn without_a_default_identity_none_is_guessed() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    pod.set("AZURE_CLIENT_ID", "");
    pod.set("PODBADGE_IDENTITY_HEADER", "");
    let sidecar = pod.start();
    let answer = sidecar.imds().await;
    let text = answer.json()["error_description"].as_str().unwrap().to_owned();
    assert!(answer.status == 400 && text.contains("Identity not found") && text.contains("AZURE_CLIENT_ID"), "{text}");
    let answer = sidecar.app_service().await;
    assert!(answer.status == 401 && answer.body.contains("PODBADGE_IDENTITY_HEADER"), "{answer:?}");
    assert!(authority.asked().is_empty());
}
