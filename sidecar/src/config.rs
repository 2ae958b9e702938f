//! Settings, read once from something that has variables.

mod token_proxy;

use std::ffi::OsString;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use podbadge_runtime::logs;
use podbadge_sidecar_core::authority::Region;
use podbadge_sidecar_core::contract;
use podbadge_sidecar_core::ids::{ClientId, Resource, TenantId};
use podbadge_sidecar_core::pass_through::PassThrough;
use podbadge_sidecar_core::request::Policy;
use podbadge_sidecar_core::secret::Secret;
use podbadge_sidecar_core::text::cut;
use reqwest::{NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use url::{Host, Url};

use crate::roots;
pub(crate) use token_proxy::{Roots, TokenProxy};

/// Everything that is set from outside.
#[derive(Debug)]
pub struct Config {
    pub(crate) port: u16,
    pub(crate) level: logs::Level,
    /// Where health and metrics are served besides.
    pub(crate) metrics: Option<SocketAddr>,
    /// What there must be a token for before the sidecar is ready.
    pub(crate) ready: Option<First>,
    pub(crate) policy: Policy,
    /// What of the real metadata service may be read, and where that is.
    pub(crate) pass_through: Option<PassThrough>,
    pub(crate) metadata_service: SocketAddrV4,
    pub(crate) entra: Entra,
}

/// The token to have first.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) client_id: ClientId,
    pub(crate) resource: Resource,
}

/// How to exchange the pod's token.
#[derive(Debug)]
pub(crate) struct Entra {
    pub(crate) tenant: TenantId,
    pub(crate) token_file: PathBuf,
    pub(crate) authority: Url,
    /// Asked in place of the authority.
    pub(crate) token_proxy: Option<TokenProxy>,
    /// Trusted besides the public roots.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// How long after the start a federated credential may be too new for Entra to know it.
    pub(crate) spreading: Duration,
    /// How old a token may be while a younger one can be had.
    pub(crate) max_age: Option<Duration>,
    /// On the way to what is asked.
    pub(crate) proxy: Option<Proxy>,
}

/// A variable that is missing or wrong; one line that says which, its value, and what it may be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Wrong {
    variable: &'static str,
    value: Value,
    must: String,
}

/// What is shown of a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Missing,
    Shown(String),
    /// It may hold a secret.
    Hidden,
}

/// Something with variables: the environment, or a table in a test.
type Vars<'a> = &'a dyn Fn(&str) -> Option<OsString>;

// === impl Config ===

impl Config {
    /// Reads every variable of the process interface. An empty one counts as unset.
    ///
    /// # Errors
    /// [`Wrong`] for the first variable that is missing or cannot be used.
    pub fn from_vars(vars: Vars<'_>) -> Result<Self, Wrong> {
        let policy = policy(vars)?;
        Ok(Self {
            port: port(vars)?,
            metrics: parse(vars, contract::METRICS_ADDRESS, "must be an IP address and a port such as 0.0.0.0:8096")?,
            ready: first(vars, policy.client_id)?,
            level: parse(vars, contract::LOG, "must be error, warn, info, debug or trace")?.unwrap_or_default(),
            pass_through: pass_through(vars)?,
            metadata_service: contract::METADATA_ADDRESS,
            policy,
            entra: Entra::from_vars(vars)?,
        })
    }

    /// Lets the system choose the ports, for those who start several sidecars on one machine and ask for the addresses.
    #[must_use]
    pub fn on_any_port(self) -> Self {
        Self { port: 0, metrics: self.metrics.map(|address| (address.ip(), 0).into()), ..self }
    }
}

impl Config {
    /// Takes another server for the real metadata service.
    #[must_use]
    pub fn with_metadata_service(self, address: SocketAddrV4) -> Self {
        Self { metadata_service: address, ..self }
    }
}

impl Entra {
    fn from_vars(vars: Vars<'_>) -> Result<Self, Wrong> {
        let tenant = ids::<TenantId>(vars, contract::TENANT_ID)?;
        let (authority, token_proxy) = (authority(vars)?, TokenProxy::from_vars(vars)?);
        Ok(Self {
            tenant: tenant.ok_or_else(|| missing(contract::TENANT_ID, "the tenant's GUID or domain name"))?,
            token_file: text(vars, contract::FEDERATED_TOKEN_FILE)?
                .map(PathBuf::from)
                .ok_or_else(|| missing(contract::FEDERATED_TOKEN_FILE, "the path of the pod's projected token"))?,
            roots: extra_roots(vars)?,
            max_age: seconds(vars, contract::MAX_TOKEN_AGE, 300..=86_400)?,
            spreading: seconds(vars, contract::CREDENTIAL_SPREADING, 0..=3_600)?
                .unwrap_or(contract::DEFAULT_CREDENTIAL_SPREADING),
            proxy: proxy(vars, &authority, token_proxy.as_ref())?,
            authority,
            token_proxy,
        })
    }
}

/// Whole seconds, in digits.
fn seconds(vars: Vars<'_>, variable: &'static str, range: RangeInclusive<u64>) -> Result<Option<Duration>, Wrong> {
    let parse = |value: String| {
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let secs = value.parse().ok().filter(|secs| digits && range.contains(secs));
        let must = || format!("must be {} to {} seconds", range.start(), range.end());
        secs.map(Duration::from_secs).ok_or_else(|| wrong(variable, Value::Shown(value), must()))
    };
    text(vars, variable)?.map(parse).transpose()
}

/// The port alone, which is all that the probe and the redirection need.
pub(crate) fn port(vars: Vars<'_>) -> Result<u16, Wrong> {
    let Some(value) = text(vars, contract::PORT)? else {
        return Ok(contract::DEFAULT_PORT);
    };
    // `parse` alone would take a sign.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let port = value.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| wrong(contract::PORT, Value::Shown(value), "must be a port from 1 to 65535"))
}

// === variables, one by one ===

fn policy(vars: Vars<'_>) -> Result<Policy, Wrong> {
    Ok(Policy {
        client_id: ids(vars, contract::CLIENT_ID)?,
        allowed_client_ids: ids(vars, contract::ALLOWED_CLIENT_IDS)?,
        identity_map: ids(vars, contract::IDENTITY_MAP)?.unwrap_or_default(),
        identity_header: identity_header(vars)?,
        imds_off: imds_off(vars)?,
    })
}

/// On a node's network any process could use it, and each has the real service anyway.
pub(crate) fn pass_through(vars: Vars<'_>) -> Result<Option<PassThrough>, Wrong> {
    let paths = ids(vars, contract::PASS_THROUGH)?;
    if paths.is_some() && imds_off(vars)? {
        let must = format!("must not be set where {} is off", contract::IMDS);
        return Err(wrong(
            contract::PASS_THROUGH,
            Value::Shown(text(vars, contract::PASS_THROUGH)?.unwrap_or_default()),
            must,
        ));
    }
    Ok(paths)
}

/// What `check` asks a token for.
pub(crate) fn check_resource(vars: Vars<'_>) -> Result<Option<Resource>, Wrong> {
    ids(vars, contract::CHECK_RESOURCE)
}

fn first(vars: Vars<'_>, client_id: Option<ClientId>) -> Result<Option<First>, Wrong> {
    let Some(resource) = ids::<Resource>(vars, contract::READY_RESOURCE)? else {
        return Ok(None);
    };
    let must = || format!("needs {}", contract::CLIENT_ID);
    let client_id =
        client_id.ok_or_else(|| wrong(contract::READY_RESOURCE, Value::Shown(resource.to_string()), must()))?;
    Ok(Some(First { client_id, resource }))
}

/// A word that is neither leaves the wish unknown, and the wrong guess would open a door.
fn imds_off(vars: Vars<'_>) -> Result<bool, Wrong> {
    match text(vars, contract::IMDS)?.as_deref() {
        None | Some("on") => Ok(false),
        Some("off") => Ok(true),
        Some(other) => Err(wrong(contract::IMDS, Value::Shown(other.to_owned()), "must be on or off")),
    }
}

/// A header value goes through HTTP unchanged only in visible ASCII.
fn identity_header(vars: Vars<'_>) -> Result<Option<Secret>, Wrong> {
    let variable = contract::EXPECTED_IDENTITY_HEADER;
    let must = "must be visible ASCII characters without spaces";
    let hidden = || wrong(variable, Value::Hidden, must);
    let Some(value) = vars(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|_| hidden())?;
    if value.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Some(Secret::new(value))) } else { Err(hidden()) }
}

fn authority(vars: Vars<'_>) -> Result<Url, Wrong> {
    let value = text(vars, contract::AUTHORITY_HOST)?;
    let value = value.unwrap_or_else(|| contract::DEFAULT_AUTHORITY_HOST.to_owned());
    let authority = https_url(contract::AUTHORITY_HOST, &value, contract::DEFAULT_AUTHORITY_HOST)?;
    let region = ids::<Region>(vars, contract::REGION)?;
    Ok(match region {
        Some(region) => region.of(authority),
        None => authority,
    })
}

fn https_url(variable: &'static str, value: &str, example: &str) -> Result<Url, Wrong> {
    podbadge_sidecar_core::authority::https_url(value).map_err(|_| {
        let must = format!("must be an https URL without user, query and fragment, such as {example}");
        // A user part may hold a password.
        let shown = if value.contains('@') { Value::Hidden } else { Value::Shown(value.to_owned()) };
        wrong(variable, shown, must)
    })
}

fn extra_roots(vars: Vars<'_>) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let mut extra = Vec::new();
    if let Some(path) = text(vars, contract::CA_FILE)? {
        let read = roots::read(path.as_ref()).and_then(|pem| roots::parse(&pem));
        extra.extend(read.map_err(|fault| no_roots(contract::CA_FILE, path, &fault))?);
    }
    if let Some(pem) = text(vars, contract::CA_DATA)? {
        let read = roots::parse(pem.as_bytes());
        extra.extend(read.map_err(|fault| no_pem(contract::CA_DATA, &fault))?);
    }
    Ok(extra)
}

fn no_pem(variable: &'static str, fault: &roots::Invalid) -> Wrong {
    // Somebody may have taken the key in place of the certificate.
    wrong(variable, Value::Hidden, format!("must be certificates in PEM ({fault})"))
}

fn no_roots(variable: &'static str, path: String, fault: &roots::Invalid) -> Wrong {
    wrong(variable, Value::Shown(path), format!("must name a readable file of PEM certificates ({fault})"))
}

/// The proxy for what is asked, by the variables that every tool knows. What is on loopback never has one: its traffic
/// must not leave the pod.
fn proxy(vars: Vars<'_>, authority: &Url, token_proxy: Option<&TokenProxy>) -> Result<Option<Proxy>, Wrong> {
    let either = |upper, lower| text(vars, upper).transpose().or_else(|| text(vars, lower).transpose()).transpose();
    let Some(value) = either("HTTPS_PROXY", "https_proxy")? else {
        return Ok(None);
    };
    // As curl has it, a proxy without a scheme is an HTTP one.
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let hidden =
        || wrong("HTTPS_PROXY", Value::Hidden, "must be an http or https URL such as http://proxy.example:3128");
    let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(hidden)?;
    let proxy = Proxy::https(url.clone()).map_err(|_| hidden())?;
    let except = either("NO_PROXY", "no_proxy")?;
    if is_loopback(token_proxy.map_or(authority, |token_proxy| &token_proxy.url)) {
        return Ok(None);
    }
    if let Some(token_proxy) = token_proxy {
        let except = except.as_deref().unwrap_or_default();
        token_proxy.without_proxy(&Matcher::builder().https(url.as_str()).no(except).build())?;
        // The client would look for another name in NO_PROXY.
        if token_proxy.sni_name.is_some() {
            return Ok(None);
        }
    }
    Ok(Some(proxy.no_proxy(except.and_then(|hosts| NoProxy::from_string(&hosts)))))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

// === reading ===

fn text(vars: Vars<'_>, variable: &'static str) -> Result<Option<String>, Wrong> {
    let value = vars(variable).filter(|value| !value.is_empty()).map(OsString::into_string).transpose();
    value.map_err(|value| wrong(variable, Value::Shown(value.to_string_lossy().into_owned()), "must be UTF-8"))
}

fn parse<T: FromStr>(vars: Vars<'_>, variable: &'static str, must: &str) -> Result<Option<T>, Wrong> {
    text(vars, variable)?.map(|value| value.parse().map_err(|_| wrong(variable, Value::Shown(value), must))).transpose()
}

fn ids<T: FromStr<Err: fmt::Display>>(vars: Vars<'_>, variable: &'static str) -> Result<Option<T>, Wrong> {
    let parse =
        |value: String| value.parse().map_err(|error: T::Err| wrong(variable, Value::Shown(value), error.to_string()));
    text(vars, variable)?.map(parse).transpose()
}

fn wrong(variable: &'static str, value: Value, must: impl Into<String>) -> Wrong {
    Wrong { variable, value, must: must.into() }
}

fn missing(variable: &'static str, what: &str) -> Wrong {
    wrong(variable, Value::Missing, format!("it must be {what}"))
}

// === impl Wrong ===

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, value, must } = self;
        match value {
            Value::Missing => write!(f, "{variable} is not set: {must}"),
            // A map has room for a hundred kilobytes.
            Value::Shown(value) => write!(f, "{variable}={:?} is wrong: it {must}", cut(value, 256)),
            Value::Hidden => write!(f, "{variable} is wrong (its value is not shown): it {must}"),
        }
    }
}

#[cfg(test)]
mod tests;
