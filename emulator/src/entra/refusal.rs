//! Every refusal of the token endpoint, with the status, the OAuth error, the AADSTS code and the text that real samples
//! show (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>). Pure.

use time::OffsetDateTime;

/// Why Entra refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Method(String),
    UnknownTenant(String),
    MalformedTenant(String),
    UnknownInstance,
    MissingParameter(&'static str),
    RepeatedParameter(&'static str),
    GrantType(String),
    ResourceParameter,
    AssertionType,
    NoCredential,
    WrongSecret { client: String },
    UnknownApplication { client: String, tenant: String },
    NoServicePrincipal { client: String, tenant: String },
    Disabled { client: String, name: String },
    Malformed,
    Algorithm(String),
    OwnToken,
    NoCredentials { client: String, name: String },
    Issuer(String),
    Audience(String),
    AudienceCase(String),
    Subject(String),
    SubjectCase(String),
    Lifetime { issued_at: i64, expires: i64 },
    IssuerUnreachable,
    IssuerUnusable,
    UnknownKey { kid: String, issuer: String },
    Signature,
    Time { now: OffsetDateTime, not_before: i64, expires: i64 },
    Scope(String),
    SeveralResources,
    UnknownResource { resource: String, tenant: String },
    Internal,
}

/// A refusal as it is written.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// OAuth's `error`.
    pub(crate) error: &'static str,
    /// The AADSTS code.
    pub(crate) code: u32,
    /// The text after `AADSTSnnn: `, without anything that JSON would have to escape.
    pub(crate) text: String,
    /// Whether an `error_uri` points to the code.
    pub(crate) has_uri: bool,
}

const FEDERATION: &str = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation";
const CREDENTIALS: &str = "https://learn.microsoft.com/entra/identity-platform/certificate-credentials";
const CASE: &str = "https://learn.microsoft.com/entra/identity-platform/reference-breaking-changes#august-2024";

// === impl Refusal ===

impl Refusal {
    /// The row of this refusal.
    pub(crate) fn answer(&self) -> Answer {
        let (status, error, code, text) = self.request().or_else(|| self.application()).unwrap_or_else(|| self.token());
        Answer {
            status,
            error,
            code,
            text: plain(&text),
            has_uri: !matches!(self, Self::IssuerUnreachable | Self::IssuerUnusable),
        }
    }

    /// Rows about the tenant and the parameters.
    fn request(&self) -> Option<(u16, &'static str, u32, String)> {
        let row = match self {
            Self::Method(method) => (
                400,
                "invalid_request",
                900_561,
                format!("The endpoint only accepts POST requests. Received a {method} request."),
            ),
            Self::UnknownTenant(tenant) => (
                400,
                "invalid_tenant",
                90_002,
                format!(
                    "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing \
                     into the correct cloud. Check with your subscription administrator, this may happen if there are \
                     no active subscriptions for the tenant."
                ),
            ),
            Self::MalformedTenant(tenant) => (
                400,
                "invalid_request",
                900_023,
                format!(
                    "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
                ),
            ),
            Self::UnknownInstance => (400, "invalid_instance", 50_049, "Unknown or invalid instance.".to_owned()),
            Self::MissingParameter(name) => (
                400,
                "invalid_request",
                900_144,
                format!("The request body must contain the following parameter: '{name}'."),
            ),
            Self::RepeatedParameter(name) => (
                400,
                "invalid_request",
                9_000_411,
                format!("The request is not properly formatted. The parameter '{name}' is duplicated."),
            ),
            Self::GrantType(grant) => (
                400,
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{grant}'."),
            ),
            Self::ResourceParameter => {
                (400, "invalid_request", 901_002, "The 'resource' request parameter is not supported.".to_owned())
            }
            Self::AssertionType => {
                (400, "invalid_request", 90_023, "The authentication service request isn't valid.".to_owned())
            }
            Self::Internal => {
                (500, "server_error", 90_033, "A transient error has occurred. Please try again.".to_owned())
            }
            _ => return None,
        };
        Some(row)
    }

    /// Rows about the application and the resource.
    fn application(&self) -> Option<(u16, &'static str, u32, String)> {
        let row = match self {
            Self::NoCredential => (
                401,
                "invalid_client",
                7_000_216,
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
                    .to_owned(),
            ),
            Self::WrongSecret { client } => (
                401,
                "invalid_client",
                7_000_215,
                format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                     value, not the client secret ID, for a secret added to app '{client}'."
                ),
            ),
            Self::UnknownApplication { client, tenant } => (
                400,
                "unauthorized_client",
                700_016,
                format!(
                    "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen \
                     if the application has not been installed by the administrator of the tenant or consented to by \
                     any user in the tenant. You may have sent your authentication request to the wrong tenant."
                ),
            ),
            Self::NoServicePrincipal { client, tenant } => (
                401,
                "invalid_client",
                7_000_229,
                format!(
                    "The client application {client} is missing service principal in the tenant {tenant}. See \
                     instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
                ),
            ),
            Self::Disabled { client, name } => {
                (401, "unauthorized_client", 7_000_112, format!("Application '{client}'({name}) is disabled."))
            }
            Self::NoCredentials { client, name } => (
                401,
                "invalid_client",
                70_025,
                format!("The client '{client}'({name}) has no configured federated identity credentials."),
            ),
            Self::Scope(scope) => (
                400,
                "invalid_scope",
                1_002_012,
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope \
                     value with /.default suffixed to the resource identifier (application ID URI)."
                ),
            ),
            Self::SeveralResources => (
                400,
                "invalid_scope",
                700_022,
                "The provided value for the input parameter scope isn't valid because it contains more than one \
                 resource."
                    .to_owned(),
            ),
            Self::UnknownResource { resource, tenant } => (
                400,
                "invalid_resource",
                500_011,
                format!(
                    "The resource principal named {resource} was not found in the tenant named {tenant}. This can \
                     happen if the application has not been installed by the administrator of the tenant or consented \
                     to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
                ),
            ),
            _ => return None,
        };
        Some(row)
    }

    /// Rows about the assertion.
    fn token(&self) -> (u16, &'static str, u32, String) {
        let (code, text) = match self {
            Self::Malformed => {
                return (400, "invalid_request", 50_027, "JWT token is invalid or malformed.".to_owned());
            }
            Self::IssuerUnreachable | Self::IssuerUnusable => {
                let code = if *self == Self::IssuerUnreachable { 90_061 } else { 50_166 };
                return (400, "invalid_request", code, "Request to External OIDC endpoint failed.".to_owned());
            }
            Self::Algorithm(algorithm) => {
                let text = format!(
                    "Invalid JWT token. '{algorithm}' is not a supported signature algorithm. Supported signing \
                     algorithms are: 'RS256, RS384, RS512, PS256, PS384, PS512'"
                );
                return (400, "invalid_request", 5_002_738, text);
            }
            Self::OwnToken => (700_222, "AAD-issued tokens may not be used for federated identity flows.".to_owned()),
            Self::Issuer(issuer) => (700_211, mismatch("issuer", issuer).replace("Check your", "Please check your")),
            Self::Audience(audience) => (700_212, mismatch("audience", audience)),
            Self::AudienceCase(audience) => (7_002_121, mismatch_by_case("audience", audience)),
            Self::Subject(subject) => (700_213, mismatch("subject", subject)),
            Self::SubjectCase(subject) => (7_002_138, mismatch_by_case("subject", subject)),
            Self::Lifetime { issued_at, expires } => (
                70_023,
                format!(
                    "External OIDC Provider token must have a lifetime of less than or equal to 1.01:00:00. Token \
                     issued at {issued_at}. Token expires on {expires}."
                ),
            ),
            Self::UnknownKey { kid, issuer } => (
                7_000_272,
                format!(
                    "The certificate with identifier {kid} used to sign the federated credential could not be found in \
                     the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata \
                     exposes the key used to sign the incoming token."
                ),
            ),
            Self::Time { now, not_before, expires } => (
                700_024,
                format!(
                    "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, \
                     expiry time of assertion {}. Review the documentation at {CREDENTIALS} .",
                    round_trip(*now),
                    round_trip(at(*not_before)),
                    round_trip(at(*expires)),
                ),
            ),
            // `Signature`; the rows of the other two functions never come here.
            _ => (
                700_027,
                "Client assertion failed signature validation. The assertion contains an invalid signature.".to_owned(),
            ),
        };
        (401, "invalid_client", code, text)
    }
}

fn mismatch(what: &str, value: &str) -> String {
    format!(
        "No matching federated identity record found for presented assertion {what} '{value}'. Check your federated \
         identity credential Subject, Audience and Issuer against the presented assertion. {FEDERATION}"
    )
}

fn mismatch_by_case(what: &str, value: &str) -> String {
    format!(
        "No matching federated identity record found for presented assertion {what} '{value}'. The {what} matches with \
         case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential \
         Subject, Audience and Issuer against the presented assertion. See breaking change notification {CASE}"
    )
}

/// Rust's SDK reads `error_description` as a borrowed string and fails on any escape.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

// === times ===

/// `2026-01-02 03:04:05Z`, as Entra's errors have it.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!("{date} {:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

/// `2026-01-02T03:04:05.0000000Z`, .NET's round-trip form.
fn round_trip(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{:07}Z", time.nanosecond() / 100)
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
