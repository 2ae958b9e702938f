//! The kubelet's part: a container's variables, and the token volume.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What the API server fills in where the pod says nothing.
const DEFAULT_LIFETIME: u64 = 3600;
const DEFAULT_AUDIENCE: &str = "https://kubernetes.default.svc";

/// A container's variables, in the order of their names.
pub type Environment = BTreeMap<String, String>;

/// A projected service-account token that a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Who the token is for.
    pub audience: String,
    /// How long it is valid.
    pub lifetime: Duration,
    /// Its file below the volume.
    pub path: String,
}

/// What a pod says that cannot be done here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod has no such container.
    #[error("the pod has no container {0:?}")]
    Container(String),
    /// The container has no such mount, or no such volume.
    #[error("container {container:?} has no token volume {volume:?}")]
    Volume {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
    },
    /// A variable has a source that only a real kubelet has.
    #[error("variable {name} comes from {from}, which is not played here")]
    Source {
        /// The variable.
        name: String,
        /// The source.
        from: String,
    },
    /// The volume cannot be written.
    #[error("cannot write the token volume {path}", path = .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Finds a container, or an init container, by its name.
///
/// # Errors
///
/// There is none.
pub fn container<'a>(pod: &'a Value, name: &str) -> Result<&'a Value, Error> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .find(|container| container["name"] == name)
        .ok_or_else(|| Error::Container(name.to_owned()))
}

/// The variables that a container is started with: `value` with `$(NAME)` expanded, and `fieldRef` resolved.
///
/// # Errors
///
/// The container is missing, or a variable comes from elsewhere.
pub fn environment(pod: &Value, name: &str) -> Result<Environment, Error> {
    let mut environment = Environment::new();
    for variable in container(pod, name)?["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        let value = match &variable["valueFrom"] {
            Value::Null => expand(variable["value"].as_str().unwrap_or_default(), &environment),
            source => {
                field(pod, source).ok_or_else(|| Error::Source { name: name.clone(), from: source.to_string() })?
            }
        };
        environment.insert(name, value);
    }
    Ok(environment)
}

/// A field of the downward API
/// (<https://kubernetes.io/docs/concepts/workloads/pods/downward-api/#available-fields>).
fn field(pod: &Value, source: &Value) -> Option<String> {
    let path = source["fieldRef"]["fieldPath"].as_str()?;
    let allowed = ["metadata.name", "metadata.namespace", "metadata.uid", "spec.serviceAccountName"];
    let pointer = format!("/{}", path.replace('.', "/"));
    let value = allowed.contains(&path).then(|| pod.pointer(&pointer))??;
    value.as_str().map(str::to_owned)
}

/// `$(NAME)` becomes the value of a variable that was set before; an unknown one stays as it stands, and `$$` is a
/// dollar sign (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>).
fn expand(text: &str, environment: &Environment) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        expanded.push_str(before);
        let reference = after.strip_prefix("$(").and_then(|after| after.split_once(')'));
        rest = if let Some(after) = after.strip_prefix("$$") {
            expanded.push('$');
            after
        } else if let Some((name, after)) = reference {
            match environment.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&format!("$({name})")),
            }
            after
        } else {
            expanded.push('$');
            after.get(1..).unwrap_or_default()
        };
    }
    expanded.push_str(rest);
    expanded
}

/// The tokens that a container sees in a volume, and where it sees the volume.
///
/// # Errors
///
/// The container does not mount the volume, or the volume projects no token.
pub fn projections(pod: &Value, name: &str, volume: &str) -> Result<(PathBuf, Vec<Projection>), Error> {
    let mounts = &container(pod, name)?["volumeMounts"];
    let mount = named(mounts, volume).and_then(|mount| mount["mountPath"].as_str());
    let sources = named(&pod["spec"]["volumes"], volume).and_then(|volume| volume["projected"]["sources"].as_array());
    let tokens = sources.into_iter().flatten().filter_map(|source| token(&source["serviceAccountToken"]));
    let tokens: Vec<_> = tokens.collect();
    match mount {
        Some(mount) if !tokens.is_empty() => Ok((mount.into(), tokens)),
        _ => Err(Error::Volume { container: name.to_owned(), volume: volume.to_owned() }),
    }
}

fn named<'a>(list: &'a Value, name: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == name)
}

fn token(source: &Value) -> Option<Projection> {
    Some(Projection {
        path: source["path"].as_str()?.to_owned(),
        audience: source["audience"].as_str().unwrap_or(DEFAULT_AUDIENCE).to_owned(),
        lifetime: Duration::from_secs(source["expirationSeconds"].as_u64().unwrap_or(DEFAULT_LIFETIME)),
    })
}

/// Writes tokens, by their files, as the kubelet does: into a new folder, to which the link `..data` is then moved at
/// once, so that a reader finds the old token or the new one and never half of one. Only the owner can read them.
///
/// # Errors
///
/// The file system refuses.
pub fn write(volume: &Path, tokens: &[(&str, &str)]) -> Result<(), Error> {
    swap(volume, tokens).map_err(|source| Error::Write { path: volume.to_owned(), source })
}

fn swap(volume: &Path, tokens: &[(&str, &str)]) -> io::Result<()> {
    let version = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let version = format!("..{}_{:09}", version.as_secs(), version.subsec_nanos());
    let folder = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    folder(volume)?;
    folder(&volume.join(&version))?;
    for (file, token) in tokens {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(volume.join(&version).join(file))?;
        file.write_all(token.as_bytes())?;
    }
    let data = volume.join("..data");
    let before = fs::read_link(&data).ok();
    let next = volume.join("..data_tmp");
    symlink(&version, &next)?;
    fs::rename(&next, &data)?;
    for (file, _) in tokens {
        let link = volume.join(file);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(file), link)?;
        }
    }
    before.map_or(Ok(()), |before| fs::remove_dir_all(volume.join(before)))
}

#[cfg(test)]
mod tests;
