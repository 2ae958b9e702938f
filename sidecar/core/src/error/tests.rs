use serde_json::{Value, json};

use super::*;
use crate::request::{Head, Header, Policy, read};

const ID: &str = "11111111-2222-3333-4444-555555555555";

fn refused(codes: &[u32], description: &str) -> Failure {
    let error = EntraError {
        error: "invalid_client".to_owned(),
        error_description: description.to_owned(),
        error_codes: codes.to_vec(),
        trace_id: Some("t".to_owned()),
        correlation_id: Some("c".to_owned()),
    };
    let presented = Claims {
        iss: "https://k.example/".to_owned(),
        sub: "system:serviceaccount:shop:cart".to_owned(),
        aud: serde_json::from_value(json!(["api://AzureADTokenExchange"])).expect("an audience"),
        exp: None,
    };
    Failure::Refused { status: 400, error, client_id: ID.parse().expect("a GUID"), presented }
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn a_refusal_keeps_entras_words_on_one_line() {
    let failure = refused(&[700_016], "AADSTS700016: Application not found.\r\nTrace ID: t\r\nCorrelation ID: c");
    let text = "AADSTS700016: Application not found. Trace ID: t Correlation ID: c";
    let answer = failure.answer(Form::Imds, Duration::ZERO);
    assert_eq!((answer.status, answer.retry_after), (401, None));
    assert_eq!(
        String::from_utf8(answer.body).expect("UTF-8"),
        format!(
            r#"{{"error":"invalid_client","error_description":"{text}","error_codes":[700016],"correlation_id":"c"}}"#
        )
    );
    let answer = failure.answer(Form::AppService, Duration::ZERO);
    assert_eq!(
        String::from_utf8(answer.body).expect("UTF-8"),
        format!(r#"{{"statusCode":401,"message":"{text}","correlationId":"c"}}"#)
    );
}

#[test]
fn a_mismatch_says_what_the_pod_presented() {
    for (code, what) in [
        (700_211, "The issuer differs: no federated credential has 'https://k.example/'."),
        (700_213, "The subject differs: no federated credential has 'system:serviceaccount:shop:cart'."),
        (70_025, "The application has no federated credential."),
    ] {
        let text = refused(&[code], &format!("AADSTS{code}: No.")).to_string();
        let fits = format!(
            "This one of application {ID} would match: {}",
            r#"{"name":"shop-cart","issuer":"https://k.example/","subject":"system:serviceaccount:shop:cart","#
        );
        assert!(text.starts_with(&format!("AADSTS{code}: No. {what} {fits}")), "{text}");
    }
    assert_eq!(refused(&[700_024], "AADSTS700024: Late.").to_string(), "AADSTS700024: Late.");
}

#[test]
fn codes_are_a_closed_set() {
    for (codes, label) in [
        (&[][..], ""),
        (&[70_021], "70021"),
        (&[7_002_138], "7002138"),
        (&[1, 700_213], "700213"),
        (&[1], "other"),
        (&[u32::MAX, 2], "other"),
    ] {
        assert_eq!(refused(codes, "").code(), label);
    }
    assert_eq!(Failure::Throttled { retry_after: None }.code(), "");
}

#[test]
fn what_may_pass_says_when_to_ask_again() {
    let unavailable = Failure::Unavailable { description: "down".to_owned(), retry_after: None, may_pass: true };
    let throttled = Failure::Throttled { retry_after: Some(Duration::from_secs(60)) };
    let missing = Failure::Assertion { description: "token file /t is missing".to_owned(), may_pass: true };
    let external = refused(&[90_061], "AADSTS90061: Request to External OIDC endpoint failed.");
    let wrong = Failure::Assertion { description: "token file /t does not hold a JWT".to_owned(), may_pass: false };
    for (failure, wait, status, retry_after) in [
        (&unavailable, Duration::ZERO, 503, Some(1)),
        (&unavailable, Duration::from_secs(3), 503, Some(3)),
        (&throttled, Duration::from_secs(60), 429, Some(5)),
        (&missing, Duration::ZERO, 503, Some(1)),
        (&external, Duration::from_secs(2), 503, Some(2)),
        (&wrong, Duration::ZERO, 400, None),
    ] {
        for form in [Form::Imds, Form::AppService] {
            let answer = failure.answer(form, wait);
            assert_eq!((answer.status, answer.retry_after), (status, retry_after), "{failure:?}");
            let body = body(&answer);
            match form {
                Form::Imds => assert_eq!(body["error_description"], failure.to_string()),
                Form::AppService => {
                    assert_eq!((&body["statusCode"], &body["message"]), (&json!(status), &json!(failure.to_string())));
                }
            }
        }
    }
}

#[test]
fn rejections_have_the_shape_of_their_path() {
    let head = |path| Head {
        method: "GET",
        authority: None,
        path,
        query: "",
        host: Header::Absent,
        metadata: Header::Absent,
        forwarded: false,
        identity_header: Header::Absent,
        secret: Header::Absent,
    };
    let answer = |head: &Head<'_>| read(head, &Policy::default()).expect_err("rejected").answer();

    // Byte for byte what the probes of the SDKs know; it is 88 bytes at the real service.
    let probe = answer(&head("/metadata/identity/oauth2/token"));
    assert_eq!(probe.status, 400);
    assert_eq!(
        String::from_utf8(probe.body).expect("UTF-8"),
        r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#
    );
    let unknown = answer(&head("/metadata/identity/getplatformmetadata"));
    assert_eq!((unknown.status, unknown.body.as_slice()), (404, &br#"{"error":"Not Found"}"#[..]));
    let off = answer(&head("/msi/token"));
    assert_eq!((off.status, body(&off)["statusCode"].clone()), (401, json!(401)));
    assert_eq!(body(&off)["error"], Value::Null);
    let post = answer(&Head { method: "POST", ..head("/msi/token") });
    assert_eq!((post.status, post.allow), (405, Some("GET")));
}

#[test]
fn entras_error_is_read_leniently() {
    let read = |body: &str| serde_json::from_str::<EntraError>(body);
    for (more, codes) in [
        (r#""suberror":"x","timestamp":"t""#, &[][..]),
        (r#""error_codes":[70021]"#, &[70_021]),
        (r#""error_codes":["70021", 7, "x", "", -1, 1.5, 99999999999, null, [1], {}]"#, &[70_021, 7]),
        (r#""error_codes":"70021""#, &[]),
        (r#""error_codes":null"#, &[]),
        (r#""error_codes":[1],"error_codes":[2]"#, &[2]),
        (r#""error_description":null,"trace_id":1,"correlation_id":{}"#, &[]),
    ] {
        let error = read(&format!(r#"{{"error":"invalid_client",{more}}}"#)).expect(more);
        assert_eq!((error.error.as_str(), &*error.error_codes), ("invalid_client", codes), "{more}");
        assert_eq!((error.error_description.as_str(), error.trace_id, error.correlation_id), ("", None, None));
    }
    let many = read(&format!(r#"{{"error":"","error_codes":[1{}]}}"#, ",1".repeat(1_000))).expect("read");
    assert_eq!((many.error.as_str(), many.error_codes.len()), ("unknown_error", 16));
    for nothing in [r#"{"message":"no"}"#, r#"{"error":{"code":"x"}}"#, r#"["invalid_client"]"#, "{}", "null", ""] {
        assert!(read(nothing).is_err(), "{nothing}");
    }
}

#[test]
fn what_the_authority_says_is_bounded_and_redacted() {
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln";
    let long = "x".repeat(10_000);
    let body = json!({"error": long, "error_description": jwt, "correlation_id": jwt, "trace_id": long});
    let error: EntraError = serde_json::from_value(body).expect("read");
    assert_eq!((error.error.len(), error.trace_id.as_ref().map(String::len)), (64, Some(64)));
    let failure =
        Failure::Refused { status: 400, error, client_id: ID.parse().expect("a GUID"), presented: Claims::default() };
    for form in [Form::Imds, Form::AppService] {
        let answer = String::from_utf8(failure.answer(form, Duration::ZERO).body).expect("UTF-8");
        assert!(answer.len() < 256 && !answer.contains("eyJ") && answer.contains("redacted"), "{answer}");
    }
}

#[test]
fn a_refusal_without_words_names_the_status() {
    for description in ["", " \r\n"] {
        let text = refused(&[7], description).to_string();
        assert_eq!(text, "Entra ID answered 400 with the error 'invalid_client' and no description.");
    }
}
