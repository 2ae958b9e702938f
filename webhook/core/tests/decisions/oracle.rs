//! A second opinion: the admitted pod is read with the Kubernetes types, and judged by what it means to the kubelet and to
//! the SDKs, with nothing of the code that made the patch.

use crate::{
    cluster::{Admission, Cluster, Mode},
    generate,
    properties::config,
};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, VolumeMount};
use proptest::prelude::*;
use serde_json::Value;

const VOLUME: &str = "azure-identity-token";
const MOUNT_PATH: &str = "/var/run/secrets/azure/tokens";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Who answers for tokens in a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Nothing,
    /// Applications see the endpoint alone.
    Endpoint,
    /// Applications see the endpoint and the token.
    Compatible,
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn kubernetes_types_agree(pod in generate::pod(), cluster in generate::cluster()) {
        let admission = cluster.admit(&pod);
        if matches!(admission.outcome, "injected" | "complete") {
            judge(&pod, &cluster, &admission);
        }
    }
}

fn judge(before: &Value, cluster: &Cluster, admission: &Admission) {
    let before: Pod = serde_json::from_value(before.clone()).unwrap();
    let after: Pod = serde_json::from_value(admission.pod.clone()).unwrap();
    let (was, is) = (before.spec.as_ref().unwrap(), after.spec.as_ref().unwrap());
    let annotations = before.metadata.annotations.clone().unwrap_or_default();
    let annotation = |key: &str| annotations.get(key).map_or("", String::as_str);
    let asked = asked(annotation, cluster, was);
    metadata(&before, &after);
    sidecar(was, is, asked, cluster.settings.native, annotation("azure.workload.identity/proxy-sidecar-port"));
    redirection(was, is, redirects(annotation, cluster, was));
    volume(was, is);
    for container in all(is) {
        unique(container);
        let own = all(was).find(|own| own.name == container.name);
        let left_alone = is_redirection(container) || skipped(annotation, &container.name) && !is_ours(container);
        if left_alone && own.is_some() {
            assert_eq!(Some(container), own);
            continue;
        }
        if is_redirection(container) {
            continue;
        }
        identity(container, cluster);
        if asked == Asked::Endpoint && !is_sidecar(container) {
            sees_no_token(container, was);
        } else {
            sees_token(container, is);
        }
        if !is_sidecar(container) {
            if asked != Asked::Nothing && !all(is).any(is_foreign) {
                sees_endpoint(container, is);
            } else {
                let endpoint = "IDENTITY_ENDPOINT";
                assert_eq!(variable(container, endpoint), variable(own.unwrap(), endpoint));
            }
        }
    }
}

fn skipped<'a>(annotation: impl Fn(&str) -> &'a str, name: &str) -> bool {
    let named = |key: &str| {
        let list: Vec<&str> = annotation(key).split(';').map(str::trim).filter(|name| !name.is_empty()).collect();
        (!list.is_empty()).then(|| list.iter().any(|pattern| glob(pattern, name)))
    };
    match named("podbadge.io/include-containers") {
        Some(included) => !included,
        None => named("azure.workload.identity/skip-containers").unwrap_or(false),
    }
}

fn glob(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), letter) => {
            glob(&pattern[1..], name) || letter.is_some_and(|letter| glob(pattern, &name[letter.len_utf8()..]))
        }
        (Some('?'), Some(letter)) => glob(&pattern[1..], &name[letter.len_utf8()..]),
        (Some(own), Some(letter)) => own == letter && glob(&pattern[own.len_utf8()..], &name[letter.len_utf8()..]),
        _ => false,
    }
}

/// Nothing but the container that `kubectl` means, which is not the sidecar.
fn metadata(before: &Pod, after: &Pod) {
    const DEFAULT: &str = "kubectl.kubernetes.io/default-container";
    let mut metadata = after.metadata.clone();
    let named = metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT).cloned());
    let own = before.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT).cloned());
    if own.is_none() && named.is_some() {
        let container =
            after.spec.as_ref().unwrap().containers.iter().find(|container| Some(&container.name) == named.as_ref());
        assert!(!is_sidecar(container.expect("a container of the pod")));
        metadata.annotations.as_mut().unwrap().remove(DEFAULT);
        metadata.annotations = metadata.annotations.filter(|annotations| !annotations.is_empty());
    }
    assert_eq!(metadata, before.metadata);
}

fn asked<'a>(annotation: impl Fn(&str) -> &'a str, cluster: &Cluster, spec: &PodSpec) -> Asked {
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return Asked::Nothing;
    }
    let account = cluster.service_account.as_ref().and_then(|account| account.annotations.get("podbadge.io/sidecar"));
    match (annotation("podbadge.io/sidecar"), annotation("azure.workload.identity/inject-proxy-sidecar")) {
        ("endpoint" | "redirect", _) => Asked::Endpoint,
        ("none", _) | ("", "false") => Asked::Nothing,
        ("", "true") => Asked::Compatible,
        ("", _) if account.is_some_and(|mode| mode != "none") => Asked::Endpoint,
        _ => Asked::Nothing,
    }
}

fn redirects<'a>(annotation: impl Fn(&str) -> &'a str, cluster: &Cluster, spec: &PodSpec) -> bool {
    let account = cluster.service_account.as_ref().and_then(|account| account.annotations.get("podbadge.io/sidecar"));
    let windows = spec.os.as_ref().is_some_and(|os| os.name == "windows");
    let asked = match (annotation("podbadge.io/sidecar"), annotation("azure.workload.identity/inject-proxy-sidecar")) {
        ("redirect", _) => true,
        ("", "true") => matches!(cluster.settings.mode, Some(Mode::Redirect)),
        ("", "false") => false,
        ("", _) => account.is_some_and(|mode| mode == "redirect"),
        _ => false,
    };
    asked && !windows && !all(spec).any(is_foreign) && !spec.containers.is_empty()
}

/// One redirection where one is asked for, with one capability and nothing else.
fn redirection(was: &PodSpec, is: &PodSpec, asked: bool) {
    let named = |container: &&Container| matches!(container.name.as_str(), "podbadge-redirect" | "azwi-proxy-init");
    let count = |spec: &PodSpec| all(spec).filter(named).count();
    if count(was) > 0 || !asked {
        assert_eq!(count(was), count(is));
        return;
    }
    assert_eq!(count(is), 1);
    assert_ne!(is.host_network, Some(true));
    let container = is.init_containers.iter().flatten().find(|container| is_redirection(container)).unwrap();
    let security = container.security_context.as_ref().unwrap();
    assert_eq!((security.run_as_user, security.privileged), (Some(0), Some(false)));
    assert_eq!(security.allow_privilege_escalation, Some(false));
    let capabilities = security.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(capabilities.add.as_deref(), Some(&["NET_ADMIN".to_owned()][..]));
    assert_eq!(container.command.as_ref().unwrap()[1], "redirect");
    assert_eq!(mounts(container).count(), 0);
    let port = all(is).find(|container| is_ours(container)).and_then(|sidecar| literal(sidecar, "PODBADGE_PORT"));
    assert_eq!(
        literal(container, "PODBADGE_PORT"),
        Some(port.filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0)).unwrap_or("8000"))
    );
}

/// One sidecar where one is asked for, none else, and an added one passes Pod Security `restricted`.
fn sidecar(was: &PodSpec, is: &PodSpec, asked: Asked, native: bool, port: &str) {
    let (had, has) = (all(was).filter(|c| is_sidecar(c)).count(), all(is).filter(|c| is_sidecar(c)).count());
    if had > 0 || asked == Asked::Nothing {
        assert_eq!(had, has);
        return;
    }
    assert_eq!(has, 1);
    let sidecar = if native { &is.init_containers.as_ref().unwrap()[0] } else { &is.containers[0] };
    assert_eq!(sidecar.name, "podbadge-sidecar");
    assert_eq!(sidecar.restart_policy.as_deref(), native.then_some("Always"));
    assert_eq!(sidecar.startup_probe.is_some(), native);
    assert_eq!(sidecar.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some()), !native);
    assert_eq!(sidecar.resources.is_none(), was.resources.is_some());
    let listens = literal(sidecar, "PODBADGE_PORT").unwrap();
    let declared: Vec<_> = sidecar.ports.iter().flatten().map(|port| port.container_port.to_string()).collect();
    if was.host_network == Some(true) {
        let range = listens.parse::<u16>().is_ok_and(|port| (18_000..=18_999).contains(&port));
        assert!(listens == port || range && port.is_empty(), "{listens}");
        assert_eq!(declared, [listens]);
        assert_eq!(literal(sidecar, "PODBADGE_IMDS"), Some("off"));
        assert!(literal(sidecar, "PODBADGE_IDENTITY_HEADER").is_some_and(|header| header.len() == 32));
    } else {
        assert_eq!(listens, if port.is_empty() { "8000" } else { port });
        assert!(declared.is_empty());
        assert_eq!(field(sidecar, "PODBADGE_IDENTITY_HEADER"), Some("metadata.uid"));
    }

    let security = sidecar.security_context.as_ref().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_ne!(security.privileged, Some(true));
    assert_eq!(security.run_as_non_root, Some(true));
    assert!(security.run_as_user.is_some_and(|user| user > 0));
    assert_eq!(security.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    let capabilities = security.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(capabilities.add, None);
    assert!(sidecar.ports.iter().flatten().all(|port| port.host_port.is_none()));
}

/// Whoever mounts the volume finds one of that name, with a token for Entra in it.
fn volume(was: &PodSpec, is: &PodSpec) {
    let named = |spec: &PodSpec| {
        spec.volumes.iter().flatten().filter(|volume| volume.name == VOLUME).cloned().collect::<Vec<_>>()
    };
    let (had, has) = (named(was), named(is));
    let mounted = all(is).flat_map(mounts).any(|mount| mount.name == VOLUME);
    assert!(has.len() <= 1);
    if mounted || !had.is_empty() {
        let token = token_path(is);
        assert!(token.is_some(), "{has:?}");
    } else {
        assert!(has.is_empty(), "nobody mounts it");
    }
    if !had.is_empty() {
        assert_eq!(had, has);
    }
}

/// Kubernetes refuses two mounts at a path, and takes the last of two variables.
fn unique(container: &Container) {
    let mut paths: Vec<_> = mounts(container).map(|mount| mount.mount_path.trim_end_matches('/')).collect();
    let mut names: Vec<_> = container.env.iter().flatten().map(|variable| &variable.name).collect();
    let (all_paths, all_names) = (paths.len(), names.len());
    paths.sort_unstable();
    paths.dedup();
    names.sort_unstable();
    names.dedup();
    assert_eq!((paths.len(), names.len()), (all_paths, all_names), "{container:?}");
}

fn identity(container: &Container, cluster: &Cluster) {
    let account = &cluster.service_account.as_ref().unwrap().annotations;
    let known = account.contains_key("azure.workload.identity/client-id");
    assert!(!known || variable(container, "AZURE_CLIENT_ID").is_some());
    assert!(variable(container, "AZURE_TENANT_ID").is_some());
    assert!(variable(container, "AZURE_AUTHORITY_HOST").is_some());
}

fn sees_token(container: &Container, spec: &PodSpec) {
    let whole = |mount: &&VolumeMount| mount.name == VOLUME && mount.sub_path.as_deref().unwrap_or("").is_empty();
    let in_place = |mount: &&VolumeMount| mount.mount_path.trim_end_matches('/') == MOUNT_PATH;
    let whole: Vec<_> = mounts(container).filter(whole).collect();
    let Some(mount) = whole.first() else {
        assert!(mounts(container).any(|mount| in_place(&mount)), "neither the volume nor another in its place");
        return;
    };
    assert_eq!(whole.len(), 1);
    assert_eq!(mount.read_only, Some(true));
    let file = variable(container, "AZURE_FEDERATED_TOKEN_FILE").expect("the token's file");
    if let Some(file) = file.value.as_deref().filter(|file| file.starts_with(mount.mount_path.as_str())) {
        let directory = mount.mount_path.trim_end_matches('/');
        assert_eq!(file, format!("{directory}/{}", token_path(spec).unwrap()));
    }
}

fn sees_no_token(container: &Container, was: &PodSpec) {
    let own = all(was).find(|own| own.name == container.name).unwrap();
    let count = |container: &Container| mounts(container).filter(|mount| mount.name == VOLUME).count();
    assert_eq!(count(container), count(own));
    let file = "AZURE_FEDERATED_TOKEN_FILE";
    assert_eq!(variable(container, file), variable(own, file));
}

/// The endpoint as a pair or not at all, and no proxy between the application and it.
fn sees_endpoint(container: &Container, spec: &PodSpec) {
    let pair = ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"].map(|name| variable(container, name).is_some());
    assert!(pair.contains(&true), "{container:?}");
    if field(container, "IDENTITY_HEADER").is_some_and(|field| field == "metadata.uid") {
        let endpoint = literal(container, "IDENTITY_ENDPOINT").unwrap();
        assert!(endpoint.starts_with("http://127.0.0.1:") && endpoint.ends_with("/msi/token"), "{endpoint}");
    }
    if literal(container, "IDENTITY_HEADER").is_some_and(|header| header.len() == 32) {
        let expected =
            all(spec).filter(|container| is_ours(container)).find_map(|c| literal(c, "PODBADGE_IDENTITY_HEADER"));
        assert_eq!(literal(container, "IDENTITY_HEADER"), expected);
    }
    assert!(spec.host_network == Some(true) || variable(container, "AZURE_POD_IDENTITY_AUTHORITY_HOST").is_some());
    let proxied = ["HTTP_PROXY", "https_proxy"].iter().any(|name| variable(container, name).is_some());
    let unseen = container.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
    if proxied || unseen {
        let exceptions: Vec<_> = ["NO_PROXY", "no_proxy"].iter().filter_map(|name| variable(container, name)).collect();
        assert!(!exceptions.is_empty());
        for exception in exceptions.into_iter().filter(|exception| exception.value_from.is_none()) {
            let hosts: Vec<_> = exception.value.as_deref().unwrap_or("").split(',').map(str::trim).collect();
            let direct = ["127.0.0.1", "localhost", "169.254.169.254"].iter().all(|host| hosts.contains(host));
            assert!(direct || hosts.contains(&"*"), "{exception:?}");
        }
    }
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

fn is_ours(container: &Container) -> bool {
    container.name == "podbadge-sidecar" || variable(container, "PODBADGE_IDENTITY_HEADER").is_some()
}

fn is_redirection(container: &Container) -> bool {
    !is_ours(container) && matches!(container.name.as_str(), "podbadge-redirect" | "azwi-proxy-init")
}

fn is_foreign(container: &Container) -> bool {
    container.name == "azwi-proxy"
}

fn is_sidecar(container: &Container) -> bool {
    is_ours(container) || is_foreign(container)
}

fn mounts(container: &Container) -> impl Iterator<Item = &VolumeMount> {
    container.volume_mounts.iter().flatten()
}

fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a EnvVar> {
    container.env.iter().flatten().rfind(|variable| variable.name == name)
}

fn literal<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    variable(container, name)?.value.as_deref()
}

fn field<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    Some(&variable(container, name)?.value_from.as_ref()?.field_ref.as_ref()?.field_path)
}

/// The file of the token for Entra in the volume of the promised name.
fn token_path(spec: &PodSpec) -> Option<&str> {
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == VOLUME)?;
    let sources = volume.projected.as_ref()?.sources.as_ref()?;
    let mut tokens = sources.iter().filter_map(|source| source.service_account_token.as_ref());
    Some(&tokens.find(|token| token.audience.as_deref() == Some(AUDIENCE))?.path)
}
