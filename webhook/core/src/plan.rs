//! What has to be added to a pod, container by container, so that it has its identity.
//!
//! Each addition is decided by what the container has now, so planning for a pod that was patched before, also by
//! another injector, yields what is still missing and nothing twice.

mod context;
mod no_proxy;
mod sidecar;
mod volume;

pub use no_proxy::Exceptions;
pub use sidecar::{Injected, Role};
pub use volume::TokenVolume;

use crate::{
    contract,
    denial::Denial,
    pod::Pod,
    request::Request,
    resources::{self, Limits},
    settings::Settings,
    warning::Warning,
};
use context::Context;
use std::{borrow::Cow, collections::BTreeSet};

/// All additions to one pod.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The token volume, if the pod lacks it.
    pub volume: Option<TokenVolume<'a>>,
    /// The containers that lack something.
    pub containers: Vec<Addition<'a>>,
    /// The containers to put at the head of their lists, in this order.
    pub injected: Vec<Injected<'a>>,
    /// Whether the pod has no list of init containers yet.
    pub first_init: bool,
    /// The container that people mean, where the sidecar would come in between.
    pub default_container: Option<DefaultContainer<'a>>,
    /// The secrets that the sidecar's image is pulled with, as far as the pod lacks them.
    pub pull_secrets: Vec<&'a str>,
    /// Whether the pod has no list of such secrets yet.
    pub first_secret: bool,
    /// Where mounts appear.
    pub mount_path: &'a str,
}

/// The container that `kubectl` means where none is named.
#[derive(Debug)]
pub struct DefaultContainer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the pod has no annotations yet.
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

/// The lists of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `spec.initContainers`
    Init,
    /// `spec.containers`
    Main,
    /// `spec.ephemeralContainers`
    Ephemeral,
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

/// Whether the pod was given an identity when it was created.
pub fn has_identity(pod: &Pod<'_>) -> bool {
    volume::is_present(pod) || sidecar::is_present(pod)
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Plans for the pod. `random` is used only on the host network.
    ///
    /// # Errors
    ///
    /// The pod has something in the way that only its author can move.
    pub fn new(
        pod: &'a Pod<'_>,
        request: &'a Request<'_>,
        settings: &'a Settings,
        random: u128,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Denial> {
        let placed = match request.sidecar {
            Some(wanted) => sidecar::place(pod, wanted, settings, random, warnings)?,
            None => None,
        };
        let user_file = volume::token_file(pod, request.audience())?;
        let context = Context::new(pod, request, settings, placed, user_file, warnings);
        let init = pod.spec.init_containers.iter().flatten().enumerate().map(|entry| (List::Init, entry));
        let main = pod.spec.containers.iter().enumerate().map(|entry| (List::Main, entry));
        let mut containers = Vec::with_capacity(pod.spec.containers.len() + 1);
        for (list, (index, container)) in init.chain(main) {
            if !request.selection.skips(container.name.as_str()) || sidecar::is_ours(container) {
                containers.extend(context.addition(list, index, container, warnings));
            }
        }
        let injected = sidecar::injected(pod, &context, warnings);
        // A volume that nobody mounts would only cost the kubelet a token: every container may be on the skip list.
        let used = injected.iter().any(|container| container.mount)
            || containers.iter().any(|addition| addition.mount.is_some())
            || pod.spec.all_containers().any(volume::is_mounted);
        let volume = user_file.is_none().then(|| TokenVolume::of(pod, request)).filter(|_| used);
        Ok(Self {
            volume,
            containers,
            first_init: pod.spec.init_containers.is_none(),
            default_container: default_container(pod, &injected),
            pull_secrets: sidecar::pull_secrets(pod, &injected, settings),
            first_secret: pod.spec.image_pull_secrets.is_none(),
            injected,
            mount_path: &settings.mount_path,
        })
    }

    /// Gives the containers that are added their resources.
    ///
    /// # Errors
    ///
    /// The pod's annotation about them cannot be read.
    pub fn fit(&mut self, pod: &Pod<'_>, limits: &Limits, settings: &Settings) -> Result<(), Denial> {
        if self.injected.is_empty() {
            return Ok(());
        }
        let resources = resources::for_container(pod, limits, &settings.sidecar.resources)?;
        self.injected.iter_mut().for_each(|container| container.resources = resources);
        Ok(())
    }

    /// Plans for the containers of `kubectl debug` that the pod lacked `before`. Nothing else of a running pod can be
    /// changed, so they get what it has.
    ///
    /// # Errors
    ///
    /// The pod's volume of the promised name holds no token for its identity.
    pub fn of_ephemeral(
        pod: &'a Pod<'_>,
        before: &Pod<'_>,
        request: &'a Request<'_>,
        settings: &'a Settings,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Denial> {
        let placed = sidecar::found(pod);
        let file = volume::token_file(pod, request.audience())?;
        let context = Context::new(pod, request, settings, placed, file, warnings);
        let old = before.spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str());
        let old: BTreeSet<_> = old.collect();
        let mut containers = Vec::new();
        for (index, container) in pod.spec.ephemeral_containers.iter().flatten().enumerate() {
            let name = container.name.as_str();
            if !old.contains(name) && !request.selection.names_to_skip(name) {
                containers.extend(context.addition(List::Ephemeral, index, container, warnings));
            }
        }
        Ok(Self {
            volume: None,
            containers,
            injected: Vec::new(),
            first_init: false,
            default_container: None,
            pull_secrets: Vec::new(),
            first_secret: false,
            mount_path: &settings.mount_path,
        })
    }
}

/// `kubectl logs` takes the first container where nobody says which; that must not be the sidecar.
fn default_container<'a>(pod: &'a Pod<'_>, injected: &[Injected<'_>]) -> Option<DefaultContainer<'a>> {
    let annotations = &pod.metadata.annotations;
    let in_front = injected.iter().any(|container| container.role == Role::Plain)
        || pod.spec.containers.first().is_some_and(sidecar::is_sidecar);
    // What has no name has perhaps no metadata to write to; the API server sends none such.
    let named = pod.metadata.name.is_some() || pod.metadata.generate_name.is_some();
    if !in_front || !named || annotations.value(contract::DEFAULT_CONTAINER).is_some() {
        return None;
    }
    let application = pod.spec.containers.iter().find(|container| !sidecar::is_sidecar(container))?;
    Some(DefaultContainer { name: application.name.as_str(), first: !annotations.present() })
}

// === impl Value ===

impl Value {
    fn text(value: &impl ToString) -> Self {
        Self::Literal(value.to_string().into())
    }
}
