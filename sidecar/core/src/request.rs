//! What a client asks, from the head of its HTTP request.
//!
//! The path alone decides the form; a header of the other form never switches it, since SDKs send both.

mod host;
mod path;
mod query;

use std::sync::Arc;

use thiserror::Error;

use crate::challenge::{self, Challenge};
use crate::identity::{AllowedClientIds, IdentityMap};
use crate::ids::{ClientId, Resource, TenantId};
use crate::secret::Secret;

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The Azure Instance Metadata Service
    /// (<https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>).
    Imds,
    /// App Service, api-version 2019-08-01 and 2017-09-01
    /// (<https://learn.microsoft.com/azure/app-service/overview-managed-identity>).
    AppService,
}

/// A header that may stand in a request once: of several, two readers could each heed another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header<'a> {
    /// Not there.
    #[default]
    Absent,
    /// The value's bytes.
    Once(&'a [u8]),
    /// Whatever the values are.
    Repeated,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// In upper case, as HTTP has it.
    pub method: &'a str,
    /// Of the target where that is in absolute form (RFC 9112 section 3.2.2), as sent to a proxy.
    pub authority: Option<&'a str>,
    /// The path before any decoding.
    pub path: &'a str,
    /// What follows the question mark, empty if nothing does.
    pub query: &'a str,
    /// `Host`.
    pub host: Header<'a>,
    /// `Metadata`.
    pub metadata: Header<'a>,
    /// Whether there is an `X-Forwarded-For`: then the request came from elsewhere through a careless proxy.
    pub forwarded: bool,
    /// `X-IDENTITY-HEADER`.
    pub identity_header: Header<'a>,
    /// `secret`, which api-version 2017-09-01 sends instead.
    pub secret: Header<'a>,
}

/// What the operator and the pod allow.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The identity of a request that names none. It is always allowed.
    pub client_id: Option<ClientId>,
    /// The only other identities that may be asked for; without a list any, and Entra decides.
    pub allowed_client_ids: Option<AllowedClientIds>,
    /// Which identity an object id or a resource id means, and in which tenant an identity is.
    pub identity_map: IdentityMap,
    /// What the App Service form must bring; without it that form is off.
    pub identity_header: Option<Secret>,
    /// Whether the metadata service's form is off: on a node's network any process could use it.
    pub imds_off: bool,
}

/// A request for a token that passed every guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// How to answer.
    pub form: Form,
    /// For which identity.
    pub client_id: ClientId,
    /// In which tenant, if not in the pod's own.
    pub tenant: Option<Arc<TenantId>>,
    /// For what.
    pub resource: Resource,
    /// What the resource wants to see in the token.
    pub challenge: Option<Challenge>,
    /// Whether the cache will do.
    pub renewal: Renewal,
}

/// Whether a token from the cache will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// It will.
    #[default]
    None,
    /// A new one is wanted (`bypass_cache=true`).
    Bypass,
    /// Not the one with this SHA-256 (`token_sha256_to_refresh`): the resource has refused it.
    Replace([u8; 32]),
}

/// Why a request is not answered with a token. The text is for the client and repeats nothing it sent but a name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct Rejection {
    form: Option<Form>,
    reason: Reason,
}

/// The reasons, by rule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Neither token path nor anything else that is served.
    #[error("Not Found")]
    PathUnknown,
    /// A path written to be read in two ways (CVE-2022-23551 was one).
    #[error("The path must not contain a backslash, an encoded slash or backslash, dot segments or control characters")]
    PathEvasive,
    /// Anything but GET.
    #[error("Method not allowed: tokens are asked for with GET")]
    Method,
    /// The client believes to speak with somebody else, as browsers do after DNS rebinding.
    #[error("The Host must be localhost or an IP address")]
    Host,
    /// One of the headers of which there may be one, by its name.
    #[error("The header {0} is given more than once")]
    HeaderRepeated(&'static str),
    /// A proxy in front of the application was made to ask.
    #[error("The request must not contain the header X-Forwarded-For")]
    Forwarded,
    /// The probe of every SDK, or a request that was not meant for us.
    #[error("Required metadata header not specified")]
    MetadataMissing,
    /// The metadata service's form is switched off.
    #[error("This endpoint is off on the host network: use IDENTITY_ENDPOINT with IDENTITY_HEADER")]
    ImdsOff,
    /// The App Service form is not switched on.
    #[error("This endpoint is off: the sidecar has no PODBADGE_IDENTITY_HEADER")]
    IdentityHeaderUnset,
    /// Missing or wrong.
    #[error("The header X-IDENTITY-HEADER is missing or wrong: send the value of IDENTITY_HEADER")]
    IdentityHeader,
    /// The same parameter twice.
    #[error("The query parameter '{0}' is given more than once")]
    Duplicate(String),
    /// Bytes, once decoded, that are no text.
    #[error("The query parameter '{0}' is not UTF-8")]
    Encoding(String),
    /// More than one way to select an identity.
    #[error("client_id, object_id and msi_res_id exclude each other")]
    SeveralSelectors,
    /// Present and not a date.
    #[error("api-version is invalid: it must be a date such as 2018-02-01")]
    ApiVersion,
    /// Absent or empty.
    #[error("Required audience parameter not specified")]
    ResourceMissing,
    /// Present and impossible.
    #[error("The resource must be 1 to 1024 visible characters without spaces")]
    Resource,
    /// Selects an identity that this pod does not have. The words are the metadata service's and SDKs look for them.
    #[error("Identity not found")]
    IdentityNotFound,
    /// Selects an identity outside the list; which ones are in it is not told.
    #[error("Identity not found: the pod's service account does not allow {0}")]
    IdentityNotAllowed(ClientId),
    /// Selects none, and there is no default.
    #[error("Identity not found: the request has no client_id and this pod has no AZURE_CLIENT_ID")]
    NoIdentity,
    /// Claims that are none.
    #[error("The parameter claims {0}")]
    Claims(challenge::Invalid),
    /// Not the hexadecimal SHA-256 of a token.
    #[error("token_sha256_to_refresh must be 64 hexadecimal digits")]
    Digest,
}

/// Reads the head of a request, in the order path, method, origin, header, query: nothing about the query is told to who
/// may not ask.
pub fn read(head: &Head<'_>, policy: &Policy) -> Result<TokenRequest, Rejection> {
    let form = match path::form(head.path) {
        Ok(Some(form)) => form,
        Ok(None) => {
            return Err(Rejection { form: None, reason: Reason::PathUnknown });
        }
        Err(path::Evasive) => {
            return Err(Rejection { form: Some(Form::Imds), reason: Reason::PathEvasive });
        }
    };
    read_as(form, head, policy).map_err(|reason| Rejection { form: Some(form), reason })
}

/// The guards of the metadata service's form alone, for another of its paths.
pub(crate) fn guard_metadata(head: &Head<'_>) -> Result<(), Rejection> {
    let method = if head.method == "GET" { Ok(()) } else { Err(Reason::Method) };
    let guarded = method.and_then(|()| origin(head)).and_then(|()| metadata(head));
    guarded.map_err(|reason| Rejection { form: Some(Form::Imds), reason })
}

fn read_as(form: Form, head: &Head<'_>, policy: &Policy) -> Result<TokenRequest, Reason> {
    if head.method != "GET" {
        return Err(Reason::Method);
    }
    origin(head)?;
    match form {
        Form::Imds if policy.imds_off => return Err(Reason::ImdsOff),
        Form::Imds => metadata(head)?,
        Form::AppService => identity_header(head, policy)?,
    }
    let query = query::Query::parse(head.query)?;
    if query.api_version.as_deref().is_some_and(|version| !is_api_version(version)) {
        return Err(Reason::ApiVersion);
    }
    let resource = query.resource.as_deref().ok_or(Reason::ResourceMissing)?;
    let resource = resource.parse().map_err(|_| Reason::Resource)?;
    let client_id = query.client_id(policy)?;
    let tenant = policy.identity_map.tenant(client_id).cloned();
    let challenge = query.challenge()?;
    Ok(TokenRequest { form, client_id, tenant, resource, challenge, renewal: query.renewal()? })
}

/// Neither name excuses the other: which of them a proxy in between has gone by is not known.
fn origin(head: &Head<'_>) -> Result<(), Reason> {
    let header = match head.host {
        Header::Absent => None,
        Header::Once(host) => Some(host),
        Header::Repeated => return Err(Reason::HeaderRepeated("Host")),
    };
    let mut named = head.authority.map(str::as_bytes).into_iter().chain(header);
    if !named.all(host::is_local) {
        return Err(Reason::Host);
    }
    if head.forwarded { Err(Reason::Forwarded) } else { Ok(()) }
}

/// `Metadata: True` is in Microsoft's own examples, so letter case does not count.
fn metadata(head: &Head<'_>) -> Result<(), Reason> {
    match head.metadata {
        Header::Once(value) if value.trim_ascii().eq_ignore_ascii_case(b"true") => Ok(()),
        Header::Once(_) | Header::Absent => Err(Reason::MetadataMissing),
        Header::Repeated => Err(Reason::HeaderRepeated("Metadata")),
    }
}

/// Either header will do: which one a client sends follows from the variables it found, not from the query.
fn identity_header(head: &Head<'_>, policy: &Policy) -> Result<(), Reason> {
    let expected = policy.identity_header.as_ref().ok_or(Reason::IdentityHeaderUnset)?;
    let given = match (head.identity_header, head.secret) {
        (Header::Repeated, _) => return Err(Reason::HeaderRepeated("X-IDENTITY-HEADER")),
        (_, Header::Repeated) => return Err(Reason::HeaderRepeated("secret")),
        (Header::Once(value), _) | (Header::Absent, Header::Once(value)) => value,
        (Header::Absent, Header::Absent) => return Err(Reason::IdentityHeader),
    };
    if expected.matches(given) { Ok(()) } else { Err(Reason::IdentityHeader) }
}

/// `YYYY-MM-DD`, perhaps with a suffix such as `-preview`. Which date does not matter, since every version of the token
/// request is the same; its absence is forgiven, as Azure Workload Identity's proxy never asked for it.
fn is_api_version(version: &str) -> bool {
    let date = version.split_at_checked(10).map(|(date, _)| date.as_bytes());
    date.is_some_and(|date| {
        date.iter().enumerate().all(
            |(at, byte)| {
                if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() }
            },
        )
    })
}

// === impl Policy ===

impl Policy {
    fn allows(&self, client_id: ClientId) -> bool {
        let listed = self.allowed_client_ids.as_ref().is_none_or(|list| list.contains(client_id));
        listed || self.client_id == Some(client_id)
    }
}

// === impl Rejection ===

impl Rejection {
    /// The form that was asked, if the path named one.
    pub fn form(&self) -> Option<Form> {
        self.form
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether somebody has to mend something: an identity that is not to be had, a door that is shut, or an attempt to get
    /// around one. The probes of SDKs are none of these.
    pub fn is_telling(&self) -> bool {
        matches!(
            self.reason,
            Reason::IdentityNotFound
                | Reason::IdentityNotAllowed(_)
                | Reason::NoIdentity
                | Reason::ImdsOff
                | Reason::IdentityHeader
                | Reason::IdentityHeaderUnset
                | Reason::PathEvasive
                | Reason::Forwarded
                | Reason::Host
        )
    }

    /// 400 where the request is at fault (clients try a 404 again for up to 100 seconds), 401 for the header that proves
    /// who asks.
    pub fn status(&self) -> u16 {
        match self.reason {
            Reason::PathUnknown => 404,
            Reason::Method => 405,
            Reason::IdentityHeader | Reason::IdentityHeaderUnset => 401,
            Reason::HeaderRepeated("X-IDENTITY-HEADER" | "secret") => 401,
            _ => 400,
        }
    }
}

// === impl Form ===

impl Form {
    /// A stable name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imds => "imds",
            Self::AppService => "app_service",
        }
    }
}

#[cfg(test)]
mod tests;
