//! The sidecar container, and what leads applications to it.

use super::{Context, List, Value, Variable};
use crate::{
    annotation::Sidecar,
    contract,
    denial::Denial,
    pod::{Container, Env, Name, Pod},
    warning::Warning,
};
use podbadge_sidecar_core::contract as names;

/// The container to add.
#[derive(Debug)]
pub struct SidecarContainer<'a> {
    /// Its image.
    pub image: &'a str,
    /// All its variables.
    pub variables: Vec<Variable>,
    /// How it is run.
    pub position: Position,
    /// Whether the pod has no list of that kind yet.
    pub first: bool,
    /// Whether it names its own resources; a pod that has them as a whole must not be told twice.
    pub resources: bool,
}

/// The two ways to run a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A restartable init container, started before all others and ended after them (Kubernetes 1.29).
    Native,
    /// A container like the application's.
    Plain,
}

impl Position {
    /// The list it is put at the head of.
    pub fn list(self) -> List {
        match self {
            Self::Native => List::Init,
            Self::Plain => List::Main,
        }
    }
}

/// Whether the container is our sidecar: by name if written by hand, or by what it is told if another webhook renamed it.
pub(super) fn is_ours(container: &Container<'_>) -> bool {
    let told = |env: &Env<'_>| env.has(Name::ExpectedIdentityHeader);
    container.name.as_str() == names::CONTAINER_NAME || container.env.as_ref().is_some_and(told)
}

fn is_foreign(container: &Container<'_>) -> bool {
    container.name.as_str() == contract::AZWI_PROXY
}

/// The sidecar that the pod can have of the one it asks for.
pub(super) fn possible(
    pod: &Pod<'_>,
    sidecar: Option<Sidecar>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Sidecar>, Denial> {
    if sidecar.is_none() {
        return Ok(None);
    }
    if pod.spec.is_windows() {
        warnings.push(Warning::new("the sidecar runs on Linux only: this Windows pod gets the token and variables"));
        return Ok(None);
    }
    if pod.spec.host_network {
        return Err(Denial::HostNetwork);
    }
    Ok(sidecar)
}

/// Whether the variables would lead to something: the proxy of Azure Workload Identity answers at the redirected
/// metadata address, and not at [`names::APP_SERVICE_TOKEN_PATH`].
pub(super) fn serves_endpoint(pod: &Pod<'_>, sidecar: Sidecar, warnings: &mut Vec<Warning>) -> bool {
    let foreign = pod.spec.all_containers().any(is_foreign);
    if foreign && !sidecar.federation {
        warnings.push(Warning::new(format!(
            "container {} counts as the sidecar, and serves no {}; remove it to get Podbadge's",
            contract::AZWI_PROXY,
            names::IDENTITY_ENDPOINT
        )));
    }
    !foreign
}

/// The container, unless the pod has one.
pub(super) fn container<'a>(
    pod: &Pod<'_>,
    sidecar: Sidecar,
    context: &Context<'a>,
    warnings: &mut Vec<Warning>,
) -> Option<SidecarContainer<'a>> {
    let present = pod.spec.all_containers().any(|container| is_ours(container) || is_foreign(container));
    // A pod without containers is the API server's to refuse; the sidecar must not make it a valid one.
    if present || pod.spec.containers.is_empty() {
        return None;
    }
    let position = if context.settings.sidecar.native { Position::Native } else { Position::Plain };
    warn(pod, sidecar, position, warnings);
    let first = match position {
        Position::Native => pod.spec.init_containers.is_none(),
        Position::Plain => false,
    };
    let fresh = Container { name: names::CONTAINER_NAME.into(), ..Container::default() };
    let grant = context.grant(&fresh)?;
    Some(SidecarContainer {
        image: &context.settings.sidecar.image,
        variables: context.variables(grant, &fresh, warnings),
        position,
        first,
        resources: pod.spec.resources.is_none(),
    })
}

/// The variables by which SDKs find the endpoint.
pub(super) fn endpoint_variables(
    sidecar: Sidecar,
    container: &Container<'_>,
    env: &Env<'_>,
    variables: &mut Vec<Variable>,
    warnings: &mut Vec<Warning>,
) {
    let host = format!("http://127.0.0.1:{}", sidecar.port);
    let endpoint = format!("{host}{}", names::APP_SERVICE_TOKEN_PATH);
    // A pair or nothing: with one of the two, some SDKs raise and others fall back to the node's identity.
    match (env.has(Name::IdentityEndpoint), env.has(Name::IdentityHeader)) {
        (false, false) => {
            variables.push(Variable { name: names::IDENTITY_ENDPOINT, value: Value::Literal(endpoint.into()) });
            variables.push(Variable { name: names::IDENTITY_HEADER, value: Value::PodUid });
        }
        (true, true) => {}
        (true, false) | (false, true) => warnings.push(Warning::new(format!(
            "container {} sets one of {} and {}, which work only as a pair: remove it, or set both",
            container.name,
            names::IDENTITY_ENDPOINT,
            names::IDENTITY_HEADER
        ))),
    }
    if !env.has(Name::PodIdentityAuthorityHost) {
        variables.push(Variable { name: names::POD_IDENTITY_AUTHORITY_HOST, value: Value::Literal(host.into()) });
    }
}

/// The sidecar's own settings.
pub(super) fn own_variables(sidecar: Sidecar, env: &Env<'_>, variables: &mut Vec<Variable>) {
    if !env.has(Name::Port) {
        variables.push(Variable { name: names::PORT, value: Value::Literal(sidecar.port.to_string().into()) });
    }
    if !env.has(Name::ExpectedIdentityHeader) {
        variables.push(Variable { name: names::EXPECTED_IDENTITY_HEADER, value: Value::PodUid });
    }
}

fn warn(pod: &Pod<'_>, sidecar: Sidecar, position: Position, warnings: &mut Vec<Warning>) {
    let port = i64::from(sidecar.port.get());
    for container in pod.spec.all_containers() {
        if container.ports.iter().any(|declared| declared.container_port == port) {
            warnings.push(Warning::new(format!(
                "container {} declares port {port}, on which the sidecar listens; set annotation {} to another",
                container.name,
                contract::PROXY_SIDECAR_PORT
            )));
        }
    }
    if pod.spec.share_process_namespace {
        warnings.push(Warning::new("shareProcessNamespace shows the sidecar's token file to the other containers"));
    }
    if position == Position::Plain && pod.spec.is_finite() {
        warnings.push(Warning::new("this cluster has no native sidecars: the sidecar keeps the pod from completing"));
    }
    if position == Position::Plain && pod.spec.init_containers.as_ref().is_some_and(|list| !list.is_empty()) {
        warnings.push(Warning::new(
            "this cluster has no native sidecars: init containers run before the sidecar and cannot reach it",
        ));
    }
}
