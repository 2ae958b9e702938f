//! A container's environment, as the kubelet makes it.
//!
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use kube::ResourceExt;

use super::NAME;
use super::pod::Instance;
use crate::control_plane::PORT;
use crate::sandbox::HOST;

/// All variables of a container, later ones over earlier ones of the same name.
pub(super) async fn resolve(instance: &Instance, container: &Container) -> Result<Vec<(String, String)>> {
    let mut variables: Vec<(String, String)> = instance.image(container)?.variables.clone();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
    };
    set("HOSTNAME", instance.pod.name_any());
    // The API server's Service has a cluster address that nobody serves here; clients are sent to its endpoint.
    set("KUBERNETES_SERVICE_HOST", HOST.to_string());
    set("KUBERNETES_SERVICE_PORT", PORT.to_string());
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let from = if let Some(source) = &source.config_map_ref {
            instance.config_map(&source.name, source.optional).await?
        } else if let Some(source) = &source.secret_ref {
            instance.secret(&source.name, source.optional).await?
        } else {
            BTreeMap::new()
        };
        for (key, value) in from {
            set(&format!("{prefix}{key}"), String::from_utf8(value)?);
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(instance, container, variable, &variables).await? {
            variables.retain(|(known, _)| known != &variable.name);
            variables.push((variable.name.clone(), value));
        }
    }
    Ok(variables)
}

async fn value(
    instance: &Instance,
    container: &Container,
    variable: &EnvVar,
    known: &[(String, String)],
) -> Result<Option<String>> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), known)));
    };
    let (from, key, optional) = if let Some(source) = &source.field_ref {
        return field(&instance.pod, &source.field_path, instance.address()).map(Some);
    } else if let Some(source) = &source.config_map_key_ref {
        (instance.config_map(&source.name, source.optional).await?, &source.key, source.optional)
    } else if let Some(source) = &source.secret_key_ref {
        (instance.secret(&source.name, source.optional).await?, &source.key, source.optional)
    } else {
        bail!("container {}: variable {}: this node knows no such source", container.name, variable.name);
    };
    match from.get(key) {
        Some(value) => Ok(Some(String::from_utf8(value.clone())?)),
        None if optional == Some(true) => Ok(None),
        None => bail!("container {}: variable {}: no key {key}", container.name, variable.name),
    }
}

/// A field of the pod, as the downward API names it.
pub(super) fn field(pod: &Pod, path: &str, address: std::net::Ipv4Addr) -> Result<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.annotations" => pod.annotations(),
            "metadata.labels" => pod.labels(),
            _ => bail!("fieldPath {path}: no such field"),
        };
        return Ok(map.get(key).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "spec.nodeName" => NAME.to_owned(),
        "spec.serviceAccountName" => {
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).context("no service account")?
        }
        "status.hostIP" => HOST.to_string(),
        "status.podIP" => address.to_string(),
        _ => bail!("fieldPath {path}: no such field"),
    })
}

/// `$(NAME)` becomes the value where there is one, `$$` a dollar; everything else stays.
pub(super) fn expand(text: &str, known: &[(String, String)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            match known.iter().find(|(known, _)| known == name) {
                Some((_, value)) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_become_values() {
        let known = [("A".to_owned(), "one".to_owned()), ("B".to_owned(), String::new())];
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "one"),
            ("x$(A)$(B)y", "xoney"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$(C) $(A)", "$(C) one"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }
}
