//! The checks of a token request, in Entra's order as samples show it. Pure: the time and the issuer's keys are arguments.
//!
//! Tenant, parameters, application, assertion, federated credentials (issuer, audience, subject), lifetime; then, with
//! the issuer's keys, signature and time; at last what is asked for.

use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
use time::OffsetDateTime;

use super::{
    assertion::Assertion,
    refusal::Refusal,
    request::{Form, TokenRequest},
    scope,
};
use crate::{
    config::{Application, Guid, Tenant},
    directory::{Directory, Found},
};

/// 25 hours, as AADSTS70023 has it.
const LONGEST_ASSERTION: i64 = 25 * 60 * 60;

/// Issuers whose tokens are Entra's own.
const OWN_ISSUERS: &[&str] =
    &["https://sts.windows.net/", "https://login.microsoftonline.com/", "https://login.windows.net/"];

/// The signing keys of one issuer, the first 100 that are readable.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Jwk>);

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKeys {
    /// No connection, no certificate to trust, no answer in time.
    Unreachable,
    /// An answer that is no discovery document or no key set.
    Unusable,
}

/// A request that passed every check that needs no key.
#[derive(Debug)]
pub(crate) struct Candidate<'d> {
    pub(crate) tenant: &'d Tenant,
    pub(crate) application: &'d Application,
    pub(crate) principal: Guid,
    pub(crate) assertion: Assertion,
    jwt: String,
    scope: String,
}

/// Who gets a token for what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) tenant: Guid,
    pub(crate) client: Guid,
    pub(crate) principal: Guid,
    pub(crate) resource: String,
}

// === impl Keys ===

impl Keys {
    /// Entra looks at no more of an issuer's keys.
    const MOST: usize = 100;

    /// The keys of a set (RFC 7517); what cannot be read is left out.
    pub(crate) fn new(set: Vec<serde_json::Value>) -> Self {
        Self(set.into_iter().take(Self::MOST).filter_map(|key| serde_json::from_value(key).ok()).collect())
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Jwk> {
        self.0.iter().find(|key| key.common.key_id.as_deref() == Some(kid))
    }
}

// === checks ===

/// Everything up to the keys.
///
/// # Errors
/// The first check that fails.
pub(crate) fn candidate<'d>(directory: &'d Directory, tenant: &str, form: &Form) -> Result<Candidate<'d>, Refusal> {
    let tenant = self::tenant(directory, tenant)?;
    let request = TokenRequest::read(form)?;
    let (application, principal) = application(directory, tenant, &request.client_id)?;
    let assertion = Assertion::read(&request.assertion)?;
    if OWN_ISSUERS.iter().any(|own| assertion.issuer.starts_with(own)) {
        return Err(Refusal::OwnToken);
    }
    federated(application, &assertion)?;
    lifetime(&assertion)?;
    Ok(Candidate { tenant, application, principal, assertion, jwt: request.assertion, scope: request.scope })
}

/// Everything else, with the issuer's keys. No leeway is given to the times of the assertion.
///
/// # Errors
/// The first check that fails.
pub(crate) fn grant(
    directory: &Directory,
    candidate: &Candidate<'_>,
    keys: Result<&Keys, NoKeys>,
    now: OffsetDateTime,
) -> Result<Grant, Refusal> {
    let Candidate { tenant, application, principal, assertion, jwt, scope } = candidate;
    let keys = keys.map_err(|reason| match reason {
        NoKeys::Unreachable => Refusal::IssuerUnreachable,
        NoKeys::Unusable => Refusal::IssuerUnusable,
    })?;
    signature(keys, assertion, jwt)?;
    time_range(assertion, now)?;
    let resource = scope::resource(scope)?;
    if !directory.knows(resource) {
        return Err(Refusal::UnknownResource { resource: resource.to_owned(), tenant: tenant.display() });
    }
    Ok(Grant { tenant: tenant.id, client: application.client_id, principal: *principal, resource: resource.to_owned() })
}

/// The tenant of a path.
pub(crate) fn tenant<'d>(directory: &'d Directory, segment: &str) -> Result<&'d Tenant, Refusal> {
    match directory.tenant(segment) {
        Found::Tenant(tenant) => Ok(tenant),
        Found::Unknown => Err(Refusal::UnknownTenant(segment.to_owned())),
        Found::Malformed => Err(Refusal::MalformedTenant(segment.to_owned())),
    }
}

fn application<'d>(
    directory: &'d Directory,
    tenant: &Tenant,
    client: &str,
) -> Result<(&'d Application, Guid), Refusal> {
    let known = client.parse().ok().and_then(|client| directory.application(tenant.id, client));
    let Some(application) = known else {
        return Err(Refusal::UnknownApplication { client: client.to_owned(), tenant: tenant.display() });
    };
    let client = application.client_id.to_string();
    if application.disabled {
        return Err(Refusal::Disabled { client, name: application.name.to_string() });
    }
    match application.service_principal_id {
        Some(principal) => Ok((application, principal)),
        None => Err(Refusal::NoServicePrincipal { client, tenant: tenant.id.to_string() }),
    }
}

/// Issuer, then audience, then subject, each among those that matched so far.
fn federated(application: &Application, assertion: &Assertion) -> Result<(), Refusal> {
    let Assertion { issuer, audience, subject, .. } = assertion;
    if application.federated_credentials.is_empty() {
        let (client, name) = (application.client_id.to_string(), application.name.to_string());
        return Err(Refusal::NoCredentials { client, name });
    }
    let mut left: Vec<_> = application.federated_credentials.iter().collect();
    left.retain(|credential| credential.issuer.as_str() == issuer);
    if left.is_empty() {
        return Err(Refusal::Issuer(issuer.clone()));
    }
    let [audience] = audience.as_slice() else {
        return Err(Refusal::Audience(audience.join(", ")));
    };
    let by_case = left.iter().any(|credential| credential.audience.as_str().eq_ignore_ascii_case(audience));
    left.retain(|credential| credential.audience.as_str() == audience);
    match (left.is_empty(), by_case) {
        (true, true) => return Err(Refusal::AudienceCase(audience.clone())),
        (true, false) => return Err(Refusal::Audience(audience.clone())),
        (false, _) => {}
    }
    let by_case = left.iter().any(|credential| credential.subject.as_str().eq_ignore_ascii_case(subject));
    left.retain(|credential| credential.subject.as_str() == subject);
    match (left.is_empty(), by_case) {
        (true, true) => Err(Refusal::SubjectCase(subject.clone())),
        (true, false) => Err(Refusal::Subject(subject.clone())),
        (false, _) => Ok(()),
    }
}

fn lifetime(assertion: &Assertion) -> Result<(), Refusal> {
    let expires = assertion.expires;
    match assertion.issued_at {
        Some(issued_at) if expires.saturating_sub(issued_at) <= LONGEST_ASSERTION => Ok(()),
        issued_at => Err(Refusal::Lifetime { issued_at: issued_at.unwrap_or(0), expires }),
    }
}

fn signature(keys: &Keys, assertion: &Assertion, jwt: &str) -> Result<(), Refusal> {
    let Some(key) = keys.find(&assertion.kid) else {
        return Err(Refusal::UnknownKey { kid: assertion.kid.clone(), issuer: assertion.issuer.clone() });
    };
    let mut validation = Validation::new(assertion.algorithm);
    // The times are judged apart, by the time given.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    DecodingKey::from_jwk(key)
        .and_then(|key| jsonwebtoken::decode::<serde::de::IgnoredAny>(jwt, &key, &validation))
        .map(drop)
        .map_err(|_| Refusal::Signature)
}

fn time_range(assertion: &Assertion, now: OffsetDateTime) -> Result<(), Refusal> {
    let Assertion { not_before, expires, .. } = *assertion;
    if (not_before..expires).contains(&now.unix_timestamp()) {
        return Ok(());
    }
    Err(Refusal::Time { now, not_before, expires })
}
