//! Writes a plan as a JSON Patch of `add` operations (RFC 6902).
//!
//! The text is written directly: the pointers and values are known, and a tree of them would cost more than the rest of
//! the admission.

mod container;

use crate::{
    contract,
    plan::{Addition, Exceptions, List, Plan, SidecarContainer, TokenVolume, Value, Variable},
};
use container::Container;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};
use std::io::Write as _;

/// The text of a JSON Patch with at least one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch(Vec<u8>);

/// Where in the pod an operation points, written without a detour over a string: none of the tokens needs escaping.
#[derive(Clone, Copy)]
enum Pointer {
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

/// Writes the plan; `None` where it adds nothing.
pub fn write(plan: &Plan<'_>) -> Option<Patch> {
    let mut operations = Operations(Vec::with_capacity(2048));
    let Plan { volume, containers, sidecar, mount_path } = plan;
    if let Some(volume) = volume {
        operations.volume(volume);
    }
    for addition in containers {
        operations.container(addition, mount_path);
    }
    // Last, because it moves the init containers that the operations above point at.
    if let Some(sidecar) = sidecar {
        operations.sidecar(sidecar, mount_path);
    }
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

    fn sidecar(&mut self, sidecar: &SidecarContainer<'_>, mount_path: &str) {
        let list = sidecar.position.list();
        let container = Container::new(sidecar, mount_path);
        if sidecar.first {
            self.add(Pointer::List(list), [container]);
        } else {
            self.add(Pointer::Head(list), container);
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

impl Serialize for TokenVolume<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Token<'a> {
            audience: &'a str,
            expiration_seconds: u32,
            path: &'a str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Source<'a> {
            service_account_token: Token<'a>,
        }
        #[derive(Serialize)]
        struct Projected<'a> {
            sources: [Source<'a>; 1],
        }
        let token = Token {
            audience: self.audience,
            expiration_seconds: self.expiration.seconds(),
            path: contract::TOKEN_FILE,
        };
        let mut volume = out.serialize_struct("Volume", 2)?;
        volume.serialize_field("name", contract::VOLUME)?;
        volume.serialize_field("projected", &Projected { sources: [Source { service_account_token: token }] })?;
        volume.end()
    }
}

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
