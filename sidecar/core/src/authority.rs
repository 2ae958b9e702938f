//! The authority that identities are asked of.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// The authority's base URL, always with a trailing slash: `https` only, since an assertion is posted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityHost(Url);

/// Why a text is no authority.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("must be an https URL without user, query and fragment, such as https://login.microsoftonline.com/")]
pub struct NoAuthority;

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
