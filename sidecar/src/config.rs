//! Settings, read once from something that has variables.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use podbadge_runtime::logs;
use podbadge_sidecar_core::contract;
use podbadge_sidecar_core::ids::TenantId;
use podbadge_sidecar_core::request::Policy;
use podbadge_sidecar_core::secret::Secret;
use podbadge_sidecar_core::text::cut;
use reqwest::{NoProxy, Proxy};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;
use url::{Host, Url};

use crate::file;

/// All public roots together have a quarter of this.
const LONGEST_PEM: usize = 1024 * 1024;

/// Everything that is set from outside.
#[derive(Debug)]
pub struct Config {
    pub(crate) port: u16,
    pub(crate) level: logs::Level,
    pub(crate) policy: Policy,
    pub(crate) entra: Entra,
}

/// How to exchange the pod's token.
#[derive(Debug)]
pub(crate) struct Entra {
    pub(crate) tenant: TenantId,
    pub(crate) token_file: PathBuf,
    pub(crate) authority: Url,
    /// Trusted besides the public roots.
    pub(crate) roots: Vec<CertificateDer<'static>>,
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
        Ok(Self {
            port: port(vars)?,
            level: parse(vars, contract::LOG, "must be error, warn, info, debug or trace")?.unwrap_or_default(),
            policy: policy(vars)?,
            entra: Entra::from_vars(vars)?,
        })
    }

    /// Lets the system choose the port, for those who start several sidecars on one machine and ask for the address.
    #[must_use]
    pub fn on_any_port(self) -> Self {
        Self { port: 0, ..self }
    }
}

impl Entra {
    fn from_vars(vars: Vars<'_>) -> Result<Self, Wrong> {
        let tenant = ids::<TenantId>(vars, contract::TENANT_ID)?;
        let authority = authority(vars)?;
        Ok(Self {
            tenant: tenant.ok_or_else(|| missing(contract::TENANT_ID, "the tenant's GUID or domain name"))?,
            token_file: text(vars, contract::FEDERATED_TOKEN_FILE)?
                .map(PathBuf::from)
                .ok_or_else(|| missing(contract::FEDERATED_TOKEN_FILE, "the path of the pod's projected token"))?,
            roots: roots(vars)?,
            proxy: proxy(vars, &authority)?,
            authority,
        })
    }
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

/// The assertion goes to this address, so nothing about it is lenient.
fn authority(vars: Vars<'_>) -> Result<Url, Wrong> {
    let must = "must be an https URL without user, query and fragment, such as https://login.microsoftonline.com/";
    let variable = contract::AUTHORITY_HOST;
    let value = text(vars, variable)?.unwrap_or_else(|| contract::DEFAULT_AUTHORITY_HOST.to_owned());
    let url = Url::parse(&value).ok().filter(|url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    // A user part may hold a password.
    let shown = if value.contains('@') { Value::Hidden } else { Value::Shown(value) };
    url.ok_or_else(|| wrong(variable, shown, must))
}

fn roots(vars: Vars<'_>) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let Some(path) = text(vars, contract::CA_FILE)? else {
        return Ok(Vec::new());
    };
    let fault = |fault: String| {
        let must = format!("must name a readable file of PEM certificates ({fault})");
        wrong(contract::CA_FILE, Value::Shown(path.clone()), must)
    };
    let pem = file::read(Path::new(&path), LONGEST_PEM).map_err(|error| fault(error.to_string()))?;
    let pem = pem.ok_or_else(|| fault(format!("it has more than {LONGEST_PEM} bytes")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| fault(error.to_string()))?;
    let mut store = rustls::RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| fault(error.to_string()))?;
    }
    if certificates.is_empty() { Err(fault("it has none".to_owned())) } else { Ok(certificates) }
}

/// The proxy for the authority, by the variables that every tool knows. An authority on loopback never has one: its
/// traffic must not leave the pod.
fn proxy(vars: Vars<'_>, authority: &Url) -> Result<Option<Proxy>, Wrong> {
    let either = |upper, lower| text(vars, upper).transpose().or_else(|| text(vars, lower).transpose()).transpose();
    let Some(value) = either("HTTPS_PROXY", "https_proxy")? else {
        return Ok(None);
    };
    // As curl has it, a proxy without a scheme is an HTTP one.
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let hidden =
        || wrong("HTTPS_PROXY", Value::Hidden, "must be an http or https URL such as http://proxy.example:3128");
    let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let proxy = Proxy::https(url.ok_or_else(hidden)?).map_err(|_| hidden())?;
    let except = either("NO_PROXY", "no_proxy")?.and_then(|hosts| NoProxy::from_string(&hosts));
    Ok((!is_loopback(authority)).then(|| proxy.no_proxy(except)))
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
