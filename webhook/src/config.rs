//! Checked settings: what the command line asks for, in types that hold only what can be done.

mod heal;
mod lifetimes;
mod policy;
mod sidecar_variables;
mod token_endpoint;

pub use heal::Heal;
pub use policy::Policy;

use crate::args::{Args, Tls, TlsVersion};
use podbadge_certs::{
    policy::{Policy as Lifetimes, Unfit},
    resolver::MinVersion,
};
use podbadge_webhook_core::settings::Settings;
use std::{net::SocketAddr, path::PathBuf, process, time::SystemTime};

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
    /// What is done about pods that were left behind, if anything.
    pub heal: Option<Heal>,
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
    /// The name of this process in the Lease by which one replica writes it.
    pub holder: String,
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
        /// The ValidatingWebhookConfiguration that does, if there is one.
        validating_webhook_configuration: Option<String>,
        /// How long it lives.
        lifetimes: Box<Lifetimes>,
    },
}

/// A setting with a wrong value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A value that cannot be used.
    #[error("{flag} is {value:?}; it must be {expected}")]
    Value {
        /// The setting.
        flag: &'static str,
        /// What it was given.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Together(&'static str),
    /// Lifetimes of certificates that do not go together.
    #[error("--tls-authority-lifetime, --tls-leaf-lifetime and what goes with them: {0}")]
    Lifetimes(Unfit),
}

impl TryFrom<Args> for Config {
    type Error = Invalid;

    fn try_from(args: Args) -> Result<Self, Invalid> {
        let name = |flag, value: String| check(flag, value, "a Kubernetes name", is_name);
        // Outside of a pod nobody else has both.
        let started = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let holder = match args.pod_name {
            Some(pod) => name("--pod-name", pod)?,
            None => format!("podbadge-webhook-{}-{}", process::id(), started()),
        };
        let heal = heal::read(&args.heal, holder.clone(), &args.webhook_configuration)?;
        let source = match (args.tls, args.tls_dir) {
            (Tls::Files, dir) => Source::Files(dir.unwrap_or_default()),
            (Tls::SelfManaged, _) => Source::SelfManaged {
                secret: name("--tls-secret", args.tls_secret)?,
                webhook_configuration: name("--webhook-configuration", args.webhook_configuration)?,
                validating_webhook_configuration: args
                    .validating_webhook_configuration
                    .map(|value| name("--validating-webhook-configuration", value))
                    .transpose()?,
                lifetimes: lifetimes::read(&args.lifetimes)?.into(),
            },
        };
        let certificate = Certificate {
            service: name("--service", args.service)?,
            namespace: name("--namespace", args.namespace)?,
            source,
            holder,
        };
        let Policy { settings, native_sidecar } = args.policy.try_into()?;
        Ok(Self {
            listen_address: args.listen_address,
            admin_address: args.admin.admin_address,
            settings,
            native_sidecar,
            certificate,
            tls_min_version: match args.tls_min_version {
                TlsVersion::V1_2 => MinVersion::Tls12,
                TlsVersion::V1_3 => MinVersion::Tls13,
            },
            heal,
        })
    }
}

fn check(
    flag: &'static str,
    value: String,
    expected: &'static str,
    holds: impl Fn(&str) -> bool,
) -> Result<String, Invalid> {
    if holds(&value) { Ok(value) } else { Err(Invalid::Value { flag, value, expected }) }
}

/// A DNS subdomain of RFC 1123, as object names are
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
pub(crate) fn is_name(value: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let within = |byte: &u8| edge(byte) || matches!(byte, b'-' | b'.');
    let bytes = value.as_bytes();
    bytes.len() <= 253 && bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && bytes.iter().all(within)
}

#[cfg(test)]
mod tests;
