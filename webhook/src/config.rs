//! Checked settings: what the command line asks for, in types that hold only what can be done.

use crate::args::{AnnotatedServiceAccounts, Args, NativeSidecar, Tls, TlsVersion};
use podbadge_certs::resolver::MinVersion;
use podbadge_sidecar_core::ids::TenantId;
use podbadge_webhook_core::settings::{Annotated, Settings, Sidecar};
use std::{net::SocketAddr, path::PathBuf};

/// The process's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API server is answered.
    pub listen_address: SocketAddr,
    /// Where probes and scrapes are answered.
    pub admin_address: SocketAddr,
    /// What decisions need; whether sidecars are native is known once the cluster has been asked.
    pub settings: Settings,
    /// Whether sidecars are native, if the operator says so.
    pub native_sidecar: Option<bool>,
    /// The serving certificate.
    pub certificate: Certificate,
    /// The oldest TLS version that is spoken.
    pub tls_min_version: MinVersion,
}

/// The serving certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The Service whose names it bears.
    pub service: String,
    /// The namespace of Service and Secret.
    pub namespace: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where the serving certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From a directory with `tls.crt` and `tls.key`.
    Files(PathBuf),
    /// Made by the webhook itself.
    SelfManaged {
        /// The Secret that keeps it.
        secret: String,
        /// The MutatingWebhookConfiguration that trusts it.
        webhook_configuration: String,
    },
}

/// A setting with a wrong value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag} is {value:?}; it must be {expected}")]
pub struct Invalid {
    flag: &'static str,
    value: String,
    expected: &'static str,
}

impl TryFrom<Args> for Config {
    type Error = Invalid;

    fn try_from(args: Args) -> Result<Self, Invalid> {
        let name = |flag, value: String| check(flag, value, "a Kubernetes name", is_name);
        let source = match (args.tls, args.tls_dir) {
            (Tls::Files, dir) => Source::Files(dir.unwrap_or_default()),
            (Tls::SelfManaged, _) => Source::SelfManaged {
                secret: name("--tls-secret", args.tls_secret)?,
                webhook_configuration: name("--webhook-configuration", args.webhook_configuration)?,
            },
        };
        let certificate = Certificate {
            service: name("--service", args.service)?,
            namespace: name("--namespace", args.namespace)?,
            source,
        };
        let authority_host = args.authority_host.unwrap_or_else(|| args.cloud.authority_host().to_owned());
        let https = "an https URL with a host, without user, query or fragment";
        let mut authority_host = check("--authority-host", authority_host, https, is_https)?;
        if !authority_host.ends_with('/') {
            authority_host.push('/');
        }
        let audience = args.audience.unwrap_or_else(|| args.cloud.audience().to_owned());
        let mount_path = check("--token-path", args.token_path, "an absolute path without ':'", is_mount_path)?;
        let defaults = Settings::default();
        let image = args.sidecar_image.unwrap_or(defaults.sidecar.image);
        let (text, guid) = ("one word, not empty", "a GUID or a domain such as contoso.onmicrosoft.com");
        let settings = Settings {
            tenant_id: args.tenant_id.map(|tenant| check("--tenant-id", tenant, guid, is_tenant)).transpose()?,
            authority_host,
            audience: check("--audience", audience, text, is_word)?,
            mount_path: mount_path.trim_end_matches('/').to_owned(),
            annotated: match args.annotated_service_accounts {
                AnnotatedServiceAccounts::Enabled => Annotated::Enabled,
                AnnotatedServiceAccounts::Observe => Annotated::Observe,
                AnnotatedServiceAccounts::Disabled => Annotated::Disabled,
            },
            sidecar: Sidecar { image: check("--sidecar-image", image, text, is_word)?, native: false },
            ..defaults
        };
        Ok(Self {
            listen_address: args.listen_address,
            admin_address: args.admin.admin_address,
            settings,
            native_sidecar: match args.native_sidecar {
                NativeSidecar::Auto => None,
                NativeSidecar::Always => Some(true),
                NativeSidecar::Never => Some(false),
            },
            certificate,
            tls_min_version: match args.tls_min_version {
                TlsVersion::V1_2 => MinVersion::Tls12,
                TlsVersion::V1_3 => MinVersion::Tls13,
            },
        })
    }
}

fn check(
    flag: &'static str,
    value: String,
    expected: &'static str,
    holds: impl Fn(&str) -> bool,
) -> Result<String, Invalid> {
    if holds(&value) { Ok(value) } else { Err(Invalid { flag, value, expected }) }
}

/// A DNS subdomain of RFC 1123, as object names are
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
pub(crate) fn is_name(value: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let within = |byte: &u8| edge(byte) || matches!(byte, b'-' | b'.');
    let bytes = value.as_bytes();
    bytes.len() <= 253 && bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && bytes.iter().all(within)
}

/// As the sidecar reads it, which would not start otherwise.
fn is_tenant(value: &str) -> bool {
    value.parse::<TenantId>().is_ok()
}

fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// What the API server takes as a `mountPath`; anything else would fail every pod that gets an identity.
fn is_mount_path(value: &str) -> bool {
    value.starts_with('/') && !value.trim_end_matches('/').is_empty() && !value.contains([':', '\0'])
}

fn is_https(value: &str) -> bool {
    value.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri.host().is_some_and(|host| !host.is_empty())
            // No user before the host, and after it nothing but a port that there is.
            && uri.authority().is_some_and(|authority| match authority.as_str().strip_prefix(authority.host()) {
                Some("") => true,
                Some(_) => authority.port_u16().is_some_and(|port| port > 0),
                None => false,
            })
            && uri.query().is_none()
            && !value.contains('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = Args::try_parse_from(["podbadge-webhook"].iter().chain(flags)).map_err(|error| error.to_string())?;
        Config::try_from(args).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_public_cloud() {
        let config = config(&[]).unwrap();
        assert_eq!(config.settings.authority_host, "https://login.microsoftonline.com/");
        assert_eq!(config.settings.audience, "api://AzureADTokenExchange");
        assert_eq!(config.settings.mount_path, "/var/run/secrets/azure/tokens");
        assert_eq!(config.native_sidecar, None);
    }

    #[test]
    fn a_cloud_sets_authority_and_audience() {
        for (cloud, host, audience) in [
            ("AzureUSGovernmentCloud", "https://login.microsoftonline.us/", "api://AzureADTokenExchangeUSGov"),
            ("azurechinacloud", "https://login.chinacloudapi.cn/", "api://AzureADTokenExchangeChina"),
        ] {
            let config = config(&["--cloud", cloud]).unwrap();
            assert_eq!((config.settings.authority_host.as_str(), config.settings.audience.as_str()), (host, audience));
        }
        let config = config(&["--authority-host=https://entra.test:8443"]).unwrap();
        assert_eq!(config.settings.authority_host, "https://entra.test:8443/");
    }

    #[test]
    fn every_wrong_value_is_named() {
        for (flag, value, says) in [
            ("--authority-host", "http://entra.test/", "must be an https URL"),
            ("--authority-host", "https://entra.test/?a=b", "must be an https URL"),
            ("--audience", "two words", "must be one word"),
            ("--tenant-id", "", "must be a GUID or a domain"),
            ("--tenant-id", "common", "must be a GUID or a domain"),
            ("--sidecar-image", "", "must be one word"),
            ("--authority-host", "https://user:pass@entra.test/", "must be an https URL"),
            ("--authority-host", "https://entra.test:65536/", "must be an https URL"),
            ("--authority-host", "https://entra.test:/", "must be an https URL"),
            ("--token-path", "var/run", "must be an absolute path"),
            ("--token-path", "//", "must be an absolute path"),
            ("--token-path", "/a:b", "must be an absolute path"),
            ("--tls-secret", "Secret", "must be a Kubernetes name"),
            ("--service", "-a", "must be a Kubernetes name"),
            ("--webhook-configuration", "a/b", "must be a Kubernetes name"),
            ("--namespace", "", "must be a Kubernetes name"),
            ("--listen-address", "9443", "invalid socket address"),
            ("--admin-address", "x", "invalid socket address"),
            ("--cloud", "Mars", "possible values: AzurePublicCloud"),
            ("--native-sidecar", "perhaps", "possible values: auto, always, never"),
            ("--annotated-service-accounts", "on", "possible values: enabled, observe, disabled"),
            ("--tls", "none", "possible values: self-managed, files"),
            ("--tls", "files", "--tls-dir"),
            ("--tls-min-version", "1.1", "possible values: 1.2, 1.3"),
            ("--log-level", "loud", "--log-level"),
            ("--log-format", "xml", "--log-format"),
        ] {
            let error = config(&[&format!("{flag}={value}")]).unwrap_err();
            assert!(error.contains(says) && error.contains(flag), "{flag}={value}: {error}");
        }
    }
}
