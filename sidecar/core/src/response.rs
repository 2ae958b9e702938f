//! The answer that holds a token.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::freshness::{Lifetime, UnixTime};
use crate::ids::{ClientId, Resource};
use crate::secret::Secret;

/// An access token with its times.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// What goes to the resource.
    pub secret: Secret,
    /// When it is good, and when it is to be replaced.
    pub lifetime: Lifetime,
}

/// The body of the instance metadata service, key by key. Every value is a string and `expires_on` stands after
/// `expires_in`, because each client reads another part of this and some of them let the last one win.
#[derive(Serialize)]
struct Body<'a> {
    access_token: &'a str,
    #[serde(serialize_with = "text")]
    client_id: ClientId,
    #[serde(serialize_with = "text")]
    expires_in: u64,
    #[serde(serialize_with = "text")]
    expires_on: UnixTime,
    #[serde(serialize_with = "text")]
    ext_expires_in: u64,
    #[serde(serialize_with = "text")]
    not_before: UnixTime,
    resource: &'a str,
    token_type: &'static str,
}

/// Writes the JSON body for a token handed out at `now`, at least one second before its end. `resource` is repeated as
/// it was asked for.
pub fn body(token: &AccessToken, client_id: ClientId, resource: &Resource, now: UnixTime) -> Vec<u8> {
    // As Entra dates `nbf`: five minutes before the issue, for clocks that are late.
    const BACKDATED: std::time::Duration = std::time::Duration::from_secs(300);

    let expiry = token.lifetime.expiry();
    let left = expiry.since(now).as_secs().max(1);
    let body = Body {
        access_token: token.secret.expose(),
        client_id,
        expires_in: left,
        expires_on: expiry,
        ext_expires_in: left,
        not_before: token.lifetime.issued().minus(BACKDATED),
        resource: resource.as_str(),
        token_type: "Bearer",
    };
    let mut json = Vec::with_capacity(body.access_token.len() + body.resource.len() + 256);
    // Strings and numbers into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(&mut json, &body);
    json
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::freshness::Upkeep;

    #[test]
    fn the_body_is_the_one_of_the_metadata_service() {
        let token = AccessToken {
            secret: Secret::new("eyJ0.eyJ1.c2ln".to_owned()),
            lifetime: Lifetime::new(UnixTime::from_secs(1_757_691_657), Duration::from_secs(3_599), Upkeep::default()),
        };
        let client_id = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
        let resource = "https://management.azure.com/".parse().expect("a resource");
        let json =
            |now| String::from_utf8(body(&token, client_id, &resource, UnixTime::from_secs(now))).expect("UTF-8");
        assert_eq!(
            json(1_757_691_657),
            concat!(
                r#"{"access_token":"eyJ0.eyJ1.c2ln","client_id":"11111111-2222-3333-4444-555555555555","#,
                r#""expires_in":"3599","expires_on":"1757695256","ext_expires_in":"3599","#,
                r#""not_before":"1757691357","resource":"https://management.azure.com/","token_type":"Bearer"}"#
            )
        );
        // From the cache a hundred seconds later: what is left now, not what was left once.
        assert!(
            json(1_757_691_757).contains(r#""expires_in":"3499","expires_on":"1757695256","ext_expires_in":"3499""#)
        );
        assert!(json(1_757_695_256).contains(r#""expires_in":"1""#), "never zero");
    }

    #[test]
    fn a_resource_is_repeated_byte_for_byte() {
        let token = AccessToken {
            secret: Secret::new("t".to_owned()),
            lifetime: Lifetime::new(UnixTime::from_secs(0), Duration::from_secs(60), Upkeep::default()),
        };
        let client_id = "11111111-2222-3333-4444-555555555555".parse().expect("a GUID");
        for resource in ["https://a//", "a\"b\\c", "api://ü"] {
            let json = body(&token, client_id, &resource.parse().expect("a resource"), UnixTime::from_secs(0));
            let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
            assert_eq!(value["resource"], resource);
        }
    }
}
