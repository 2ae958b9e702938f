//! What surrounds a pod in the tests, and its admission.

use podbadge_webhook_core::{
    contract,
    decision::{self, Known, OptIn, Outcome, Screen},
    identity::{Namespace, ServiceAccount},
    pod::{Name, Pod},
    resources::{Limits, Spec},
    settings::{self, DefaultMode, Roots, Settings},
    value::Expiration,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The namespace that every pod of the tests lives in.
const NAMESPACE: &str = "shop";

/// `cluster.yaml`: the pod's service account and namespace, and the settings that differ from their defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Absent where there is no such service account.
    pub(crate) service_account: Option<Object>,
    #[serde(default)]
    pub(crate) namespace: Object,
    /// The `spec` of each LimitRange of the namespace.
    #[serde(default)]
    pub(crate) limit_ranges: Vec<Spec>,
    #[serde(default)]
    pub(crate) settings: Overrides,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Object {
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Overrides {
    pub(crate) tenant_id: Option<String>,
    pub(crate) authority_host: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) mount_path: Option<String>,
    pub(crate) expiration: Option<String>,
    pub(crate) annotated: Option<Annotated>,
    pub(crate) image: Option<String>,
    pub(crate) native: bool,
    /// JSON, as the operator writes it.
    pub(crate) resources: Option<String>,
    pub(crate) strict: bool,
    pub(crate) mode: Option<Mode>,
    pub(crate) unlabelled: Option<String>,
    pub(crate) pull_secrets: Vec<String>,
    /// Of the sidecar, by name.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) token_endpoint: Option<TokenEndpoint>,
}

/// The custom token endpoint, with at most one source of its certificates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenEndpoint {
    suffix: String,
    audience: String,
    url: Option<String>,
    sni_name: Option<String>,
    ca_data: Option<String>,
    ca_config_map: Option<String>,
    ca_signer: Option<String>,
    ca_selector: Option<Value>,
    without_bundles: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Auto,
    Endpoint,
    Redirect,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Annotated {
    Enabled,
    Observe,
    Disabled,
}

/// What came of a pod.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The reason of an allowed pod, or `denied`.
    pub(crate) outcome: &'static str,
    pub(crate) denial: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) patch: Option<json_patch::Patch>,
    /// With the patch applied.
    pub(crate) pod: Value,
}

// === impl Cluster ===

impl Cluster {
    /// Admits the pod as the webhook does.
    pub(crate) fn admit(&self, pod: &Value) -> Admission {
        let settings = self.settings.settings();
        let account = self.service_account.as_ref().map(|account| ServiceAccount::from_annotations(account.pairs()));
        let namespace = Namespace::read(self.namespace.labels(), self.namespace.pairs());
        let limits = self.limit_ranges.iter().fold(Limits::default(), |limits, spec| limits.and(&spec.into()));
        let text = serde_json::to_vec(pod).unwrap();
        let view = Pod::from_json(&text).unwrap();
        let opt_in = match decision::screen(&view, &settings) {
            Screen::LookUp(opt_in) => opt_in,
            Screen::Skip(reason) => {
                let mut warnings = Vec::new();
                decision::warn_of_odd_label(&view, &mut warnings);
                return Admission::unchanged(reason.as_str(), &warnings, pod);
            }
        };
        // Another pod, other bits: an admission that does not keep to what the first one chose is found out.
        let random = text
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u128, byte| (hash ^ u128::from(*byte)).wrapping_mul(0x100_0000_01b3));
        let known = Known { service_account: account.as_ref(), namespace: &namespace, limits: &limits, random };
        Admission::new(decide(&view, opt_in, known, &settings), pod)
    }
}

fn decide(view: &Pod<'_>, opt_in: OptIn, known: Known<'_>, settings: &Settings) -> Outcome {
    decision::decide(view, NAMESPACE, opt_in, known, settings)
}

impl Object {
    pub(crate) fn annotated(pairs: &[(&str, &str)]) -> Self {
        let annotations = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { labels: BTreeMap::new(), annotations }
    }

    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl Overrides {
    pub(crate) fn settings(&self) -> Settings {
        let default = Settings::default();
        let or = |own: &Option<String>, default: String| own.clone().unwrap_or(default);
        Settings {
            tenant_id: self.tenant_id.clone(),
            authority_host: or(&self.authority_host, default.authority_host),
            audience: or(&self.audience, default.audience),
            mount_path: or(&self.mount_path, default.mount_path),
            expiration: self
                .expiration
                .as_ref()
                .map_or(default.expiration, |seconds| Expiration::parse(seconds).unwrap()),
            annotated: match self.annotated {
                None => default.annotated,
                Some(Annotated::Enabled) => settings::Annotated::Enabled,
                Some(Annotated::Observe) => settings::Annotated::Observe,
                Some(Annotated::Disabled) => settings::Annotated::Disabled,
            },
            strict: self.strict,
            token_endpoint: self.token_endpoint.as_ref().map(TokenEndpoint::settings),
            sidecar: settings::Sidecar {
                // The default names the version, which is not what these tests are about.
                image: or(&self.image, "example.test/podbadge-sidecar:1".to_owned()),
                native: self.native,
                resources: self
                    .resources
                    .as_ref()
                    .map_or(default.sidecar.resources, |resources| resources.parse().unwrap()),
                mode: match self.mode {
                    None => default.sidecar.mode,
                    Some(Mode::Auto) => DefaultMode::Auto,
                    Some(Mode::Endpoint) => DefaultMode::Endpoint,
                    Some(Mode::Redirect) => DefaultMode::Redirect,
                },
                unlabelled: self.unlabelled.as_deref().and_then(|level| {
                    let label = [(contract::POD_SECURITY_ENFORCE, level)];
                    Namespace::read(label, []).pod_security
                }),
                pull_secrets: self.pull_secrets.clone(),
                variables: self
                    .variables
                    .iter()
                    .map(|(name, value)| (Name::from_variable(name).unwrap(), value.clone()))
                    .collect(),
                ..default.sidecar
            },
        }
    }
}

impl TokenEndpoint {
    fn settings(&self) -> settings::TokenEndpoint {
        let roots = match (&self.ca_data, &self.ca_config_map, &self.ca_signer) {
            (Some(data), ..) => Roots::Data(data.clone()),
            (_, Some(name), _) => Roots::ConfigMap(name.clone()),
            (_, _, Some(signer)) => Roots::Bundles {
                signer: signer.clone(),
                selector: self.ca_selector.clone().unwrap_or_else(|| serde_json::json!({})),
                served: !self.without_bundles,
            },
            _ => Roots::Public,
        };
        settings::TokenEndpoint {
            annotation: format!("{}{}", contract::USE_TOKEN_ENDPOINT, self.suffix),
            audience: self.audience.clone(),
            url: self.url.clone(),
            sni_name: self.sni_name.clone(),
            roots,
        }
    }
}

// === impl Admission ===

impl Admission {
    fn new(outcome: Outcome, pod: &Value) -> Self {
        match outcome {
            Outcome::Deny { denial, warnings } => {
                Self { denial: Some(denial.to_string()), ..Self::unchanged("denied", &warnings, pod) }
            }
            Outcome::Allow { reason, patch, warnings, identity: _ } => {
                let mut admission = Self::unchanged(reason.as_str(), &warnings, pod);
                if let Some(patch) = patch {
                    let patch: json_patch::Patch = serde_json::from_slice(patch.as_bytes()).unwrap();
                    json_patch::patch(&mut admission.pod, &patch).unwrap();
                    admission.patch = Some(patch);
                }
                admission
            }
        }
    }

    fn unchanged(outcome: &'static str, warnings: &[podbadge_webhook_core::warning::Warning], pod: &Value) -> Self {
        Self {
            outcome,
            denial: None,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            patch: None,
            pod: pod.clone(),
        }
    }
}
