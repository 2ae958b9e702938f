//! Every refusal of the token endpoint, over real TLS, with the issuer's keys fetched over the network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use podbadge_emulator::signing::SigningKey;
use serde_json::Value;

use support::{
    BARE, CORRELATION, DISABLED, ELSEWHERE, ORDERS, STRANGER, TENANT, UNINSTALLED, VAULT_SCOPE, World, form,
};

struct Case {
    tenant: &'static str,
    form: Vec<(&'static str, String)>,
    expected: (u16, &'static str, u32),
    text: String,
}

fn case(
    tenant: &'static str,
    form: &[(&'static str, &str)],
    expected: (u16, &'static str, u32),
    text: impl Into<String>,
) -> Case {
    let form = form.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Case { tenant, form, expected, text: text.into() }
}

/// The usual form with one parameter replaced, or taken out by an empty value.
fn with(assertion: &str, key: &'static str, value: &str) -> Vec<(&'static str, String)> {
    let mut pairs: Vec<_> =
        form(ORDERS, assertion, VAULT_SCOPE).into_iter().map(|(k, v)| (own(k), v.to_owned())).collect();
    pairs.retain(|(name, _)| *name != key);
    if !value.is_empty() {
        pairs.push((key, value.to_owned()));
    }
    pairs
}

fn own(key: &str) -> &'static str {
    ["client_assertion", "client_assertion_type", "client_id", "grant_type", "scope"]
        .into_iter()
        .find(|name| *name == key)
        .expect("a parameter")
}

fn parameters(good: &str) -> Vec<Case> {
    let case = |key, value: &str, expected, text: &str| Case {
        tenant: TENANT,
        form: with(good, key, value),
        expected,
        text: text.to_owned(),
    };
    let missing = |key: &'static str| {
        let text = format!("The request body must contain the following parameter: '{key}'.");
        case(key, "", (400, "invalid_request", 900_144), &text)
    };
    let mut secret = with(good, "client_assertion", "");
    secret.push(("client_secret", "s3cr3t".to_owned()));
    let mut twice = with(good, "nothing", "");
    twice.push(("scope", VAULT_SCOPE.to_owned()));
    vec![
        missing("grant_type"),
        missing("client_id"),
        missing("scope"),
        missing("client_assertion_type"),
        case(
            "client_assertion",
            "",
            (401, "invalid_client", 7_000_216),
            "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
        ),
        case("grant_type", "password", (400, "unsupported_grant_type", 70_003), "unsupported grant type 'password'."),
        case("client_assertion_type", "jwt", (400, "invalid_request", 90_023), "request isn't valid."),
        case("resource", "https://vault.azure.net", (400, "invalid_request", 901_002), "'resource'"),
        Case {
            tenant: TENANT,
            form: secret,
            expected: (401, "invalid_client", 7_000_215),
            text: "Invalid client secret".into(),
        },
        Case {
            tenant: TENANT,
            form: twice,
            expected: (400, "invalid_request", 9_000_411),
            text: "'scope' is duplicated".into(),
        },
    ]
}

fn tenants_and_applications(good: &str) -> Vec<Case> {
    let gone = "ffffffff-ffff-4fff-8fff-ffffffffffff";
    let tenant =
        |tenant, expected, text: &str| case(tenant, &form(ORDERS, good, VAULT_SCOPE).as_static(), expected, text);
    let app =
        |client, expected, text: String| case(TENANT, &form(client, good, VAULT_SCOPE).as_static(), expected, text);
    vec![
        tenant(
            gone,
            (400, "invalid_tenant", 90_002),
            "Tenant 'ffffffff-ffff-4fff-8fff-ffffffffffff' not found. Check to",
        ),
        tenant("fabrikam.com", (400, "invalid_tenant", 90_002), "Tenant 'fabrikam.com' not found."),
        tenant(
            "common",
            (400, "invalid_request", 900_023),
            "Specified tenant identifier 'common' is neither a valid DNS name, nor a valid external domain.",
        ),
        app(
            gone,
            (400, "unauthorized_client", 700_016),
            format!("Application with identifier '{gone}' was not found in the directory 'contoso.onmicrosoft.com'."),
        ),
        app("orders\"\\", (400, "unauthorized_client", 700_016), "Application with identifier 'orders''' was".into()),
        app(
            UNINSTALLED,
            (401, "invalid_client", 7_000_229),
            format!("The client application {UNINSTALLED} is missing service principal in the tenant {TENANT}."),
        ),
        app(
            DISABLED,
            (401, "unauthorized_client", 7_000_112),
            format!("Application '{DISABLED}'(disabled one) is disabled."),
        ),
        app(
            BARE,
            (401, "invalid_client", 70_025),
            format!("The client '{BARE}'(bare) has no configured federated identity credentials."),
        ),
    ]
}

fn assertions(world: &World) -> Vec<Case> {
    let issuer = world.issuer.url();
    let of = |client, jwt: &str, expected, text: &str| {
        case(TENANT, &form(client, jwt, VAULT_SCOPE).as_static(), expected, text)
    };
    let orders = |jwt: &str, code, text: &str| of(ORDERS, jwt, (401, "invalid_client", code), text);
    let elsewhere = |iss: String, code| {
        let jwt = world.assertion(|claims| claims.iss = iss);
        of(ELSEWHERE, &jwt, (400, "invalid_request", code), "Request to External OIDC endpoint failed.")
    };
    let foreign = SigningKey::for_service_accounts().expect("a key");
    let unknown = foreign.sign(&world.claims()).expect("signed");
    let one = world.assertion(|_| {});
    let other = world.assertion(|_| {});
    let swapped = format!("{}.{}", one.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    let es256 =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#), one.split_once('.').unwrap().1);
    let mut undated = serde_json::to_value(world.claims()).unwrap();
    undated.as_object_mut().unwrap().remove("iat");
    let exp = undated["exp"].as_i64().unwrap();
    let undated = world.issuer.sign(&undated).expect("signed");
    let no_match = |what: &str, value: &str| {
        format!("No matching federated identity record found for presented assertion {what} '{value}'. ")
    };
    let no_match = |what: &str, value: &str| no_match(what, value);
    vec![
        of(ORDERS, "not a token", (400, "invalid_request", 50_027), "JWT token is invalid or malformed."),
        of(ORDERS, "a.b.c", (400, "invalid_request", 50_027), "JWT token is invalid or malformed."),
        of(ORDERS, &es256, (400, "invalid_request", 5_002_738), "'ES256' is not a supported signature algorithm."),
        orders(
            &world.assertion(|claims| claims.iss = format!("https://sts.windows.net/{TENANT}/")),
            700_222,
            "AAD-issued tokens may not be used for federated identity flows.",
        ),
        orders(
            &world.assertion(|claims| claims.iss = format!("{issuer}/")),
            700_211,
            &(no_match("issuer", &format!("{issuer}/")) + "Please check your federated identity credential"),
        ),
        orders(&world.assertion(|claims| claims.aud = vec!["sts".into()]), 700_212, &no_match("audience", "sts")),
        orders(
            &world.assertion(|claims| claims.aud.push("second".into())),
            700_212,
            &no_match("audience", "api://AzureADTokenExchange, second"),
        ),
        orders(
            &world.assertion(|claims| claims.aud = vec!["api://azureadtokenexchange".into()]),
            7_002_121,
            "The audience matches with case-insensitive comparison, but not with case-sensitive comparison.",
        ),
        orders(
            &world.assertion(|claims| claims.sub = "system:serviceaccount:shop:other".into()),
            700_213,
            &(no_match("subject", "system:serviceaccount:shop:other") + "Check your federated identity credential"),
        ),
        // This subject is trusted for another audience only.
        orders(
            &world.assertion(|claims| claims.sub = "system:serviceaccount:shop:mail".into()),
            700_213,
            &no_match("subject", "system:serviceaccount:shop:mail"),
        ),
        orders(
            &world.assertion(|claims| claims.sub = "system:serviceaccount:Shop:orders".into()),
            7_002_138,
            "The subject matches with case-insensitive comparison, but not with case-sensitive comparison.",
        ),
        orders(
            &world.assertion(|claims| claims.exp = claims.iat + 25 * 3600 + 1),
            70_023,
            "External OIDC Provider token must have a lifetime of less than or equal to 1.01:00:00. Token issued at ",
        ),
        orders(&undated, 70_023, &format!("Token issued at 0. Token expires on {exp}.")),
        elsewhere(world.closed.clone(), 90_061),
        elsewhere(format!("{issuer}/nothing"), 50_166),
        elsewhere(issuer.replace("127.0.0.1", "localhost"), 50_166),
        orders(
            &unknown,
            7_000_272,
            &format!(
                "The certificate with identifier {} used to sign the federated credential could not be found in the \
                 metadata of identity provider {issuer}.",
                foreign.id()
            ),
        ),
        orders(&swapped, 700_027, "Client assertion failed signature validation."),
        orders(
            &world.assertion(|claims| {
                (claims.nbf, claims.iat, claims.exp) = (1_700_000_000, 1_700_000_000, 1_700_000_600);
            }),
            700_024,
            "assertion valid from 2023-11-14T22:13:20.0000000Z, expiry time of assertion 2023-11-14T22:23:20.0000000Z. \
             Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        ),
        orders(&world.assertion(|claims| claims.nbf += 600), 700_024, "is not within its valid time range."),
    ]
}

fn scopes(good: &str) -> Vec<Case> {
    let of = |scope: &str, expected, text: &str| Case {
        tenant: TENANT,
        form: with(good, "scope", scope),
        expected,
        text: text.to_owned(),
    };
    vec![
        of(
            "https://vault.azure.net",
            (400, "invalid_scope", 1_002_012),
            "The provided value for scope https://vault.azure.net is not valid. Client credential flows must have a \
             scope value with /.default suffixed to the resource identifier (application ID URI).",
        ),
        of("openid profile", (400, "invalid_scope", 1_002_012), "scope openid profile is not valid."),
        of(
            "https://vault.azure.net/.default https://graph.microsoft.com/.default",
            (400, "invalid_scope", 700_022),
            "it contains more than one resource.",
        ),
        of(
            "https://vault.example/.default",
            (400, "invalid_resource", 500_011),
            "The resource principal named https://vault.example was not found in the tenant named \
             contoso.onmicrosoft.com.",
        ),
    ]
}

/// Lets a borrowed form be a table row.
trait AsStatic {
    fn as_static(&self) -> Vec<(&'static str, &str)>;
}

impl AsStatic for Vec<(&str, &str)> {
    fn as_static(&self) -> Vec<(&'static str, &str)> {
        self.iter().map(|(key, value)| (own(key), *value)).collect()
    }
}

#[tokio::test]
async fn each_refusal_has_its_status_error_code_and_text() {
    let world = World::start().await;
    let good = world.assertion(|_| {});
    let mut cases = tenants_and_applications(&good);
    cases.extend(parameters(&good));
    cases.extend(assertions(&world));
    cases.extend(scopes(&good));
    let total = cases.len();
    for Case { tenant, form, expected: (status, error, code), text } in cases {
        let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let response = world.post(tenant, &form).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{code}");
        assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
        let trace = response.headers()["x-ms-request-id"].to_str().unwrap().to_owned();
        let body = response.text().await.unwrap();
        assert!(!body.contains('\\'), "an escape breaks Rust's SDK: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{code}: {description}");
        assert!(description.contains(&text), "{description}\nlacks\n{text}");
        let at = body["timestamp"].as_str().unwrap();
        assert!(at.len() == 20 && at.ends_with('Z') && at.as_bytes()[10] == b' ', "{at}");
        let tail = format!(" Trace ID: {trace} Correlation ID: {CORRELATION} Timestamp: {at}");
        assert!(description.ends_with(&tail), "{description}");
        assert_eq!(body["error"], error, "{code}");
        assert_eq!(body["error_codes"], serde_json::json!([code]));
        assert_eq!(body["trace_id"], trace);
        assert_eq!(body["correlation_id"], CORRELATION);
        match code {
            50_166 | 90_061 => assert_eq!(body.get("error_uri"), None),
            _ => assert_eq!(body["error_uri"], format!("https://login.microsoftonline.com/error?code={code}")),
        }
    }
    let exchanges = world.emulator.exchanges();
    assert_eq!((exchanges.issued, exchanges.total()), (0, total as u64));
    assert_eq!(exchanges.refused[&900_144], 4);
}

#[tokio::test]
async fn only_post_is_accepted() {
    let world = World::start().await;
    let url = format!("{}{TENANT}/oauth2/v2.0/token", world.emulator.authority_url());
    for method in ["GET", "PUT", "DELETE"] {
        let response = world.client.request(method.parse().unwrap(), &url).send().await.unwrap();
        assert_eq!(response.status(), 400);
        let body: Value = response.json().await.unwrap();
        let text =
            format!("AADSTS900561: The endpoint only accepts POST requests. Received a {method} request. Trace ID: ");
        assert!(body["error_description"].as_str().unwrap().starts_with(&text), "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_has_no_parameters() {
    let world = World::start().await;
    let good = world.assertion(|_| {});
    let request = world.post(TENANT, &form(ORDERS, &good, VAULT_SCOPE)).header("content-type", "application/json");
    let request = request.build().unwrap();
    let mut json = request.try_clone().unwrap();
    json.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let body: Value = world.client.execute(json).await.unwrap().json().await.unwrap();
    assert_eq!(body["error_codes"][0], 900_144);
    let large = world.post(TENANT, &[("scope", &"x".repeat(300 * 1024))]).send().await.unwrap();
    assert_eq!(large.status(), 413);
}

#[tokio::test]
async fn the_clock_ages_assertions() {
    let world = World::start().await;
    let assertion = world.assertion(|_| {});
    let form = form(STRANGER, &assertion, VAULT_SCOPE);
    assert_eq!(world.post(TENANT, &form).send().await.unwrap().status(), 200);
    world.emulator.advance(std::time::Duration::from_secs(3601));
    let body: Value = world.post(TENANT, &form).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["error_codes"][0], 700_024);
}
