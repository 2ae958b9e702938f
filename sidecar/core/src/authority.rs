//! The authority that identities are asked of.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// The authority's base URL, always with a trailing slash: `https` only, since an assertion is posted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityHost(Url);

/// Why a text is no authority.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must be an https URL without user, query and fragment, such as https://login.microsoftonline.com/")]
pub struct NoAuthority;

/// An Azure region whose own instance of Entra ID is asked, such as `westeurope`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(Box<str>);

/// Why a text is no region.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must be the name of an Azure region such as westeurope; it is not detected, as only the node knows it")]
pub struct NoRegion;

// === impl Region ===

impl Region {
    /// The host of the region that answers for `authority`, by the rule of MSAL: all names of the public cloud share one
    /// domain, and other clouds have theirs (`buildRegionalAuthorityString` of msal-common). An address stays as it is.
    #[must_use]
    pub fn of(&self, mut authority: Url) -> Url {
        let Some(Host::Domain(host)) = authority.host() else {
            return authority;
        };
        let public = ["login.microsoftonline.com", "login.microsoft.com", "login.windows.net", "sts.windows.net"];
        let host = if public.contains(&host) { "login.microsoft.com" } else { host };
        let host = format!("{}.{host}", self.0);
        // A label before a domain makes a domain, so it is taken.
        let _ = authority.set_host(Some(&host));
        authority
    }
}

impl FromStr for Region {
    type Err = NoRegion;

    fn from_str(text: &str) -> Result<Self, NoRegion> {
        let detect = text.eq_ignore_ascii_case("tryautodetect");
        let label = (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if label && !detect { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(NoRegion) }
    }
}

// === impl AuthorityHost ===

impl AuthorityHost {
    /// The URL, in its normal form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for AuthorityHost {
    type Err = NoAuthority;

    fn from_str(text: &str) -> Result<Self, NoAuthority> {
        let mut url = https_url(text)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }
}

/// Reads the address of something that an assertion is posted to, so nothing about it is lenient.
///
/// # Errors
///
/// [`NoAuthority`] says what it must be.
pub fn https_url(text: &str) -> Result<Url, NoAuthority> {
    let url = Url::parse(text).map_err(|_| NoAuthority)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0);
    // `Url` forgives blanks around and within, which no other reader of the variable does.
    let blank = text.contains(|c: char| c.is_whitespace() || c.is_control());
    if url.scheme() == "https" && plain && !blank { Ok(url) } else { Err(NoAuthority) }
}

impl fmt::Display for AuthorityHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions() {
        let region: Region = "WestEurope".parse().expect("a region");
        for (authority, regional) in [
            ("https://login.microsoftonline.com/", "https://westeurope.login.microsoft.com/"),
            ("https://login.windows.net/", "https://westeurope.login.microsoft.com/"),
            ("https://login.microsoftonline.us/", "https://westeurope.login.microsoftonline.us/"),
            ("https://login.partner.microsoftonline.cn/", "https://westeurope.login.partner.microsoftonline.cn/"),
            ("https://entra.test:8443/adfs/", "https://westeurope.entra.test:8443/adfs/"),
            ("https://127.0.0.1:8443/", "https://127.0.0.1:8443/"),
            ("https://[::1]/", "https://[::1]/"),
        ] {
            assert_eq!(region.of(https_url(authority).expect("valid")).as_str(), regional);
        }
        for wrong in ["", "west europe", "TryAutoDetect", "a.b", "a/b", "x@y", "west-europe", &"x".repeat(64)] {
            assert_eq!(wrong.parse::<Region>(), Err(NoRegion), "{wrong}");
        }
    }

    #[test]
    fn authorities() {
        for (text, url) in [
            ("https://login.microsoftonline.com/", "https://login.microsoftonline.com/"),
            ("https://entra.test:8443", "https://entra.test:8443/"),
            ("https://adfs.corp.test/adfs", "https://adfs.corp.test/adfs/"),
            ("https://[::1]:8443/", "https://[::1]:8443/"),
        ] {
            assert_eq!(text.parse::<AuthorityHost>().expect("valid").as_str(), url);
        }
        for wrong in [
            "",
            "login.microsoftonline.com",
            "http://entra.test/",
            "https://",
            "https://user@entra.test/",
            "https://user:pass@entra.test/",
            "https://entra.test/?a=b",
            "https://entra.test/#x",
            "https://entra.test:65536/",
            "https://entra.test:0/",
            " https://entra.test/",
            "https://entra.test/ ",
            "https://entra.test/\n",
        ] {
            assert_eq!(wrong.parse::<AuthorityHost>(), Err(NoAuthority), "{wrong:?}");
        }
    }
}
