//! A container's variables, as far as they decide something.

use super::Text;
use podbadge_sidecar_core::contract;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

/// The variables that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Name {
    /// `AZURE_CLIENT_ID`
    ClientId,
    /// `AZURE_TENANT_ID`
    TenantId,
    /// `AZURE_FEDERATED_TOKEN_FILE`
    FederatedTokenFile,
    /// `AZURE_AUTHORITY_HOST`
    AuthorityHost,
    /// `IDENTITY_ENDPOINT`
    IdentityEndpoint,
    /// `IDENTITY_HEADER`
    IdentityHeader,
    /// `AZURE_POD_IDENTITY_AUTHORITY_HOST`
    PodIdentityAuthorityHost,
    /// `PODBADGE_PORT`
    Port,
    /// `PODBADGE_IDENTITY_HEADER`
    ExpectedIdentityHeader,
    /// Any spelling of `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`.
    Proxy,
    /// What makes the SDKs' chains take a secret, a certificate or a password before any managed identity:
    /// `AZURE_CLIENT_SECRET`, `AZURE_CLIENT_CERTIFICATE_PATH`, `AZURE_USERNAME`.
    OtherCredential,
    /// `PODBADGE_ALLOWED_CLIENT_IDS`
    AllowedClientIds,
    /// `PODBADGE_IDENTITY_MAP`
    IdentityMap,
    /// `PODBADGE_IMDS`
    Imds,
    /// `AZURE_KUBERNETES_TOKEN_PROXY`
    TokenProxy,
    /// `AZURE_KUBERNETES_SNI_NAME`
    SniName,
    /// `AZURE_KUBERNETES_CA_FILE`
    TokenProxyCaFile,
    /// `AZURE_KUBERNETES_CA_DATA`
    TokenProxyCaData,
    /// `NO_PROXY` or `no_proxy`
    NoProxy,
    /// `AZURE_REGIONAL_AUTHORITY_NAME`
    Region,
    /// `PODBADGE_CREDENTIAL_SPREADING_SECONDS`
    CredentialSpreading,
    /// `PODBADGE_MAX_TOKEN_AGE_SECONDS`
    MaxTokenAge,
    /// `PODBADGE_METRICS_ADDRESS`
    MetricsAddress,
    /// `PODBADGE_READY_RESOURCE`
    ReadyResource,
    /// `PODBADGE_LOG`
    Log,
    /// `PODBADGE_CA_DATA`
    CaData,
    /// `PODBADGE_PASS_THROUGH`
    PassThrough,
}

/// The variables of [`Name`] that a container sets by itself, and its proxy exceptions.
#[derive(Clone, Debug, Default)]
pub struct Env<'a> {
    set: u32,
    /// The literal values of the few that are compared or used again.
    values: Vec<(Name, Text<'a>)>,
    no_proxy: Vec<NoProxy<'a>>,
}

/// `NO_PROXY` or `no_proxy`.
#[derive(Clone, Debug)]
pub struct NoProxy<'a> {
    /// Its place in the container's list.
    pub index: usize,
    /// As the container spells it.
    pub name: Text<'a>,
    /// Absent where the value comes from elsewhere.
    pub value: Option<Text<'a>>,
}

/// Whether a container has `envFrom` at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnvFrom(pub bool);

#[derive(serde::Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub(super) struct Variable<'a> {
    #[serde(default)]
    name: Text<'a>,
    value: Option<Text<'a>>,
    value_from: Option<IgnoredAny>,
}

// === impl Name ===

impl Name {
    /// The variables that the operator may set for all sidecars, and what they are called.
    pub const OPERATORS: [(Self, &'static str); 10] = [
        (Self::Proxy, "HTTPS_PROXY"),
        (Self::NoProxy, "NO_PROXY"),
        (Self::Region, contract::REGION),
        (Self::CredentialSpreading, contract::CREDENTIAL_SPREADING),
        (Self::MaxTokenAge, contract::MAX_TOKEN_AGE),
        (Self::MetricsAddress, contract::METRICS_ADDRESS),
        (Self::ReadyResource, contract::READY_RESOURCE),
        (Self::Log, contract::LOG),
        (Self::CaData, contract::CA_DATA),
        (Self::PassThrough, contract::PASS_THROUGH),
    ];

    /// Finds the variable by the name it has in a pod.
    pub fn from_variable(name: &str) -> Option<Self> {
        Some(match name {
            contract::CLIENT_ID => Self::ClientId,
            contract::TENANT_ID => Self::TenantId,
            contract::FEDERATED_TOKEN_FILE => Self::FederatedTokenFile,
            contract::AUTHORITY_HOST => Self::AuthorityHost,
            contract::IDENTITY_ENDPOINT => Self::IdentityEndpoint,
            contract::IDENTITY_HEADER => Self::IdentityHeader,
            contract::POD_IDENTITY_AUTHORITY_HOST => Self::PodIdentityAuthorityHost,
            contract::PORT => Self::Port,
            contract::EXPECTED_IDENTITY_HEADER => Self::ExpectedIdentityHeader,
            "HTTP_PROXY" | "HTTPS_PROXY" | "ALL_PROXY" | "http_proxy" | "https_proxy" | "all_proxy" => Self::Proxy,
            "AZURE_CLIENT_SECRET" | "AZURE_CLIENT_CERTIFICATE_PATH" | "AZURE_USERNAME" => Self::OtherCredential,
            contract::ALLOWED_CLIENT_IDS => Self::AllowedClientIds,
            contract::IDENTITY_MAP => Self::IdentityMap,
            contract::IMDS => Self::Imds,
            contract::TOKEN_PROXY => Self::TokenProxy,
            contract::SNI_NAME => Self::SniName,
            contract::TOKEN_PROXY_CA_FILE => Self::TokenProxyCaFile,
            contract::TOKEN_PROXY_CA_DATA => Self::TokenProxyCaData,
            "no_proxy" => Self::NoProxy,
            _ => return Self::OPERATORS.into_iter().find(|(_, own)| *own == name).map(|(known, _)| known),
        })
    }

    /// Whether its value decides something, and not only that it is there.
    fn is_read(self) -> bool {
        matches!(self, Self::ClientId | Self::TenantId | Self::Port | Self::ExpectedIdentityHeader)
    }
}

// === impl Env ===

impl<'a> Env<'a> {
    /// Whether the container sets the variable.
    pub fn has(&self, name: Name) -> bool {
        self.set & (1 << name as u8) != 0
    }

    /// The value of a variable, if it stands there and is one of the few that are read: client and tenant id, the
    /// sidecar's port and header.
    pub fn value(&self, name: Name) -> Option<&str> {
        self.values.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// The container's own proxy exceptions.
    pub fn no_proxy(&self) -> &[NoProxy<'a>] {
        &self.no_proxy
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Env<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Folding;

        impl<'de> Visitor<'de> for Folding {
            type Value = Env<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of variables")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                let mut env = Env::default();
                let mut index = 0;
                while let Some(Variable { name, value, value_from }) = list.next_element::<Variable<'de>>()? {
                    if let Some(known) = Name::from_variable(name.as_str()) {
                        env.set |= 1 << known as u8;
                        if known == Name::NoProxy {
                            let value = value_from.is_none().then(|| value.unwrap_or_default());
                            env.no_proxy.push(NoProxy { index, name, value });
                        } else if known.is_read() {
                            // Of several the kubelet takes the last, whatever it holds.
                            env.values.retain(|(own, _)| *own != known);
                            env.values.extend(value.filter(|_| value_from.is_none()).map(|value| (known, value)));
                        }
                    }
                    index += 1;
                }
                Ok(env)
            }
        }

        from.deserialize_seq(Folding)
    }
}

impl<'de> Deserialize<'de> for EnvFrom {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NotEmpty;

        impl<'de> Visitor<'de> for NotEmpty {
            type Value = EnvFrom;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of sources of variables")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
                let mut any = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    any = true;
                }
                Ok(EnvFrom(any))
            }
        }

        from.deserialize_seq(NotEmpty)
    }
}
