//! What has to be added to a pod, container by container, so that it has its identity.
//!
//! Each addition is decided by what the container has now, so planning for a pod that was patched before, also by
//! another injector, yields what is still missing and nothing twice.

mod no_proxy;
mod sidecar;

pub use no_proxy::Exceptions;
pub use sidecar::{Position, SidecarContainer};

use crate::{
    annotation::{Sidecar, Skip},
    contract,
    denial::Denial,
    identity::Identity,
    pod::{Container, Env, Mount, Name, Pod},
    settings::Settings,
    value::Expiration,
    warning::Warning,
};
use podbadge_sidecar_core::contract as names;
use std::borrow::Cow;

/// All additions to one pod.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The token volume, if the pod lacks it.
    pub volume: Option<TokenVolume<'a>>,
    /// The containers that lack something.
    pub containers: Vec<Addition<'a>>,
    /// The sidecar, if the pod lacks it.
    pub sidecar: Option<SidecarContainer<'a>>,
    /// Where mounts appear.
    pub mount_path: &'a str,
}

/// The projected volume to add.
#[derive(Debug)]
pub struct TokenVolume<'a> {
    /// The token's audience.
    pub audience: &'a str,
    /// The token's lifetime.
    pub expiration: Expiration,
    /// Whether the pod has no list of volumes yet.
    pub first: bool,
}

/// What one container lacks.
#[derive(Debug)]
pub struct Addition<'a> {
    /// The list it stands in.
    pub list: List,
    /// Its place there, in the pod as it was sent.
    pub index: usize,
    /// Variables to append.
    pub variables: Vec<Variable>,
    /// Whether the container has no list of variables yet.
    pub first_variable: bool,
    /// Proxy exceptions to write over the container's own.
    pub exceptions: Vec<Exceptions<'a>>,
    /// The token mount to append; `Some(true)` where the container has no list of mounts yet.
    pub mount: Option<bool>,
}

/// The two lists of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `spec.initContainers`
    Init,
    /// `spec.containers`
    Main,
}

/// A variable to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Known now.
    Literal(Cow<'static, str>),
    /// The pod's uid, which the kubelet fills in: unguessable from outside, and the same for the application and the
    /// sidecar without anything random at admission.
    PodUid,
}

/// What a container is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    /// The token volume and the variable that names its file.
    token: bool,
    /// The variables that name the sidecar's endpoint.
    endpoint: bool,
    /// The sidecar's own settings.
    settings: bool,
}

/// Everything that is the same for all containers of the pod.
struct Context<'a> {
    identity: &'a Identity<'a>,
    settings: &'a Settings,
    sidecar: Option<Sidecar>,
    /// Whether that sidecar serves what the variables lead to.
    endpoint: bool,
    /// The token's file below the mount: the promised one, or that of a volume the user wrote.
    token_file: &'a str,
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Plans for the pod.
    ///
    /// # Errors
    ///
    /// The pod has something in the way that only its author can move.
    pub fn new(
        pod: &'a Pod<'_>,
        identity: &'a Identity<'_>,
        expiration: Expiration,
        sidecar: Option<Sidecar>,
        skip: &Skip<'_>,
        settings: &'a Settings,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Denial> {
        let sidecar = sidecar::possible(pod, sidecar, warnings)?;
        let user_file = token_file(pod, settings)?;
        let context = Context {
            identity,
            settings,
            sidecar,
            endpoint: sidecar.is_some_and(|sidecar| sidecar::serves_endpoint(pod, sidecar, warnings)),
            token_file: user_file.unwrap_or(contract::TOKEN_FILE),
        };
        let volume = user_file.is_none().then(|| TokenVolume {
            audience: &settings.audience,
            expiration,
            first: pod.spec.volumes.is_none(),
        });
        let init = pod.spec.init_containers.iter().flatten().enumerate().map(|entry| (List::Init, entry));
        let main = pod.spec.containers.iter().enumerate().map(|entry| (List::Main, entry));
        let mut containers = Vec::with_capacity(pod.spec.containers.len() + 1);
        for (list, (index, container)) in init.chain(main) {
            if !skip.contains(container.name.as_str()) {
                containers.extend(context.addition(list, index, container, warnings));
            }
        }
        let sidecar = match sidecar {
            Some(sidecar) => sidecar::container(pod, sidecar, &context, warnings),
            None => None,
        };
        // A volume that nobody mounts would only cost the kubelet a token: every container may be on the skip list.
        let used = sidecar.is_some()
            || containers.iter().any(|addition| addition.mount.is_some())
            || pod.spec.all_containers().any(mounts_volume);
        Ok(Self { volume: volume.filter(|_| used), containers, sidecar, mount_path: &settings.mount_path })
    }
}

/// Whether the container mounts the volume by its promised name; only its author's own mount can be there first.
fn mounts_volume(container: &Container<'_>) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| mount.name.as_str() == contract::VOLUME)
}

/// The token's file in the user's own volume of the promised name, if there is one.
fn token_file<'a>(pod: &'a Pod<'_>, settings: &Settings) -> Result<Option<&'a str>, Denial> {
    let Some(volume) = pod.spec.volumes.iter().flatten().find(|volume| volume.name.as_str() == contract::VOLUME) else {
        return Ok(None);
    };
    let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
    sources
        .filter_map(|source| source.service_account_token.as_ref())
        .find(|token| token.audience.as_ref().is_some_and(|audience| audience.as_str() == settings.audience))
        .map(|token| Some(token.path.as_str()))
        .ok_or_else(|| Denial::Volume { audience: settings.audience.clone() })
}

// === impl Context ===

impl<'a> Context<'a> {
    /// What the container lacks, if anything.
    fn addition(
        &self,
        list: List,
        index: usize,
        container: &'a Container<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Option<Addition<'a>> {
        let grant = self.grant(container)?;
        let mut variables = self.variables(grant, container, warnings);
        let first_variable = container.env.is_none();
        let mut exceptions = Vec::new();
        if grant.endpoint {
            no_proxy::plan(container, &mut variables, &mut exceptions, warnings);
        }
        let mount = if grant.token { self.mount(container, warnings) } else { None };
        let nothing = variables.is_empty() && exceptions.is_empty() && mount.is_none();
        (!nothing).then_some(Addition { list, index, variables, first_variable, exceptions, mount })
    }

    fn grant(&self, container: &Container<'_>) -> Option<Grant> {
        let token = Grant { token: true, endpoint: false, settings: false };
        if sidecar::is_ours(container) {
            return Some(Grant { settings: true, ..token });
        }
        match (container.name.as_str(), self.sidecar) {
            (contract::AZWI_PROXY_INIT, _) => None,
            (contract::AZWI_PROXY, _) | (_, None) => Some(token),
            (_, Some(sidecar)) => Some(Grant { token: sidecar.federation, endpoint: self.endpoint, settings: false }),
        }
    }

    /// The variables that the container lacks of what it is granted.
    fn variables(&self, grant: Grant, container: &Container<'_>, warnings: &mut Vec<Warning>) -> Vec<Variable> {
        let none = Env::default();
        let env = container.env.as_ref().unwrap_or(&none);
        let mut variables = Vec::with_capacity(8);
        let mut add = |known, name, value: Value| {
            if !env.has(known) {
                variables.push(Variable { name, value });
            }
        };
        if let Some(client_id) = self.identity.client_id {
            add(Name::ClientId, names::CLIENT_ID, Value::text(client_id));
        }
        add(Name::TenantId, names::TENANT_ID, Value::text(&self.identity.tenant_id));
        if grant.token {
            let file = format!("{}/{}", self.mounted_at(container), self.token_file);
            add(Name::FederatedTokenFile, names::FEDERATED_TOKEN_FILE, Value::Literal(file.into()));
        } else if env.has(Name::FederatedTokenFile) {
            warnings.push(Warning::new(format!(
                "container {}: its own {} makes several SDKs bypass the sidecar",
                container.name,
                names::FEDERATED_TOKEN_FILE
            )));
        }
        add(Name::AuthorityHost, names::AUTHORITY_HOST, Value::text(&self.settings.authority_host));
        if let Some(sidecar) = self.sidecar {
            if grant.endpoint {
                sidecar::endpoint_variables(sidecar, container, env, &mut variables, warnings);
            }
            if grant.settings {
                sidecar::own_variables(sidecar, env, &mut variables);
            }
        }
        variables
    }

    /// Where the container sees, or will see, the token volume.
    fn mounted_at<'c>(&'c self, container: &'c Container<'_>) -> &'c str {
        own_mount(container)
            .map_or(self.settings.mount_path.as_str(), |mount| mount.mount_path.as_str().trim_end_matches('/'))
    }

    /// The mount to add: none where the container mounts the volume itself, or something else in its place.
    fn mount(&self, container: &Container<'_>, warnings: &mut Vec<Warning>) -> Option<bool> {
        let Some(mounts) = &container.volume_mounts else {
            return Some(true);
        };
        if own_mount(container).is_some() {
            return None;
        }
        let other =
            mounts.iter().find(|mount| mount.mount_path.as_str().trim_end_matches('/') == self.settings.mount_path);
        let Some(other) = other else {
            return Some(false);
        };
        warnings.push(Warning::new(format!(
            "container {} mounts volume {:?} at {}, where the token would be; it is left as it is",
            container.name,
            other.name.as_str(),
            self.settings.mount_path
        )));
        None
    }
}

/// The container's mount of the whole token volume. One of a single file does not count: the kubelet never renews it
/// (<https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath>).
fn own_mount<'c, 'a>(container: &'c Container<'a>) -> Option<&'c Mount<'a>> {
    container
        .volume_mounts
        .iter()
        .flatten()
        .find(|mount| mount.name.as_str() == contract::VOLUME && mount.sub_path.as_str().is_empty())
}

// === impl Value ===

impl Value {
    fn text(value: &impl ToString) -> Self {
        Self::Literal(value.to_string().into())
    }
}
