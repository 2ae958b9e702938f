//! The query of a token request: lenient in spelling, strict in meaning.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Policy, Reason, Renewal};
use crate::challenge::Challenge;
use crate::ids::ClientId;
use crate::text::one_line;

/// The parameters that mean something here. An empty one counts as absent (Go sends `clientid=`), an unknown one is
/// ignored, a repeated one is refused as the metadata service does.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    pub(super) api_version: Option<Cow<'a, str>>,
    pub(super) resource: Option<Cow<'a, str>>,
    client_id: Option<Cow<'a, str>>,
    object_id: Option<Cow<'a, str>>,
    resource_id: Option<Cow<'a, str>>,
    bypass_cache: Option<Cow<'a, str>>,
    claims: Option<Cow<'a, str>>,
    digest: Option<Cow<'a, str>>,
}

/// Every spelling that a client uses, and the field that it fills.
type Field<'q, 'a> = fn(&'q mut Query<'a>) -> &'q mut Option<Cow<'a, str>>;

impl<'a> Query<'a> {
    /// Reads `application/x-www-form-urlencoded` as browsers do, where nothing is a syntax error: Python sends `:` and `/`
    /// without encoding them.
    pub(super) fn parse(text: &'a str) -> Result<Self, Reason> {
        let mut query = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let (name, field) = match field(&name) {
                Some((canonical, field)) => (Cow::Borrowed(canonical), Some(field)),
                None => (name, None),
            };
            if let Some(field) = field
                && !value.is_empty()
            {
                // What was not UTF-8 has become this character, and what it was is lost.
                if value.contains(char::REPLACEMENT_CHARACTER) {
                    return Err(Reason::Encoding(one_line(&name)));
                }
                *field(&mut query) = Some(value);
            }
            if let Some(twice) = seen.replace(name) {
                return Err(Reason::Duplicate(one_line(&twice)));
            }
        }
        Ok(query)
    }

    /// The identity asked for, by whichever name, if it may be: never another one.
    pub(super) fn client_id(&self, policy: &Policy) -> Result<ClientId, Reason> {
        let map = &policy.identity_map;
        let named = match (&self.client_id, &self.object_id, &self.resource_id) {
            (None, None, None) => return policy.client_id.ok_or(Reason::NoIdentity),
            (Some(id), None, None) => id.parse().ok(),
            (None, Some(id), None) => id.parse().ok().and_then(|id| map.by_object_id(id)),
            (None, None, Some(id)) => id.parse().ok().and_then(|id| map.by_resource_id(&id)),
            _ => return Err(Reason::SeveralSelectors),
        };
        let client_id = named.ok_or(Reason::IdentityNotFound)?;
        if policy.allows(client_id) { Ok(client_id) } else { Err(Reason::IdentityNotAllowed(client_id)) }
    }

    pub(super) fn challenge(&self) -> Result<Option<Challenge>, Reason> {
        self.claims.as_deref().map(str::parse).transpose().map_err(Reason::Claims)
    }

    pub(super) fn renewal(&self) -> Result<Renewal, Reason> {
        match (&self.digest, &self.bypass_cache) {
            (Some(digest), _) => sha256(digest).map(Renewal::Replace).ok_or(Reason::Digest),
            (None, Some(bypass)) if bypass.eq_ignore_ascii_case("true") => Ok(Renewal::Bypass),
            (None, _) => Ok(Renewal::None),
        }
    }
}

/// Parameter names do not differ by letter case in the metadata service.
fn field<'q, 'a>(name: &str) -> Option<(&'static str, Field<'q, 'a>)> {
    let known: [(&'static str, &[&str], Field<'q, 'a>); 8] = [
        ("resource", &["resource"], |query| &mut query.resource),
        ("api-version", &["api-version"], |query| &mut query.api_version),
        ("client_id", &["client_id", "clientid"], |query| &mut query.client_id),
        ("object_id", &["object_id", "principal_id", "principalid"], |query| &mut query.object_id),
        ("msi_res_id", &["msi_res_id", "mi_res_id", "msi-res-id"], |query| &mut query.resource_id),
        ("claims", &["claims"], |query| &mut query.claims),
        ("bypass_cache", &["bypass_cache"], |query| &mut query.bypass_cache),
        ("token_sha256_to_refresh", &["token_sha256_to_refresh"], |query| &mut query.digest),
    ];
    known
        .into_iter()
        .find(|(_, spellings, _)| spellings.iter().any(|spelling| name.eq_ignore_ascii_case(spelling)))
        .map(|(canonical, _, field)| (canonical, field))
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let (pairs, []) = hex.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}
