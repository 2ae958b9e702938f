//! The operator's variables for all sidecars. A sidecar that cannot read one of its own does not start, and its pod with it,
//! so each is judged by the sidecar's rules at the webhook's start.

use super::{Invalid, token_endpoint::is_certificates};
use podbadge_sidecar_core::{ids::Resource, pass_through::PassThrough};
use podbadge_webhook_core::{pod::Name, value::is_word};
use std::{collections::BTreeMap, net::SocketAddr};

const FLAG: &str = "--sidecar-variables";

pub(super) fn read(value: String) -> Result<Vec<(Name, String)>, Invalid> {
    let Ok(variables) = serde_json::from_str::<BTreeMap<String, String>>(&value) else {
        return Err(Invalid::Value { flag: FLAG, value, expected: "a JSON object of names to strings" });
    };
    variables.into_iter().map(|(name, value)| variable(name, value)).collect()
}

fn variable(name: String, value: String) -> Result<(Name, String), Invalid> {
    let known = Name::OPERATORS.into_iter().find(|(_, own)| *own == name).map(|(known, _)| known);
    let Some(known) = known else {
        let expected = "of HTTPS_PROXY, NO_PROXY, AZURE_REGIONAL_AUTHORITY_NAME, PODBADGE_CREDENTIAL_SPREADING_SECONDS, \
                        PODBADGE_MAX_TOKEN_AGE_SECONDS, PODBADGE_METRICS_ADDRESS, PODBADGE_READY_RESOURCE, PODBADGE_LOG, \
                        PODBADGE_CA_DATA, PODBADGE_PASS_THROUGH";
        return Err(Invalid::Value { flag: FLAG, value: name, expected });
    };
    match expected(known, &value) {
        None => Ok((known, value)),
        Some(expected) => {
            // The proxy's URL may hold a password, and what should be a certificate may be a key.
            let shown = if matches!(known, Name::Proxy | Name::CaData) { name } else { format!("{name}={value}") };
            Err(Invalid::Value { flag: FLAG, value: shown, expected })
        }
    }
}

/// What the variable must hold, if it holds anything else.
fn expected(name: Name, value: &str) -> Option<&'static str> {
    let seconds = |range: std::ops::RangeInclusive<u32>| value.parse().is_ok_and(|seconds| range.contains(&seconds));
    let (right, expected) = match name {
        Name::CredentialSpreading => (seconds(0..=3_600), "0 to 3600 seconds"),
        Name::MaxTokenAge => (seconds(300..=86_400), "300 to 86400 seconds"),
        Name::MetricsAddress => (value.parse::<SocketAddr>().is_ok(), "an IP address and a port such as 0.0.0.0:8096"),
        Name::ReadyResource => (value.parse::<Resource>().is_ok(), "a resource such as https://vault.azure.net"),
        Name::Log => {
            (matches!(value, "error" | "warn" | "info" | "debug" | "trace"), "error, warn, info, debug or trace")
        }
        Name::Region => (is_region(value), "a region's name such as westeurope"),
        Name::CaData => (is_certificates(value), "certificates in PEM"),
        Name::PassThrough => (
            value.parse::<PassThrough>().is_ok(),
            "paths such as /metadata/instance;/metadata/versions, never of /metadata/identity",
        ),
        Name::Proxy => (is_proxy(value), "an http or https URL such as http://proxy.example:3128"),
        _ => (is_word(value), "one word, not empty"),
    };
    (!right).then_some(expected)
}

fn is_region(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_proxy(value: &str) -> bool {
    let scheme = ["http://", "https://"].into_iter().find_map(|scheme| value.strip_prefix(scheme));
    is_word(value) && scheme.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
}
