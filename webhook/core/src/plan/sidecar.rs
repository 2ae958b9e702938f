//! The sidecar, what leads applications to it, and the containers that are put into the pod for it.

use super::{Context, List, Value, Variable, volume};
use crate::{
    annotation::{Reach, Sidecar},
    contract,
    denial::Denial,
    identity::{Identity, PodSecurity},
    pod::{Container, Env, Name, Pod},
    resources::Resources,
    settings::Settings,
    value::decimal,
    warning::Warning,
};
use podbadge_sidecar_core::contract as names;
use std::num::NonZeroU16;

/// A container to add.
#[derive(Debug)]
pub struct Injected<'a> {
    /// What it is for, and how it is run.
    pub role: Role,
    /// Its image.
    pub image: &'a str,
    /// All its variables.
    pub variables: Vec<Variable>,
    /// The port that it declares, on the host network alone: there the scheduler keeps equal ones apart.
    pub port: Option<NonZeroU16>,
    /// Whether it sees the token.
    pub mount: bool,
    /// What it requests and is limited to, once [`super::Plan::fit`] has said it.
    pub resources: Option<Resources>,
}

/// The containers that are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The sidecar as a restartable init container, started before all others and ended after them (Kubernetes 1.29).
    Native,
    /// The sidecar as a container like the application's.
    Plain,
    /// The init container that redirects the metadata address to the sidecar.
    Redirection,
}

/// The sidecar as it will be, or is, in the pod.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) port: NonZeroU16,
    /// What the App Service form has to bring.
    header: Value,
    pub(super) federation: bool,
    reach: Reach,
    /// Whether the node's network is the pod's: then any process of the node can reach the sidecar.
    host: bool,
}

impl Role {
    /// The list it is put at the head of.
    pub fn list(self) -> List {
        match self {
            Self::Native | Self::Redirection => List::Init,
            Self::Plain => List::Main,
        }
    }
}

/// Whether the container is our sidecar: by name if written by hand, or by what it is told if another webhook renamed it.
pub(super) fn is_ours(container: &Container<'_>) -> bool {
    let told = |env: &Env<'_>| env.has(Name::ExpectedIdentityHeader);
    container.name.as_str() == names::CONTAINER_NAME || container.env.as_ref().is_some_and(told)
}

/// Whether the container is the sidecar of Azure Workload Identity.
pub(super) fn is_foreign(container: &Container<'_>) -> bool {
    container.name.as_str() == contract::AZWI_PROXY
}

pub(super) fn is_sidecar(container: &Container<'_>) -> bool {
    is_ours(container) || is_foreign(container)
}

/// Whether the container redirects, and needs nothing else.
pub(super) fn is_redirection(container: &Container<'_>) -> bool {
    matches!(container.name.as_str(), names::REDIRECT_CONTAINER_NAME | contract::AZWI_PROXY_INIT)
}

/// Whether the pod has our sidecar.
pub(super) fn is_present(pod: &Pod<'_>) -> bool {
    pod.spec.all_containers().any(is_ours)
}

/// The sidecar that the pod can have of the one it asks for.
pub(super) fn place(
    pod: &Pod<'_>,
    wanted: Sidecar,
    settings: &Settings,
    random: u128,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Placed>, Denial> {
    if pod.spec.is_windows() {
        warnings.push(Warning::new("the sidecar runs on Linux only: this Windows pod gets the token and variables"));
        return Ok(None);
    }
    let Sidecar { port, federation, reach } = wanted;
    let host = pod.spec.host_network;
    if host && matches!(reach, Reach::Redirect(_)) {
        return Err(Denial::HostNetwork);
    }
    if matches!(reach, Reach::Redirect(_)) && settings.sidecar.variable(Name::PassThrough).is_some() {
        exempts_nobody_else(pod)?;
    }
    let default = if host { host_port(settings, random) } else { NonZeroU16::new(names::DEFAULT_PORT) };
    let port = port.or(default).unwrap_or(NonZeroU16::MAX);
    let header = if host { Value::Literal(format!("{random:032x}").into()) } else { Value::PodUid };
    Ok(Some(as_found(pod, Placed { port, header, federation, reach, host })))
}

/// The redirection exempts the sidecar's user where the sidecar may read of the real metadata service; who shared that user
/// would ask the real service for tokens, of the node's identity. Images say such a user, too: distroless ones this very one.
/// Root can become any user.
fn exempts_nobody_else(pod: &Pod<'_>) -> Result<(), Denial> {
    let mut applications = pod.spec.all_containers().filter(|own| !is_sidecar(own) && !is_redirection(own));
    match applications.find(|own| pod.spec.user(own).is_none_or(|user| user == 0 || user == i64::from(names::USER_ID)))
    {
        Some(own) => Err(Denial::PassThrough { container: own.name.to_string(), user: pod.spec.user(own) }),
        None => Ok(()),
    }
}

/// The sidecar that a running pod has.
pub(super) fn found(pod: &Pod<'_>) -> Option<Placed> {
    if !is_present(pod) {
        return None;
    }
    let applications = || pod.spec.all_containers().filter(|container| !is_sidecar(container));
    Some(as_found(
        pod,
        Placed {
            port: NonZeroU16::new(names::DEFAULT_PORT)?,
            header: Value::PodUid,
            federation: applications().any(volume::is_mounted),
            reach: Reach::Endpoint,
            host: pod.spec.host_network,
        },
    ))
}

/// Port and header are as the pod's own sidecar has them: written by hand, or by an earlier admission of the same pod.
fn as_found(pod: &Pod<'_>, placed: Placed) -> Placed {
    let Some(env) = pod.spec.all_containers().find(|container| is_ours(container)).and_then(|own| own.env.as_ref())
    else {
        return placed;
    };
    // The sidecar takes an empty one for none.
    let header = env.value(Name::ExpectedIdentityHeader).filter(|own| !own.is_empty());
    let header = header.map(|own| Value::Literal(own.to_owned().into()));
    let told = env.has(Name::ExpectedIdentityHeader);
    let port = env.value(Name::Port).and_then(decimal).or(NonZeroU16::new(names::DEFAULT_PORT));
    Placed {
        port: port.filter(|_| env.has(Name::Port)).unwrap_or(placed.port),
        header: header.unwrap_or(if told { Value::PodUid } else { placed.header }),
        ..placed
    }
}

/// One of the operator's ports. Pods of one template differ in nothing but chance when they are admitted.
fn host_port(settings: &Settings, random: u128) -> Option<NonZeroU16> {
    let range = &settings.sidecar.host_ports;
    let size = u128::from(range.end().saturating_sub(*range.start())) + 1;
    let offset = u16::try_from(random % size).unwrap_or_default();
    NonZeroU16::new(range.start().saturating_add(offset))
}

/// Whether the variables would lead to something: the proxy of Azure Workload Identity answers at the redirected
/// metadata address, and not at [`names::APP_SERVICE_TOKEN_PATH`].
pub(super) fn serves_endpoint(pod: &Pod<'_>, placed: &Placed, warnings: &mut Vec<Warning>) -> bool {
    let foreign = pod.spec.all_containers().any(is_foreign);
    if foreign && !placed.federation {
        warnings.push(Warning::new(format!(
            "container {} counts as the sidecar, and serves no {}; remove it to get Podbadge's",
            contract::AZWI_PROXY,
            names::IDENTITY_ENDPOINT
        )));
    }
    !foreign
}

/// The containers that the pod lacks: the sidecar first, so that init containers reach it, and right behind it the
/// redirection.
pub(super) fn injected<'a>(pod: &Pod<'_>, context: &Context<'a>, warnings: &mut Vec<Warning>) -> Vec<Injected<'a>> {
    let foreign = pod.spec.all_containers().any(is_foreign);
    let Some(placed) = context.placed.as_ref().filter(|_| !foreign) else {
        return Vec::new();
    };
    // A pod without containers is the API server's to refuse; the sidecar must not make it a valid one.
    if pod.spec.containers.is_empty() {
        return Vec::new();
    }
    let mut injected = Vec::with_capacity(2);
    if !is_present(pod) {
        let role = if context.settings.sidecar.native { Role::Native } else { Role::Plain };
        warn(pod, placed, role, warnings);
        let fresh = Container { name: names::CONTAINER_NAME.into(), ..Container::default() };
        let grant = context.grant(&fresh);
        let variables = grant.map(|grant| context.variables(grant, &fresh, warnings)).unwrap_or_default();
        injected.push(container(context, role, variables, placed.host.then_some(placed.port)));
    }
    if let Reach::Redirect(level) = placed.reach
        && !pod.spec.all_containers().any(is_redirection)
    {
        // The API server refuses the pod in its own words; this says what to do about it.
        if let Some(level) = level.filter(|level| *level != PodSecurity::Privileged) {
            warnings.push(Warning::new(format!(
                "the namespace enforces Pod Security {level}, which refuses redirection: set {} to endpoint",
                contract::SIDECAR
            )));
        }
        let port = Variable { name: names::PORT, value: Value::text(&placed.port) };
        let exempt = context.settings.sidecar.variable(Name::PassThrough);
        let exempt = exempt.map(|paths| Variable { name: names::PASS_THROUGH, value: unexpanded(&paths) });
        let variables = std::iter::once(port).chain(exempt).collect();
        injected.push(container(context, Role::Redirection, variables, None));
    }
    injected
}

fn container<'a>(
    context: &Context<'a>,
    role: Role,
    variables: Vec<Variable>,
    port: Option<NonZeroU16>,
) -> Injected<'a> {
    Injected {
        role,
        image: &context.settings.sidecar.image,
        variables,
        port,
        mount: role != Role::Redirection,
        resources: None,
    }
}

/// The secrets that the image is pulled with, as far as the pod lacks them.
pub(super) fn pull_secrets<'a>(pod: &Pod<'_>, injected: &[Injected<'_>], settings: &'a Settings) -> Vec<&'a str> {
    if injected.is_empty() {
        return Vec::new();
    }
    let has = |name: &str| pod.spec.image_pull_secrets.iter().flatten().any(|own| own.name.as_str() == name);
    settings.sidecar.pull_secrets.iter().map(String::as_str).filter(|name| !has(name)).collect()
}

/// The variables by which SDKs find the endpoint.
pub(super) fn endpoint_variables(
    placed: &Placed,
    container: &Container<'_>,
    env: &Env<'_>,
    variables: &mut Vec<Variable>,
    warnings: &mut Vec<Warning>,
) {
    let host = format!("http://127.0.0.1:{}", placed.port);
    let endpoint = format!("{host}{}", names::APP_SERVICE_TOKEN_PATH);
    // A pair or nothing: with one of the two, some SDKs raise and others fall back to the node's identity.
    match (env.has(Name::IdentityEndpoint), env.has(Name::IdentityHeader)) {
        (false, false) => {
            variables.push(Variable { name: names::IDENTITY_ENDPOINT, value: Value::Literal(endpoint.into()) });
            variables.push(Variable { name: names::IDENTITY_HEADER, value: placed.header.clone() });
        }
        (true, true) => {}
        (true, false) | (false, true) => warnings.push(Warning::mistake(format!(
            "container {} sets one of {} and {}, which work only as a pair: remove it, or set both",
            container.name,
            names::IDENTITY_ENDPOINT,
            names::IDENTITY_HEADER
        ))),
    }
    // On the host network the sidecar does not serve this form, which asks for no secret.
    if !env.has(Name::PodIdentityAuthorityHost) && !placed.host {
        variables.push(Variable { name: names::POD_IDENTITY_AUTHORITY_HOST, value: Value::Literal(host.into()) });
    }
}

/// The sidecar's own settings.
pub(super) fn own_variables(
    placed: &Placed,
    identity: &Identity<'_>,
    of_operator: &[(Name, String)],
    env: &Env<'_>,
    variables: &mut Vec<Variable>,
) {
    let mut add = |known, name, value: Option<Value>| {
        if let Some(value) = value.filter(|_| !env.has(known)) {
            variables.push(Variable { name, value });
        }
    };
    add(Name::Port, names::PORT, Some(Value::text(&placed.port)));
    add(Name::ExpectedIdentityHeader, names::EXPECTED_IDENTITY_HEADER, Some(placed.header.clone()));
    add(Name::Imds, names::IMDS, placed.host.then(|| Value::Literal("off".into())));
    add(Name::AllowedClientIds, names::ALLOWED_CLIENT_IDS, identity.allowed.as_ref().map(Value::text));
    add(Name::IdentityMap, names::IDENTITY_MAP, identity.map.as_ref().map(unexpanded));
    // Where the form is off that would be passed through, the sidecar does not start with it.
    for (known, value) in of_operator.iter().filter(|(known, _)| !(placed.host && *known == Name::PassThrough)) {
        let name = Name::OPERATORS.into_iter().find(|(own, _)| own == known).map(|(_, name)| name);
        name.into_iter().for_each(|name| add(*known, name, Some(unexpanded(value))));
    }
}

/// The kubelet would expand `$(...)`; with two dollars it stays what it is
/// (<https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>).
fn unexpanded(value: &impl ToString) -> Value {
    Value::Literal(value.to_string().replace("$(", "$$(").into())
}

fn warn(pod: &Pod<'_>, placed: &Placed, role: Role, warnings: &mut Vec<Warning>) {
    let port = i64::from(placed.port.get());
    for container in pod.spec.all_containers() {
        if container.ports.iter().any(|declared| declared.container_port == port) {
            warnings.push(Warning::mistake(format!(
                "container {} declares port {port}, on which the sidecar listens; set annotation {} to another",
                container.name,
                contract::PROXY_SIDECAR_PORT
            )));
        }
    }
    if let Reach::Fallback(level) = placed.reach {
        let why = match level {
            Some(level) => format!("the namespace enforces Pod Security {level}"),
            None => format!("the namespace has no label {}", contract::POD_SECURITY_ENFORCE),
        };
        warnings.push(Warning::new(format!(
            "the sidecar runs without redirection, since {why}: SDKs find it, clients that only know 169.254.169.254 do not"
        )));
    }
    if pod.spec.share_process_namespace {
        warnings.push(Warning::new("shareProcessNamespace shows the sidecar's token file to the other containers"));
    }
    if role == Role::Plain && pod.spec.is_finite() {
        warnings.push(Warning::new("this cluster has no native sidecars: the sidecar keeps the pod from completing"));
    }
    if role == Role::Plain && pod.spec.init_containers.as_ref().is_some_and(|list| !list.is_empty()) {
        warnings.push(Warning::new(
            "this cluster has no native sidecars: init containers run before the sidecar and cannot reach it",
        ));
    }
}
