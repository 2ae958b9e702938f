//! Writes a plan as a JSON Patch of `add` operations (RFC 6902).
//!
//! The text is written directly: the pointers and values are known, and a tree of them would cost more than the rest of
//! the admission.

mod container;
mod volume;

use crate::{
    contract,
    plan::{Addition, DefaultContainer, Exceptions, Injected, List, Plan, TokenVolume, Value, Variable},
};
use container::Container;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};
use std::{collections::BTreeMap, io::Write as _};

/// The text of a JSON Patch with at least one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch(Vec<u8>);

/// Where in the pod an operation points, written without a detour over a string.
#[derive(Clone, Copy)]
enum Pointer {
    Annotations,
    DefaultContainer,
    PullSecrets,
    PullSecret,
    Volumes,
    Volume,
    List(List),
    Head(List),
    Env(List, usize),
    Variable(List, usize),
    Own(List, usize, usize),
    Mounts(List, usize),
    Mount(List, usize),
}

struct Mount<'a>(&'a str);

/// The reference to a secret that images are pulled with.
#[derive(Serialize)]
struct PullSecret<'a> {
    name: &'a str,
}

/// Writes the plan; `None` where it adds nothing.
pub fn write(plan: &Plan<'_>) -> Option<Patch> {
    let mut operations = Operations(Vec::with_capacity(2048));
    let Plan { volume, containers, injected, first_init, default_container, pull_secrets, first_secret, mount_path } =
        plan;
    if let Some(default) = default_container {
        operations.default_container(default);
    }
    if let Some(volume) = volume {
        operations.volume(volume);
    }
    for addition in containers {
        operations.container(addition, mount_path);
    }
    operations.pull_secrets(pull_secrets, *first_secret);
    // Last, because they move the containers that the operations above point at.
    operations.injected(List::Init, injected, *first_init, mount_path);
    operations.injected(List::Main, injected, false, mount_path);
    operations.end()
}

struct Operations(Vec<u8>);

// === impl Patch ===

impl Patch {
    /// The patch as JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// === impl Operations ===

impl Operations {
    fn add(&mut self, path: Pointer, value: impl Serialize) {
        let Self(out) = self;
        out.push(if out.is_empty() { b'[' } else { b',' });
        out.extend_from_slice(br#"{"op":"add","path":""#);
        path.write(out);
        out.extend_from_slice(br#"","value":"#);
        // Writing plain data to memory has no way to fail.
        let _ = serde_json::to_writer(&mut *out, &value);
        out.push(b'}');
    }

    fn volume(&mut self, volume: &TokenVolume<'_>) {
        if volume.first {
            self.add(Pointer::Volumes, [volume]);
        } else {
            self.add(Pointer::Volume, volume);
        }
    }

    fn container(&mut self, addition: &Addition<'_>, mount_path: &str) {
        let Addition { list, index, variables, first_variable, exceptions, mount } = addition;
        for exception in exceptions {
            self.add(Pointer::Own(*list, *index, exception.index), exception);
        }
        if *first_variable && !variables.is_empty() {
            self.add(Pointer::Env(*list, *index), variables);
        } else {
            for variable in variables {
                self.add(Pointer::Variable(*list, *index), variable);
            }
        }
        match mount {
            Some(true) => self.add(Pointer::Mounts(*list, *index), [Mount(mount_path)]),
            Some(false) => self.add(Pointer::Mount(*list, *index), Mount(mount_path)),
            None => {}
        }
    }

    /// Puts the containers of one list at its head, in their order.
    fn injected(&mut self, list: List, all: &[Injected<'_>], first: bool, mount_path: &str) {
        let containers = all.iter().filter(|container| container.role.list() == list);
        let containers: Vec<_> = containers.map(|container| Container::new(container, mount_path)).collect();
        if containers.is_empty() {
            return;
        }
        if first {
            self.add(Pointer::List(list), containers);
        } else {
            for container in containers.iter().rev() {
                self.add(Pointer::Head(list), container);
            }
        }
    }

    fn pull_secrets(&mut self, names: &[&str], first: bool) {
        let secrets = names.iter().map(|name| PullSecret { name });
        if first && !names.is_empty() {
            self.add(Pointer::PullSecrets, secrets.collect::<Vec<_>>());
        } else {
            secrets.for_each(|secret| self.add(Pointer::PullSecret, secret));
        }
    }

    fn default_container(&mut self, default: &DefaultContainer<'_>) {
        if default.first {
            self.add(Pointer::Annotations, BTreeMap::from([(contract::DEFAULT_CONTAINER, default.name)]));
        } else {
            self.add(Pointer::DefaultContainer, default.name);
        }
    }

    fn end(mut self) -> Option<Patch> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(b']');
        Some(Patch(self.0))
    }
}

// === impl Pointer ===

impl Pointer {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Annotations => out.extend_from_slice(b"/metadata/annotations"),
            // RFC 6901: a slash within a token is written `~1`.
            Self::DefaultContainer => {
                out.extend_from_slice(b"/metadata/annotations/");
                out.extend_from_slice(contract::DEFAULT_CONTAINER.replace('/', "~1").as_bytes());
            }
            Self::PullSecrets => out.extend_from_slice(b"/spec/imagePullSecrets"),
            Self::PullSecret => out.extend_from_slice(b"/spec/imagePullSecrets/-"),
            Self::Volumes => out.extend_from_slice(b"/spec/volumes"),
            Self::Volume => out.extend_from_slice(b"/spec/volumes/-"),
            Self::List(list) => list.write(out),
            Self::Head(list) => {
                list.write(out);
                out.extend_from_slice(b"/0");
            }
            Self::Env(list, index) => below(list, index, "env", out),
            Self::Variable(list, index) => below(list, index, "env/-", out),
            Self::Own(list, index, own) => {
                below(list, index, "env", out);
                token(own, out);
                out.extend_from_slice(b"/value");
            }
            Self::Mounts(list, index) => below(list, index, "volumeMounts", out),
            Self::Mount(list, index) => below(list, index, "volumeMounts/-", out),
        }
    }
}

impl List {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Self::Init => b"/spec/initContainers".as_slice(),
            Self::Main => b"/spec/containers",
            Self::Ephemeral => b"/spec/ephemeralContainers",
        });
    }
}

fn below(list: List, index: usize, field: &str, out: &mut Vec<u8>) {
    list.write(out);
    token(index, out);
    out.push(b'/');
    out.extend_from_slice(field.as_bytes());
}

fn token(index: usize, out: &mut Vec<u8>) {
    // Writing to memory has no way to fail.
    let _ = write!(out, "/{index}");
}

// === impl Serialize ===

impl Serialize for Mount<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut mount = out.serialize_struct("Mount", 3)?;
        mount.serialize_field("name", contract::VOLUME)?;
        mount.serialize_field("mountPath", self.0)?;
        mount.serialize_field("readOnly", &true)?;
        mount.end()
    }
}

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Source {
            field_ref: Field,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Field {
            field_path: &'static str,
        }
        let mut variable = out.serialize_map(Some(2))?;
        variable.serialize_entry("name", self.name)?;
        match &self.value {
            Value::Literal(text) => variable.serialize_entry("value", text)?,
            Value::PodUid => {
                let source = Source { field_ref: Field { field_path: "metadata.uid" } };
                variable.serialize_entry("valueFrom", &source)?;
            }
        }
        variable.end()
    }
}

impl Serialize for Exceptions<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let separator = if self.own.is_empty() { "" } else { "," };
        out.collect_str(&format_args!("{}{separator}{}", self.own, self.missing.join(",")))
    }
}
