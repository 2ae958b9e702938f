//! The custom token endpoint (identity bindings), by the variables and the rules of the Azure SDKs
//! (<https://learn.microsoft.com/azure/aks/identity-bindings-concepts>).

use std::path::PathBuf;

use hyper_util::client::proxy::matcher::Matcher;
use podbadge_sidecar_core::contract;
use rustls::pki_types::{CertificateDer, DnsName};
use url::Url;

use super::{Value, Vars, Wrong, https_url, text, wrong};
use crate::roots;

/// Where tokens are asked for instead of at the authority.
#[derive(Debug)]
pub(crate) struct TokenProxy {
    pub(crate) url: Url,
    /// The name that it is asked by in TLS and must prove, if not the one of the URL.
    pub(crate) sni_name: Option<DnsName<'static>>,
    pub(crate) roots: Roots,
}

/// Whom the custom token endpoint is trusted by.
#[derive(Debug)]
pub(crate) enum Roots {
    /// Those of the authority.
    Authority,
    /// These alone.
    Data(Vec<CertificateDer<'static>>),
    /// Those in this file alone, as it is at the time. At the start it had some.
    File(PathBuf),
}

// === impl TokenProxy ===

impl TokenProxy {
    pub(super) fn from_vars(vars: Vars<'_>) -> Result<Option<Self>, Wrong> {
        let Some(value) = text(vars, contract::TOKEN_PROXY)? else {
            return alone(vars).map(|()| None);
        };
        let url = https_url(contract::TOKEN_PROXY, &value, "https://10.0.0.1:443/")?;
        Ok(Some(Self { url, sni_name: sni_name(vars)?, roots: Roots::from_vars(vars)? }))
    }

    /// The URL with the name of TLS as its host, as the client takes both from there.
    pub(crate) fn named_url(&self) -> Url {
        let mut url = self.url.clone();
        if let Some(name) = &self.sni_name {
            // A DNS name is a host, so it is taken.
            let _ = url.set_host(Some(name.as_ref()));
        }
        url
    }

    /// Refuses a proxy on the way: it would be asked to connect to a name that only TLS knows.
    pub(super) fn without_proxy(&self, proxies: &Matcher) -> Result<(), Wrong> {
        let through = self.url.as_str().parse().is_ok_and(|uri| proxies.intercept(&uri).is_some());
        let Some(sni_name) = self.sni_name.as_ref().filter(|_| through) else {
            return Ok(());
        };
        let host = self.url.host_str().unwrap_or_default();
        let must = format!("cannot be kept through HTTPS_PROXY: add {host} to NO_PROXY");
        Err(wrong(contract::SNI_NAME, Value::Shown(sni_name.as_ref().to_owned()), must))
    }
}

// === impl Roots ===

impl Roots {
    fn from_vars(vars: Vars<'_>) -> Result<Self, Wrong> {
        let (path, data) = (text(vars, contract::TOKEN_PROXY_CA_FILE)?, text(vars, contract::TOKEN_PROXY_CA_DATA)?);
        match (path, data) {
            (None, None) => Ok(Self::Authority),
            (None, Some(pem)) => {
                let roots = roots::parse(pem.as_bytes()).map(Self::Data);
                roots.map_err(|fault| super::no_pem(contract::TOKEN_PROXY_CA_DATA, &fault))
            }
            (Some(path), None) => {
                let read = roots::read(path.as_ref()).and_then(|pem| roots::parse(&pem));
                match read {
                    Ok(_) => Ok(Self::File(path.into())),
                    Err(fault) => Err(super::no_roots(contract::TOKEN_PROXY_CA_FILE, path, &fault)),
                }
            }
            (Some(_), Some(_)) => {
                let must = format!("must not be set beside {}", contract::TOKEN_PROXY_CA_FILE);
                Err(wrong(contract::TOKEN_PROXY_CA_DATA, Value::Hidden, must))
            }
        }
    }
}

// === variables, one by one ===

/// What belongs to a custom token endpoint, where there is none: without it the token would go elsewhere than somebody
/// believes.
fn alone(vars: Vars<'_>) -> Result<(), Wrong> {
    let shown = |variable| Ok(text(vars, variable)?.map(|value| (variable, Value::Shown(value))));
    let hidden = |variable| Ok(text(vars, variable)?.map(|_| (variable, Value::Hidden)));
    let stray = [
        shown(contract::SNI_NAME)?,
        shown(contract::TOKEN_PROXY_CA_FILE)?,
        // Somebody may have taken the wrong one of two PEM files.
        hidden(contract::TOKEN_PROXY_CA_DATA)?,
    ];
    match stray.into_iter().flatten().next() {
        Some((variable, value)) => {
            Err(wrong(variable, value, format!("must not be set without {}", contract::TOKEN_PROXY)))
        }
        None => Ok(()),
    }
}

/// RFC 6066 section 3 has host names only, no addresses.
fn sni_name(vars: Vars<'_>) -> Result<Option<DnsName<'static>>, Wrong> {
    let Some(value) = text(vars, contract::SNI_NAME)? else {
        return Ok(None);
    };
    // Whatever a URL would read as an address is none of the names that it keeps.
    let named = |name: &DnsName<'_>| matches!(url::Host::parse(name.as_ref()), Ok(url::Host::Domain(_)));
    let name = DnsName::try_from(value.clone()).ok().filter(named);
    let must = "must be a DNS name such as 5a2b3c.ests.example";
    name.map(Some).ok_or_else(|| wrong(contract::SNI_NAME, Value::Shown(value), must))
}
