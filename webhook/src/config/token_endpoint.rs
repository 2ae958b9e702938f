//! The custom token endpoint, by the start-up rules of Azure Workload Identity: a half-configured one would be noticed only
//! when a pod asks for it.

use super::{
    Invalid, check, is_name,
    policy::{WORD, authority},
};
use crate::args::TokenEndpointArgs;
use podbadge_sidecar_core::contract::DEFAULT_AUDIENCE;
use podbadge_webhook_core::{
    contract,
    settings::{Roots, TokenEndpoint},
    value::is_word,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

const SUFFIX: &str = "--custom-token-endpoint-annotation-suffix";
const AUDIENCE: &str = "--custom-token-endpoint-audience";

/// The endpoint, if there is one. Its certificates are judged in any case.
pub(super) fn read(args: TokenEndpointArgs) -> Result<Option<TokenEndpoint>, Invalid> {
    let TokenEndpointArgs {
        annotation_suffix,
        audience,
        url,
        sni_name,
        ca_data,
        ca_config_map,
        ca_signer,
        ca_label_selector,
    } = args;
    let roots = roots(ca_data, ca_config_map, ca_signer, ca_label_selector)?;
    let (suffix, audience) = match (annotation_suffix, audience) {
        (None, None) => return Ok(None),
        (Some(suffix), Some(audience)) => (suffix, audience),
        (Some(_), None) | (None, Some(_)) => {
            return Err(Invalid::Together(
                "--custom-token-endpoint-annotation-suffix and --custom-token-endpoint-audience go together: set both, or none",
            ));
        }
    };
    let suffix = check(
        SUFFIX,
        suffix,
        "letters, digits, '-', '_' and '.' with a letter or digit at the end, at most 59",
        is_suffix,
    )?;
    let other = |value: &str| is_word(value) && !value.eq_ignore_ascii_case(DEFAULT_AUDIENCE);
    let url = url.map(|url| authority("--custom-token-endpoint-url", url.clone()).map(|_| url)).transpose()?;
    let sni_name = sni_name.map(|name| check("--custom-token-endpoint-sni-name", name, "a DNS name", is_server_name));
    Ok(Some(TokenEndpoint {
        annotation: format!("{}{suffix}", contract::USE_TOKEN_ENDPOINT),
        audience: check(AUDIENCE, audience, "one word, another audience than api://AzureADTokenExchange", other)?,
        url,
        sni_name: sni_name.transpose()?,
        roots,
    }))
}

fn roots(
    data: Option<String>,
    config_map: Option<String>,
    signer: Option<String>,
    selector: Option<String>,
) -> Result<Roots, Invalid> {
    if selector.is_some() && signer.is_none() {
        return Err(Invalid::Together(
            "--custom-token-endpoint-ca-label-selector selects bundles of a signer: set --custom-token-endpoint-ca-signer too",
        ));
    }
    let pem = |data| check("--custom-token-endpoint-ca-data", data, "certificates in PEM", is_certificates);
    match (data, config_map, signer) {
        (None, None, None) => Ok(Roots::Public),
        (Some(data), None, None) => Ok(Roots::Data(pem(data)?)),
        (None, Some(name), None) => {
            Ok(Roots::ConfigMap(check("--custom-token-endpoint-ca-config-map", name, "a Kubernetes name", is_name)?))
        }
        (None, None, Some(signer)) => Ok(Roots::Bundles {
            signer: check("--custom-token-endpoint-ca-signer", signer, WORD, is_word)?,
            selector: selector.map_or_else(|| Ok(serde_json::json!({})), label_selector)?,
            served: true,
        }),
        _ => Err(Invalid::Together(
            "only one of --custom-token-endpoint-ca-data, --custom-token-endpoint-ca-config-map and \
             --custom-token-endpoint-ca-signer can be set",
        )),
    }
}

fn label_selector(value: String) -> Result<serde_json::Value, Invalid> {
    let expected = "a label selector in JSON such as {\"matchLabels\":{\"app\":\"x\"}}";
    let fields = |selector: &serde_json::Map<String, serde_json::Value>| {
        selector.keys().all(|key| matches!(key.as_str(), "matchLabels" | "matchExpressions"))
    };
    match serde_json::from_str(&value) {
        Ok(serde_json::Value::Object(selector)) if fields(&selector) => Ok(selector.into()),
        _ => Err(Invalid::Value { flag: "--custom-token-endpoint-ca-label-selector", value, expected }),
    }
}

/// What may follow `use-` in an annotation's name, of which 63 characters are allowed
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set>).
fn is_suffix(value: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=59).contains(&value.len())
        && value.bytes().all(within)
        && value.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric())
}

fn is_server_name(value: &str) -> bool {
    rustls::pki_types::DnsName::try_from(value).is_ok()
}

/// Whether the text is what the sidecar takes: at least one certificate, each fit to be a root.
pub(super) fn is_certificates(value: &str) -> bool {
    let mut certificates = CertificateDer::pem_slice_iter(value.as_bytes()).peekable();
    let is_root = |certificate| rustls::RootCertStore::empty().add(certificate).is_ok();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok_and(is_root))
}
