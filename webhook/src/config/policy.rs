//! What the operator decides for all pods, checked.

use super::{Invalid, check, is_name, sidecar_variables, token_endpoint};
use crate::args::{AnnotatedServiceAccounts, Level, NativeSidecar, PolicyArgs, SidecarMode};
use podbadge_sidecar_core::{authority::AuthorityHost, ids::TenantId};
use podbadge_webhook_core::{
    identity::PodSecurity,
    resources::Resources,
    settings::{Annotated, DefaultMode, Settings, Sidecar},
    value::is_word,
};
use std::ops::RangeInclusive;

/// What decisions depend on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The settings; what depends on the cluster is known once that has been asked.
    pub settings: Settings,
    /// Whether sidecars are native, if the operator says so.
    pub native_sidecar: Option<bool>,
}

impl TryFrom<PolicyArgs> for Policy {
    type Error = Invalid;

    fn try_from(args: PolicyArgs) -> Result<Self, Invalid> {
        let defaults = Settings::default();
        let authority_host = args.authority_host.unwrap_or_else(|| args.cloud.authority_host().to_owned());
        let audience = args.audience.unwrap_or_else(|| args.cloud.audience().to_owned());
        let mount_path = check("--token-path", args.token_path, "an absolute path without ':'", is_mount_path)?;
        let image = args.sidecar_image.unwrap_or(defaults.sidecar.image);
        let name = |name| check("--sidecar-pull-secrets", name, "Kubernetes names, separated by commas", is_name);
        let guid = "a GUID or a domain such as contoso.onmicrosoft.com";
        let sidecar = Sidecar {
            image: check("--sidecar-image", image, WORD, is_word)?,
            native: false,
            resources: match args.sidecar_resources {
                None => defaults.sidecar.resources,
                Some(value) => resources(value)?,
            },
            mode: match args.sidecar_mode {
                SidecarMode::Auto => DefaultMode::Auto,
                SidecarMode::Endpoint => DefaultMode::Endpoint,
                SidecarMode::Redirect => DefaultMode::Redirect,
            },
            unlabelled: args.unlabelled_pod_security.map(level),
            pull_secrets: args.sidecar_pull_secrets.into_iter().map(name).collect::<Result<_, _>>()?,
            host_ports: match args.host_network_ports {
                None => defaults.sidecar.host_ports,
                Some(range) => ports(range)?,
            },
            variables: args.sidecar_variables.map_or(Ok(Vec::new()), sidecar_variables::read)?,
        };
        let settings = Settings {
            tenant_id: args.tenant_id.map(|tenant| check("--tenant-id", tenant, guid, is_tenant)).transpose()?,
            authority_host: authority("--authority-host", authority_host)?.to_string(),
            audience: check("--audience", audience, WORD, is_word)?,
            mount_path: mount_path.trim_end_matches('/').to_owned(),
            annotated: match args.annotated_service_accounts {
                AnnotatedServiceAccounts::Enabled => Annotated::Enabled,
                AnnotatedServiceAccounts::Observe => Annotated::Observe,
                AnnotatedServiceAccounts::Disabled => Annotated::Disabled,
            },
            strict: args.strict,
            token_endpoint: token_endpoint::read(args.token_endpoint)?,
            sidecar,
            ..defaults
        };
        let native_sidecar = match args.native_sidecar {
            NativeSidecar::Auto => None,
            NativeSidecar::Always => Some(true),
            NativeSidecar::Never => Some(false),
        };
        Ok(Self { settings, native_sidecar })
    }
}

pub(super) const WORD: &str = "one word, not empty";

/// As the sidecar reads it, which would not start otherwise.
pub(super) fn authority(flag: &'static str, value: String) -> Result<AuthorityHost, Invalid> {
    let expected = "an https URL with a host, without user, query or fragment";
    value.parse().map_err(|_| Invalid::Value { flag, value, expected })
}

fn level(level: Level) -> PodSecurity {
    match level {
        Level::Privileged => PodSecurity::Privileged,
        Level::Baseline => PodSecurity::Baseline,
        Level::Restricted => PodSecurity::Restricted,
    }
}

fn resources(value: String) -> Result<Resources, Invalid> {
    let expected = "JSON of requests and limits, each of cpu, memory and ephemeral-storage, no request above its limit";
    value.parse().map_err(|_| Invalid::Value { flag: "--sidecar-resources", value, expected })
}

/// `18000-18999`, both ends counted.
fn ports(value: String) -> Result<RangeInclusive<u16>, Invalid> {
    let ends = value.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let ends = ends.filter(|(first, last)| *first > 0 && first <= last);
    let expected = "two ports of 1 to 65535 such as 18000-18999, the lower one first";
    ends.map(|(first, last)| first..=last).ok_or(Invalid::Value { flag: "--host-network-ports", value, expected })
}

/// As the sidecar reads it, which would not start otherwise.
fn is_tenant(value: &str) -> bool {
    value.parse::<TenantId>().is_ok()
}

/// What the API server takes as a `mountPath`; anything else would fail every pod that gets an identity.
fn is_mount_path(value: &str) -> bool {
    value.starts_with('/') && !value.trim_end_matches('/').is_empty() && !value.contains([':', '\0'])
}
