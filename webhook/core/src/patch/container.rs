//! The containers that are added: the sidecar as the Pod Security level `restricted` and a quota on resources admit it
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>), and the redirection with the one capability
//! that it needs beyond.

use super::Mount;
use crate::{
    plan::{Injected, Role, Variable},
    resources::Resources,
};
use podbadge_sidecar_core::contract as names;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container<'a> {
    name: &'static str,
    image: &'a str,
    env: &'a [Variable],
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<[Port; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_mounts: Option<[Mount<'a>; 1]>,
    security_context: SecurityContext,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a Resources>,
    #[serde(flatten)]
    run: Run,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    container_port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    allow_privilege_escalation: bool,
    capabilities: Capabilities,
    privileged: bool,
    read_only_root_filesystem: bool,
    run_as_non_root: bool,
    run_as_user: u32,
    run_as_group: u32,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<[&'static str; 1]>,
}

#[derive(Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

/// What tells the ways to run one apart.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Run {
    Native { restart_policy: &'static str, startup_probe: Probe },
    Plain { lifecycle: Lifecycle },
    Once { command: [&'static str; 2] },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    exec: Exec,
    period_seconds: u32,
    failure_threshold: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    post_start: Handler,
}

#[derive(Serialize)]
struct Handler {
    exec: Exec,
}

#[derive(Serialize)]
struct Exec {
    command: [&'static str; 2],
}

// === impl Container ===

impl<'a> Container<'a> {
    pub(super) fn new(injected: &'a Injected<'_>, mount_path: &'a str) -> Self {
        let Injected { role, image, variables, port, mount, resources } = injected;
        Self {
            name: if *role == Role::Redirection { names::REDIRECT_CONTAINER_NAME } else { names::CONTAINER_NAME },
            image,
            env: variables,
            ports: port.map(|port| [Port { container_port: port.get() }]),
            volume_mounts: mount.then_some([Mount(mount_path)]),
            security_context: SecurityContext::new(*role),
            resources: resources.as_ref(),
            run: Run::new(*role),
        }
    }
}

// === impl SecurityContext ===

impl SecurityContext {
    /// Only root keeps an added capability where privileges may not escalate, and root without any other may do little else.
    fn new(role: Role) -> Self {
        let redirection = role == Role::Redirection;
        let user = if redirection { 0 } else { names::USER_ID };
        Self {
            allow_privilege_escalation: false,
            capabilities: Capabilities { drop: ["ALL"], add: redirection.then_some(["NET_ADMIN"]) },
            privileged: false,
            read_only_root_filesystem: true,
            run_as_non_root: !redirection,
            run_as_user: user,
            run_as_group: user,
            seccomp_profile: SeccompProfile { r#type: "RuntimeDefault" },
        }
    }
}

// === impl Run ===

impl Run {
    fn new(role: Role) -> Self {
        let command = |word| [names::PROGRAM, word];
        let exec = |word| Exec { command: command(word) };
        match role {
            Role::Native => Self::Native {
                restart_policy: "Always",
                startup_probe: Probe { exec: exec(names::PROBE), period_seconds: 1, failure_threshold: 60 },
            },
            // The kubelet starts containers in order and waits for this hook: the application finds the sidecar
            // listening.
            Role::Plain => Self::Plain { lifecycle: Lifecycle { post_start: Handler { exec: exec(names::WAIT) } } },
            Role::Redirection => Self::Once { command: command(names::REDIRECT) },
        }
    }
}
