//! The documents by which clients find the token endpoint and the keys. Pure.

use serde_json::{Value, json};
use url::Url;

use super::refusal::Refusal;
use crate::{config::Tenant, signing::SigningKey};

/// The hosts of Entra's public cloud, each an alias of the others.
pub(crate) const PUBLIC_HOSTS: &[&str] =
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

/// `/common/discovery/instance`: where the metadata of an authority's tenant is.
///
/// `endpoint` is the authorization endpoint that the client made from its authority. Some clients drop its port, so that
/// for a host of our own the answer leads to `base`, whatever the port.
///
/// # Errors
/// AADSTS50049 if the host is none of Entra's and none of `ours`.
pub(crate) fn instance(
    endpoint: &str,
    api_version: Option<&str>,
    base: &str,
    ours: impl Fn(&str) -> bool,
) -> Result<Value, Refusal> {
    let endpoint = Url::parse(endpoint).ok().filter(|url| url.scheme() == "https");
    let endpoint = endpoint.ok_or(Refusal::UnknownInstance)?;
    let host = endpoint.host_str().ok_or(Refusal::UnknownInstance)?;
    let base = if PUBLIC_HOSTS.contains(&host) {
        format!("https://{host}")
    } else if ours(host) {
        base.to_owned()
    } else {
        return Err(Refusal::UnknownInstance);
    };
    let tenant = endpoint.path_segments().and_then(|mut segments| segments.next()).unwrap_or("common");
    Ok(json!({
        "tenant_discovery_endpoint": format!("{base}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": api_version.unwrap_or("1.1"),
        "metadata": [{
            "preferred_network": "login.microsoftonline.com",
            "preferred_cache": "login.windows.net",
            "aliases": PUBLIC_HOSTS,
        }],
    }))
}

/// `/{tenant}/v2.0/.well-known/openid-configuration`. `segment` is the tenant as the client wrote it; without a tenant
/// (`common`) the issuer is a template. Clients accept the public cloud's issuer under any authority.
pub(crate) fn openid_configuration(base: &str, segment: &str, tenant: Option<&Tenant>) -> Value {
    let id = tenant.map_or_else(|| "{tenantid}".to_owned(), |tenant| tenant.id.to_string());
    json!({
        "token_endpoint": format!("{base}/{segment}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{segment}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("https://login.microsoftonline.com/{id}/v2.0"),
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{base}/{segment}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/{segment}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/{segment}/oauth2/v2.0/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
        "cloud_instance_name": "microsoftonline.com",
        "tenant_region_scope": null,
    })
}

/// `/{tenant}/discovery/v2.0/keys`.
pub(crate) fn keys(key: &SigningKey) -> Value {
    json!({ "keys": [key.jwk()] })
}
