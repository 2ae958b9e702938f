//! Pods and clusters of all kinds, with what users and other webhooks write into them.

use crate::cluster::{Annotated, Cluster, Mode, Object, Overrides};
use podbadge_webhook_core::contract;
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

const CLIENT_ID: &str = "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f";
pub(crate) const OTHER_ID: &str = "5b2e3f4d-6c7f-4e8b-9dac-1b2c3d4e5f60";
const TENANT_ID: &str = "7c0e6a52-3f7e-4a52-9a06-5d6bb0a2f3c4";

const VARIABLES: [&str; 18] = [
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "PODBADGE_PORT",
    "PODBADGE_IDENTITY_HEADER",
    "HTTP_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "PATH",
    "azure_client_id",
    "LOG_LEVEL",
    "AZURE_CLIENT_SECRET",
    "AZURE_KUBERNETES_CA_FILE",
];
const TEXTS: [&str; 6] = ["", "x", "*", ".svc, localhost", "127.0.0.1,localhost,169.254.169.254", "\"é\\\n"];
const NAMES: [&str; 6] = ["podbadge-sidecar", "podbadge-redirect", "azwi-proxy", "azwi-proxy-init", "web", "mesh"];

/// What another webhook may do between two admissions.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    AddContainer { list: &'static str, first: bool, container: Value },
    Reverse(&'static str),
    AddVariable { name: &'static str, value: &'static str },
    AddVolume,
    RenameLabel,
}

/// Any JSON.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        select(&VARIABLES[..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(&["name", "env", "value", "x"][..]), inner), 0..4)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// A pod that the API server could send.
pub(crate) fn pod() -> impl Strategy<Value = Value> {
    let containers = (vec(container(), 1..4), option::of(vec(container(), 0..3)));
    (metadata(), containers, listed(volume(), 3), flags(), unknown()).prop_map(
        |(metadata, (mut main, mut init), volumes, flags, unknown)| {
            unique_names(init.iter_mut().flatten().chain(&mut main));
            let mut spec = unknown;
            spec.extend(flags);
            spec.insert("containers".to_owned(), main.into());
            spec.insert("serviceAccountName".to_owned(), "web".into());
            insert(&mut spec, "initContainers", init.map(Value::from));
            insert(&mut spec, "volumes", volumes.map(|list| unique(list, "name")));
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec })
        },
    )
}

/// Accounts, namespaces and settings, most of them with an identity.
pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let account = (
        option::weighted(0.9, Just(CLIENT_ID)),
        option::weighted(0.5, Just(TENANT_ID)),
        option::weighted(0.2, select(&["3600", "86400"][..])),
        option::weighted(0.2, select(&["endpoint", "redirect", "none"][..])),
        option::weighted(0.2, Just(OTHER_ID)),
    )
        .prop_map(|(client_id, tenant_id, expiration, sidecar, allowed)| {
            annotations([
                (contract::CLIENT_ID, client_id),
                (contract::TENANT_ID, tenant_id),
                (contract::TOKEN_EXPIRATION, expiration),
                (contract::SIDECAR, sidecar),
                (contract::ALLOWED_CLIENT_IDS, allowed),
            ])
        });
    let tenant = option::weighted(0.8, Just("contoso.onmicrosoft.com".to_owned()));
    let annotated = option::of(select(&[Annotated::Enabled, Annotated::Observe, Annotated::Disabled][..]));
    let mode = option::of(select(&[Mode::Auto, Mode::Endpoint, Mode::Redirect][..]));
    let secrets = vec(select(&["pull", "registry"][..]), 0..2);
    (account, tenant, annotated, any::<bool>(), mode, secrets).prop_map(
        |(account, tenant_id, annotated, native, mode, secrets)| {
            let pull_secrets = secrets.into_iter().map(str::to_owned).collect();
            Cluster {
                service_account: Some(account),
                namespace: Object::default(),
                limit_ranges: Vec::new(),
                settings: Overrides { tenant_id, annotated, native, mode, pull_secrets, ..Overrides::default() },
            }
        },
    )
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let lists = || select(&["containers", "initContainers"][..]);
    let edit = prop_oneof![
        (lists(), any::<bool>(), container()).prop_map(|(list, first, container)| Edit::AddContainer {
            list,
            first,
            container,
        }),
        lists().prop_map(Edit::Reverse),
        (select(&VARIABLES[..]), select(&TEXTS[..])).prop_map(|(name, value)| Edit::AddVariable { name, value }),
        Just(Edit::AddVolume),
        Just(Edit::RenameLabel),
    ];
    vec(edit, 0..4)
}

// === impl Edit ===

impl Edit {
    pub(crate) fn apply(&self, pod: &mut Value) {
        match self {
            Self::AddContainer { list, first, container } => {
                let mut container = container.clone();
                let count = pod["spec"][list].as_array().map_or(0, Vec::len);
                container["name"] = format!("added-to-{list}-{count}").into();
                let list = array(&mut pod["spec"][list]);
                list.insert(if *first { 0 } else { count }, container);
            }
            Self::Reverse(list) => {
                if let Some(list) = pod["spec"][list].as_array_mut() {
                    list.reverse();
                }
            }
            Self::AddVariable { name, value } => {
                for container in array(&mut pod["spec"]["containers"]) {
                    let env = array(&mut container["env"]);
                    if env.iter().all(|variable| variable["name"] != **name) {
                        env.push(json!({ "name": name, "value": value }));
                    }
                }
            }
            Self::AddVolume => {
                let volumes = array(&mut pod["spec"]["volumes"]);
                let name = format!("added-{}", volumes.len());
                volumes.insert(0, json!({ "name": name, "emptyDir": {} }));
            }
            Self::RenameLabel => pod["metadata"]["labels"]["mesh.example.test/rev"] = "renamed".into(),
        }
    }
}

fn array(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().unwrap()
}

fn metadata() -> impl Strategy<Value = Value> {
    let label = option::weighted(0.8, select(&["true", "true", "true", "yes", "false"][..]));
    let annotation = |values: &'static [&'static str]| option::weighted(0.3, select(values));
    let annotations = (
        annotation(&["endpoint", "endpoint", "none", "redirect"]),
        annotation(&["true", "true", "false", "maybe"]),
        annotation(&["8000", "9000", "0"]),
        annotation(&["3600", "7200", "10"]),
        annotation(&["web", " mesh; c1 ", "nobody", "c*"]),
        annotation(&["web", "*", "m?sh;c0", "nobody"]),
        option::weighted(0.1, Just(OTHER_ID)),
        annotation(&["web"]),
    )
        .prop_map(|(sidecar, inject, port, expiration, skip, include, client_id, default_container)| {
            annotations([
                (contract::SIDECAR, sidecar),
                (contract::INJECT_PROXY_SIDECAR, inject),
                (contract::PROXY_SIDECAR_PORT, port),
                (contract::TOKEN_EXPIRATION, expiration),
                (contract::SKIP_CONTAINERS, skip),
                (contract::INCLUDE_CONTAINERS, include),
                (contract::POD_CLIENT_ID, client_id),
                (contract::DEFAULT_CONTAINER, default_container),
                ("prometheus.io/scrape", Some("true")),
            ])
        });
    (label, annotations, unknown()).prop_map(|(label, annotations, mut metadata)| {
        let mut labels = json!({ "app": "web" });
        if let Some(label) = label {
            labels[contract::USE] = label.into();
        }
        metadata.insert("generateName".to_owned(), "web-".into());
        metadata.insert("labels".to_owned(), labels);
        if annotations.annotations.len() > 1 {
            metadata.insert("annotations".to_owned(), json!(annotations.annotations));
        }
        Value::Object(metadata)
    })
}

fn container() -> impl Strategy<Value = Value> {
    let ports = vec(select(vec![json!({ "containerPort": 8000 }), json!({ "containerPort": 80 })]), 0..2);
    (
        option::weighted(0.5, select(&NAMES[..])),
        listed(variable(), 6),
        listed(Just(json!({ "configMapRef": { "name": "more" } })), 2),
        listed(mount(), 3),
        ports,
        unknown(),
    )
        .prop_map(|(name, env, env_from, mounts, ports, mut container)| {
            insert(&mut container, "name", name.map(Value::from));
            container.insert("image".to_owned(), "example.test/any:1".into());
            container.insert("ports".to_owned(), ports.into());
            insert(&mut container, "env", env.map(|list| unique(list, "name")));
            insert(&mut container, "envFrom", env_from);
            insert(&mut container, "volumeMounts", mounts.map(|list| unique(list, "mountPath")));
            Value::Object(container)
        })
}

fn variable() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(None),
        select(&TEXTS[..]).prop_map(|text| Some(("value", json!(text)))),
        Just(Some(("valueFrom", json!({ "fieldRef": { "fieldPath": "metadata.name" } })))),
    ];
    (select(&VARIABLES[..]), value, unknown()).prop_map(|(name, value, mut variable)| {
        variable.insert("name".to_owned(), name.into());
        if let Some((key, value)) = value {
            variable.insert(key.to_owned(), value);
        }
        Value::Object(variable)
    })
}

fn mount() -> impl Strategy<Value = Value> {
    let mounts = [
        json!({ "name": "data", "mountPath": "/data" }),
        json!({ "name": "data", "mountPath": format!("{}/", contract::MOUNT_PATH) }),
        json!({ "name": contract::VOLUME, "mountPath": "/own/", "readOnly": true }),
        json!({ "name": contract::VOLUME, "mountPath": "/one/token", "subPath": "token" }),
    ];
    select(mounts.to_vec())
}

fn volume() -> impl Strategy<Value = Value> {
    let token = |audience: &str| {
        let source =
            json!({ "serviceAccountToken": { "audience": audience, "path": "token", "expirationSeconds": 600 } });
        json!({ "name": contract::VOLUME, "projected": { "sources": [{ "configMap": { "name": "x" } }, source] } })
    };
    let volumes = [
        json!({ "name": "data", "emptyDir": {} }),
        json!({ "name": "more", "futureKind": { "a": [1, 2] } }),
        token("api://AzureADTokenExchange"),
        token("vault"),
    ];
    prop_oneof![4 => select(volumes[..2].to_vec()), 1 => select(volumes[2..].to_vec())]
}

fn flags() -> impl Strategy<Value = Map<String, Value>> {
    let flags = [
        ("hostNetwork", json!(true)),
        ("shareProcessNamespace", json!(true)),
        ("imagePullSecrets", json!([{ "name": "registry" }])),
        ("restartPolicy", json!("Never")),
        ("resources", json!({ "limits": { "cpu": "1" } })),
        ("os", json!({ "name": "windows" })),
        ("nodeSelector", json!({ "kubernetes.io/os": "linux" })),
    ];
    flags
        .map(|flag| option::weighted(0.1, Just(flag)))
        .to_vec()
        .prop_map(|chosen| chosen.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// A field that this build has never heard of.
fn unknown() -> impl Strategy<Value = Map<String, Value>> {
    option::weighted(0.2, json())
        .prop_map(|value| value.map(|value| ("fieldOfTomorrow".to_owned(), value)).into_iter().collect())
}

/// Absent, `null`, or a list.
fn listed(item: impl Strategy<Value = Value>, longest: usize) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        3 => vec(item, 0..=longest).prop_map(|list| Some(list.into())),
    ]
}

fn annotations<const N: usize>(pairs: [(&str, Option<&str>); N]) -> Object {
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    Object::annotated(&pairs)
}

fn insert(map: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value);
    }
}

fn unique(mut list: Value, key: &str) -> Value {
    let mut seen = HashSet::new();
    if let Some(list) = list.as_array_mut() {
        list.retain(|item| seen.insert(item[key].to_string()));
    }
    list
}

fn unique_names<'a>(containers: impl Iterator<Item = &'a mut Value>) {
    let mut seen = HashSet::new();
    for (index, container) in containers.enumerate() {
        let name = container["name"].as_str().map(str::to_owned);
        container["name"] = match name.filter(|name| seen.insert(name.clone())) {
            Some(name) => name.into(),
            None => format!("c{index}").into(),
        };
    }
}
