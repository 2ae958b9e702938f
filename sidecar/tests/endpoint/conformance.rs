//! The requests that real clients were seen to send, replayed, and the answers that all of their parsers take.
//!
//! Python azure-identity 1.27, msal 1.39, msrestazure 0.6.4; @azure/identity 4.14; Go azidentity 1.14; Rust azure_identity
//! 1.0; HashiCorp's go-azure-sdk; azure-identity for Java 1.19: as captured. .NET and go-autorest: as read in their source.

use serde_json::Value;

use crate::authority::{Authority, TOKEN};
use crate::pod::{Answer, CLIENT_ID, IDENTITY_HEADER, Pod, ask};

const PATH: &str = "/metadata/identity/oauth2/token";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded;charset=utf-8\r\n";
const MSAL: &str = "x-client-SKU: MSAL\r\nx-client-Ver: 1\r\nx-ms-client-request-id: 7\r\n";
const RESOURCE: &str = "resource=https%3A%2F%2Fvault.azure.net";

/// Everything that any parser needs, in the types that the strictest one takes.
fn every_parser_takes(answer: &Answer, resource: &str) {
    let json = answer.json();
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("{key} is no string: {json}")).to_owned();
    assert_eq!((text("access_token"), text("token_type")), (TOKEN.to_owned(), "Bearer".to_owned()));
    assert_eq!((text("resource"), text("client_id")), (resource.to_owned(), CLIENT_ID.to_owned()));
    for key in ["expires_in", "expires_on", "ext_expires_in", "not_before"] {
        assert!(text(key).parse::<u64>().unwrap() > 0, "{key}: {json}");
    }
    // Python's msal and Terraform count from `expires_in`, JavaScript, Java and Rust read `expires_on`; MSAL.NET the last.
    assert!(answer.body.find("\"expires_in\"") < answer.body.find("\"expires_on\""));
    assert!(text("expires_in").parse::<u64>().unwrap() >= 300);
    assert!(json.as_object().unwrap().values().all(Value::is_string), "no null, no float: {json}");
}

#[tokio::test]
async fn requests_to_the_metadata_service() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let plain = "https://vault.azure.net";
    for (client, target, headers, resource) in [
        (
            "Python",
            format!("{PATH}?api-version=2018-02-01&resource={plain}"),
            format!("Metadata: true\r\n{MSAL}"),
            plain,
        ),
        (
            "Python, user-assigned",
            format!("{PATH}?api-version=2018-02-01&resource={plain}&client_id={CLIENT_ID}"),
            format!("Metadata: true\r\n{MSAL}"),
            plain,
        ),
        (
            "azure-cli",
            format!("{PATH}?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.core.windows.net%2F"),
            format!("Metadata: true\r\n{MSAL}User-Agent: python-requests/2\r\n"),
            "https://management.core.windows.net/",
        ),
        (
            "JavaScript by AZURE_POD_IDENTITY_AUTHORITY_HOST",
            format!("{PATH}/?api-version=2018-02-01&{RESOURCE}"),
            format!("Metadata: true\r\n{MSAL}{FORM}"),
            plain,
        ),
        (
            "JavaScript where that ends in a slash",
            format!("/{PATH}/?api-version=2018-02-01&{RESOURCE}"),
            format!("Metadata: true\r\n{MSAL}{FORM}"),
            plain,
        ),
        ("Go", format!("{PATH}?api-version=2018-02-01&{RESOURCE}"), format!("Metadata: true\r\n{MSAL}"), plain),
        (
            "Go, sorted",
            format!("{PATH}?api-version=2018-02-01&client_id={CLIENT_ID}&{RESOURCE}"),
            format!("Metadata: true\r\n{MSAL}"),
            plain,
        ),
        (".NET", format!("{PATH}?api-version=2018-02-01&{RESOURCE}"), format!("Metadata: true\r\n{MSAL}"), plain),
        ("Java", format!("{PATH}?api-version=2018-02-01&{RESOURCE}"), format!("Metadata: true\r\n{MSAL}"), plain),
        ("Java up to 1.18.0", format!("/{PATH}?api-version=2018-02-01&{RESOURCE}"), "Metadata: true\r\n".into(), plain),
        ("Java 1.14.2", format!("//{PATH}?api-version=2018-02-01&{RESOURCE}"), "Metadata: true\r\n".into(), plain),
        (
            "Rust",
            format!("{PATH}?api-version=2019-08-01&{RESOURCE}"),
            format!("metadata: true\r\nx-ms-client-request-id: 7\r\nx-identity-header: {IDENTITY_HEADER}\r\n"),
            plain,
        ),
        (
            "Terraform",
            format!("{PATH}?api-version=2018-02-01&{RESOURCE}"),
            "Metadata: true\r\nUser-Agent: Go-http-client/1.1\r\n".into(),
            plain,
        ),
        ("msrestazure", format!("{PATH}?resource={plain}&api-version=2018-02-01"), "Metadata: true\r\n".into(), plain),
        (
            "a GUID",
            format!("{PATH}?api-version=2018-02-01&resource=00000003-0000-0000-c000-000000000000"),
            "Metadata: true\r\n".into(),
            "00000003-0000-0000-c000-000000000000",
        ),
        ("curl", format!("{PATH}?api-version=2018-02-01&resource={plain}"), "Metadata:True\r\n".into(), plain),
        ("curl without version", format!("{PATH}?resource={plain}"), "Metadata: true\r\n".into(), plain),
    ] {
        let answer = ask(sidecar.address, &format!("GET {target}"), &headers).await;
        assert_eq!(answer.status, 200, "{client}: {answer:?}");
        every_parser_takes(&answer, resource);
    }
    for version in ["2018-02-01", "2019-08-01", "2020-06-01", "2021-02-01", "2021-12-13", "2023-07-01", "2025-04-07"] {
        let line = format!("GET {PATH}?api-version={version}&{RESOURCE}");
        assert_eq!(ask(sidecar.address, &line, "Metadata: true\r\n").await.status, 200, "{version}");
    }
}

#[tokio::test]
async fn requests_to_app_service() {
    let authority = Authority::start().await;
    let sidecar = Pod::new(&authority).start();
    let header = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
    let secret = format!("secret: {IDENTITY_HEADER}\r\n");
    let plain = "https://vault.azure.net";
    for (client, target, headers) in [
        ("Python", format!("?api-version=2019-08-01&resource={plain}"), format!("{header}Metadata: true\r\n{MSAL}")),
        ("JavaScript", format!("?api-version=2019-08-01&{RESOURCE}"), format!("{header}{FORM}{MSAL}")),
        ("Go", format!("?api-version=2019-08-01&client_id={CLIENT_ID}&{RESOURCE}"), header.clone()),
        (
            "Rust",
            format!("?api-version=2019-08-01&{RESOURCE}"),
            format!("x-identity-header: {IDENTITY_HEADER}\r\nmetadata: true\r\n"),
        ),
        ("Microsoft's samples", format!("/?{RESOURCE}&api-version=2019-08-01"), header.clone()),
        ("2017, Python", format!("?api-version=2017-09-01&resource={plain}"), secret.clone()),
        ("2017, Go", format!("?api-version=2017-09-01&clientid=&{RESOURCE}"), secret.clone()),
        ("2017, msrestazure", format!("/?resource={plain}&api-version=2017-09-01"), secret.clone()),
    ] {
        let answer = ask(sidecar.address, &format!("GET /msi/token{target}"), &headers).await;
        assert_eq!(answer.status, 200, "{client}: {answer:?}");
        every_parser_takes(&answer, plain);
    }
    assert_eq!(authority.asked().len(), 1);
}

/// Answered at once, byte for byte, and without asking anybody.
#[tokio::test]
async fn probes() {
    let authority = Authority::start().await;
    let mut pod = Pod::new(&authority);
    // Whoever asks for it would be told so.
    pod.write_token("useless");
    pod.set("AZURE_CLIENT_ID", "");
    let sidecar = pod.start();
    let missing = r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#;
    for (client, target) in [
        ("Python", format!("{PATH}?api-version=2018-02-01&resource=https://management.azure.com/")),
        ("JavaScript and Go", PATH.to_owned()),
        (".NET", format!("{PATH}?api-version=2018-02-01&{RESOURCE}&msi-res-id=%2Fx")),
        ("MSAL.NET v1, Java", format!("{PATH}?api-version=2018-02-01")),
    ] {
        let answer = ask(sidecar.address, &format!("GET {target}"), "Accept: application/json\r\n").await;
        assert_eq!((answer.status, answer.body.as_str()), (400, missing), "{client}");
        assert_eq!(answer.headers["content-length"], "88");
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    }
    let answer = ask(sidecar.address, "GET /metadata/identity/getplatformmetadata?cred-api-version=2.0", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"error":"Not Found"}"#), "MSAL.NET v2");
    assert!(authority.asked().is_empty());
}
