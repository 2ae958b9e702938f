//! The sidecar as the Pod Security level `restricted` and a quota on resources admit it
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use super::Mount;
use crate::plan::{Position, SidecarContainer, Variable};
use podbadge_sidecar_core::contract as names;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container<'a> {
    name: &'static str,
    image: &'a str,
    env: &'a [Variable],
    volume_mounts: [Mount<'a>; 1],
    security_context: SecurityContext,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    #[serde(flatten)]
    run: Run,
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
}

#[derive(Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

#[derive(Serialize)]
struct Resources {
    requests: Amounts,
    limits: Amounts,
}

#[derive(Serialize)]
struct Amounts {
    cpu: &'static str,
    memory: &'static str,
}

/// What tells the two ways to run a sidecar apart.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Run {
    Native { restart_policy: &'static str, startup_probe: Probe },
    Plain { lifecycle: Lifecycle },
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
    pub(super) fn new(sidecar: &'a SidecarContainer<'_>, mount_path: &'a str) -> Self {
        Self {
            name: names::CONTAINER_NAME,
            image: sidecar.image,
            env: &sidecar.variables,
            volume_mounts: [Mount(mount_path)],
            security_context: SecurityContext {
                allow_privilege_escalation: false,
                capabilities: Capabilities { drop: ["ALL"] },
                privileged: false,
                read_only_root_filesystem: true,
                run_as_non_root: true,
                run_as_user: names::USER_ID,
                run_as_group: names::USER_ID,
                seccomp_profile: SeccompProfile { r#type: "RuntimeDefault" },
            },
            resources: sidecar.resources.then_some(Resources {
                requests: Amounts { cpu: "5m", memory: "8Mi" },
                limits: Amounts { cpu: "500m", memory: "32Mi" },
            }),
            run: Run::new(sidecar.position),
        }
    }
}

// === impl Run ===

impl Run {
    fn new(position: Position) -> Self {
        let exec = |word| Exec { command: [names::PROGRAM, word] };
        match position {
            Position::Native => Self::Native {
                restart_policy: "Always",
                startup_probe: Probe { exec: exec(names::PROBE), period_seconds: 1, failure_threshold: 60 },
            },
            // The kubelet starts containers in order and waits for this hook: the application finds the sidecar
            // listening.
            Position::Plain => Self::Plain { lifecycle: Lifecycle { post_start: Handler { exec: exec(names::WAIT) } } },
        }
    }
}
