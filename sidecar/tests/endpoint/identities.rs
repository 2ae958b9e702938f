//! Which identities of a service account a pod gets, and from which tenant.

use serde_json::json;

use crate::authority::{Authority, grant};
use crate::pod::{APP_SERVICE, CLIENT_ID, IDENTITY_HEADER, IMDS, Pod, TENANT, ask};

const GUEST: &str = "99999999-2222-3333-4444-555555555555";
const GUEST_TENANT: &str = "33333333-2222-3333-4444-555555555555";
const GUEST_OBJECT: &str = "0b9ec700-2222-3333-4444-555555555555";
const GUEST_RESOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/x/userAssignedIdentities/guest";
const STRANGER: &str = "88888888-2222-3333-4444-555555555555";

fn pod(authority: &Authority) -> Pod {
    let map = json!({
        GUEST_OBJECT: GUEST,
        GUEST_RESOURCE: {"clientId": GUEST, "tenantId": GUEST_TENANT},
        "/subscriptions/s/stranger": STRANGER,
    });
    let mut pod = Pod::new(authority);
    pod.set("PODBADGE_ALLOWED_CLIENT_IDS", GUEST);
    pod.set("PODBADGE_IDENTITY_MAP", &map.to_string());
    pod
}

/// Four names of an identity, one exchange for each identity, in its own tenant.
#[tokio::test]
async fn two_identities_in_two_tenants() {
    let authority = Authority::start().await;
    let sidecar = pod(&authority).start();
    authority.next_json(200, &grant("own", 3_599));
    authority.next_json(200, &grant("guest", 3_599));
    for (selector, client_id, token) in [
        (String::new(), CLIENT_ID, "own"),
        (format!("&client_id={GUEST}"), GUEST, "guest"),
        (format!("&object_id={GUEST_OBJECT}"), GUEST, "guest"),
        (format!("&msi_res_id={}", GUEST_RESOURCE.to_uppercase()), GUEST, "guest"),
        (format!("&client_id={CLIENT_ID}"), CLIENT_ID, "own"),
    ] {
        let header = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}\r\n");
        for (line, header) in [(IMDS, "Metadata: true\r\n"), (APP_SERVICE, &header)] {
            let answer = ask(sidecar.address, &format!("GET {line}{selector}"), header).await;
            let told = answer.json();
            assert_eq!(
                (answer.status, &told["client_id"], &told["access_token"]),
                (200, &json!(client_id), &json!(token))
            );
        }
    }
    let asked: Vec<_> =
        authority.asked().into_iter().map(|asked| (asked.line, asked.form["client_id"].clone())).collect();
    let line = |tenant: &str| format!("POST /{tenant}/oauth2/v2.0/token");
    assert_eq!(asked, [(line(TENANT), CLIENT_ID.to_owned()), (line(GUEST_TENANT), GUEST.to_owned())]);
}

#[tokio::test]
async fn what_is_not_allowed_does_not_reach_entra() {
    let authority = Authority::start().await;
    let sidecar = pod(&authority).start();
    let disallowed = |id: &str| format!("Identity not found: the pod's service account does not allow {id}");
    let unknown = "Identity not found".to_owned();
    for (selector, text) in [
        (format!("client_id={STRANGER}"), disallowed(STRANGER)),
        ("msi_res_id=/subscriptions/s/stranger".to_owned(), disallowed(STRANGER)),
        (format!("client_id={GUEST_OBJECT}"), disallowed(GUEST_OBJECT)),
        (format!("object_id={GUEST}"), unknown.clone()),
        ("mi_res_id=/subscriptions/s/nobody".to_owned(), unknown),
    ] {
        let answer = ask(sidecar.address, &format!("GET {IMDS}&{selector}"), "Metadata: true\r\n").await;
        let expected = json!({"error": "invalid_request", "error_description": text});
        assert_eq!((answer.status, answer.json()), (400, expected), "{selector}");
    }
    assert!(authority.asked().is_empty());
}
