//! Volumes, written as the kubelet writes them: a folder with a version in its name, a `..data` link to it that is
//! swapped whole, and a link for every file.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest};
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, DownwardAPIVolumeFile, KeyToPath, Pod, PodSpec, ServiceAccount,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::{Selector, SelectorExt};
use kube::{Api, Client, ResourceExt};
use tokio::time::sleep;

use super::pod::Instance;
use super::variables;
use crate::kubernetes::Objects;

const DEFAULT_MODE: i32 = 0o644;
/// How late volumes are. The kubelet takes a minute or more; what a test looks for under this lag must hold under that, too.
const REFRESH: Duration = Duration::from_secs(3);

struct File {
    bytes: Vec<u8>,
    mode: u32,
    owner: Option<u32>,
}

type Files = BTreeMap<String, File>;

/// Makes a volume in the pod's folder; returns where.
pub(super) async fn prepare(instance: &Instance, volume: &Volume) -> Result<PathBuf> {
    let folder = instance.folder.join("volumes").join(&volume.name);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let group = group(instance)?;
    if volume.empty_dir.is_some() {
        fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
        chown(&folder, None, group)?;
        return Ok(folder);
    }
    let files = files(instance, volume).await.with_context(|| format!("volume {}", volume.name))?;
    write(&folder, files, group).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Keeps volumes of Secrets and ConfigMaps as these are. What is gone stays as it was; what is projected is left alone, for
/// no token here lives long enough to be replaced.
pub(super) async fn follow(instance: &Instance) -> Infallible {
    let volumes: Vec<&Volume> =
        instance.spec.volumes.iter().flatten().filter(|one| one.secret.is_some() || one.config_map.is_some()).collect();
    if volumes.is_empty() {
        return std::future::pending().await;
    }
    loop {
        sleep(REFRESH).await;
        for volume in &volumes {
            if let Err(error) = refresh(instance, volume).await {
                eprintln!("node: volume {} of {}: {error:#}", volume.name, instance.pod.name_any());
            }
        }
    }
}

async fn refresh(instance: &Instance, volume: &Volume) -> Result<()> {
    let folder = instance.volumes.get(&volume.name).context("not mounted")?;
    let Ok(files) = files(instance, volume).await else { return Ok(()) };
    if is_written(folder, &files) {
        return Ok(());
    }
    write(folder, files, group(instance)?).with_context(|| folder.display().to_string())
}

async fn files(instance: &Instance, volume: &Volume) -> Result<Files> {
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let data = instance.config_map(&source.name, source.optional).await?;
        pick(&mut files, data, source.items.as_deref(), source.default_mode)?;
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let data = instance.secret(name, source.optional).await?;
        pick(&mut files, data, source.items.as_deref(), source.default_mode)?;
    } else if let Some(source) = &volume.downward_api {
        downward(&mut files, instance, source.items.as_deref(), source.default_mode)?;
    } else if let Some(source) = &volume.projected {
        for part in source.sources.iter().flatten() {
            project(&mut files, instance, part, source.default_mode).await?;
        }
    } else {
        bail!("this node knows no such volume");
    }
    Ok(files)
}

async fn project(files: &mut Files, instance: &Instance, part: &VolumeProjection, mode: Option<i32>) -> Result<()> {
    if let Some(source) = &part.service_account_token {
        let token = token(instance, source).await?;
        // Private to the one user of all containers or, with a group, to that; else readable by all.
        let owner = only_user(&instance.spec).map(u32::try_from).transpose()?;
        let grouped = instance.spec.security_context.as_ref().is_some_and(|context| context.fs_group.is_some());
        let mode = if owner.is_some() || grouped { 0o600 } else { octal(mode)? };
        files.insert(source.path.clone(), File { bytes: token.into_bytes(), mode, owner });
    } else if let Some(source) = &part.config_map {
        let data = instance.config_map(&source.name, source.optional).await?;
        pick(files, data, source.items.as_deref(), mode)?;
    } else if let Some(source) = &part.secret {
        let data = instance.secret(&source.name, source.optional).await?;
        pick(files, data, source.items.as_deref(), mode)?;
    } else if let Some(source) = &part.downward_api {
        downward(files, instance, source.items.as_deref(), mode)?;
    } else if let Some(source) = &part.cluster_trust_bundle {
        let bytes = trust_bundles(&instance.shared.client, source).await?.into_bytes();
        files.insert(source.path.clone(), File { bytes, mode: octal(mode)?, owner: None });
    } else {
        bail!("this node knows no such projection");
    }
    Ok(())
}

/// A token of the pod's service account, bound to the pod: it ends with it.
async fn token(instance: &Instance, source: &ServiceAccountTokenProjection) -> Result<String> {
    let Instance { pod, spec, .. } = instance;
    let mut request = TokenRequest::default();
    request.spec.audiences = source.audience.clone().into_iter().collect();
    request.spec.expiration_seconds = source.expiration_seconds;
    request.spec.bound_object_ref = Some(BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name_any()),
        uid: pod.uid(),
    });
    let accounts: Api<ServiceAccount> = Api::namespaced(instance.shared.client.clone(), &instance.namespace());
    let account = spec.service_account_name.as_deref().unwrap_or("default");
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("a token request without an answer")?.token)
}

/// The certificates of a signer's bundles. Without a label selector none of them is meant
/// (<https://kubernetes.io/docs/concepts/storage/projected-volumes/#clustertrustbundle>).
async fn trust_bundles(client: &Client, source: &ClusterTrustBundleProjection) -> Result<String> {
    let selector = source.label_selector.clone().map(Selector::try_from).transpose()?;
    let bundles = Objects::of(client, "certificates.k8s.io/v1beta1", "ClusterTrustBundle", "").await?.list().await?;
    let mut certificates = String::new();
    for bundle in bundles {
        let labels = serde_json::from_value(bundle["metadata"]["labels"].clone()).unwrap_or_default();
        let selected = selector.as_ref().is_some_and(|selector| selector.matches(&labels));
        if selected && bundle["spec"]["signerName"].as_str() == source.signer_name.as_deref() {
            certificates += bundle["spec"]["trustBundle"].as_str().unwrap_or_default();
        }
    }
    if certificates.is_empty() && source.optional != Some(true) {
        bail!("combination of signerName and labelSelector matched zero ClusterTrustBundles");
    }
    Ok(certificates)
}

/// The group that owns volumes.
fn group(instance: &Instance) -> Result<Option<u32>> {
    let group = instance.spec.security_context.as_ref().and_then(|context| context.fs_group);
    Ok(group.map(u32::try_from).transpose()?)
}

/// The user that all containers run as, if the pod says so.
fn only_user(spec: &PodSpec) -> Option<i64> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|container| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

fn pick(
    files: &mut Files,
    mut data: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
) -> Result<()> {
    match items {
        None => {
            for (name, bytes) in data {
                files.insert(name, File { bytes, mode: octal(default_mode)?, owner: None });
            }
        }
        Some(items) => {
            for item in items {
                let bytes = data.remove(&item.key).with_context(|| format!("no key {}", item.key))?;
                files.insert(item.path.clone(), File { bytes, mode: octal(item.mode.or(default_mode))?, owner: None });
            }
        }
    }
    Ok(())
}

fn downward(
    files: &mut Files,
    instance: &Instance,
    items: Option<&[DownwardAPIVolumeFile]>,
    default_mode: Option<i32>,
) -> Result<()> {
    for item in items.unwrap_or_default() {
        let field = item.field_ref.as_ref().context("this node knows no resourceFieldRef")?;
        let bytes = content(&instance.pod, &field.field_path, instance.address())?.into_bytes();
        files.insert(item.path.clone(), File { bytes, mode: octal(item.mode.or(default_mode))?, owner: None });
    }
    Ok(())
}

/// In files, unlike in variables, the downward API has all labels and annotations at once.
fn content(pod: &Pod, path: &str, address: std::net::Ipv4Addr) -> Result<String> {
    let all = match path {
        "metadata.labels" => pod.labels(),
        "metadata.annotations" => pod.annotations(),
        _ => return variables::field(pod, path, address),
    };
    Ok(all.iter().map(|(key, value)| format!("{key}={value:?}\n")).collect())
}

fn octal(mode: Option<i32>) -> Result<u32> {
    Ok(u32::try_from(mode.unwrap_or(DEFAULT_MODE))?)
}

fn write(folder: &Path, files: Files, group: Option<u32>) -> io::Result<()> {
    let version = format!("..{}", Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S.%N"));
    let links: BTreeSet<String> = files.keys().map(|name| link(name).to_owned()).collect();
    for (name, File { bytes, mode, owner }) in files {
        let path = folder.join(&version).join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, bytes)?;
        // A group that owns the volume may read everything in it.
        let mode = if group.is_some() { mode | 0o440 } else { mode };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        chown(&path, owner, group)?;
    }
    fs::create_dir_all(folder.join(&version))?;
    let before = fs::read_link(folder.join("..data")).ok();
    symlink(&version, folder.join("..data_tmp"))?;
    fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
    let there = self::links(folder)?;
    for link in links.difference(&there) {
        symlink(Path::new("..data").join(link), folder.join(link))?;
    }
    for link in there.difference(&links) {
        fs::remove_file(folder.join(link))?;
    }
    before.map_or(Ok(()), |version| fs::remove_dir_all(folder.join(version)))
}

/// A file in a folder is reached by a link to the folder.
fn link(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// The links that a volume has.
fn links(folder: &Path) -> io::Result<BTreeSet<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.filter(|name: &io::Result<String>| name.as_ref().map_or(true, |name| !name.starts_with(".."))).collect()
}

fn is_written(folder: &Path, files: &Files) -> bool {
    let wanted = files.keys().map(|name| link(name).to_owned()).collect();
    links(folder).is_ok_and(|there| there == wanted)
        && files
            .iter()
            .all(|(name, file)| fs::read(folder.join("..data").join(name)).is_ok_and(|bytes| bytes == file.bytes))
}
