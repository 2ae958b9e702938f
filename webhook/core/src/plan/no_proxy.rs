//! Keeps a proxy out of the way of the sidecar: several SDKs send even loopback requests to `HTTP_PROXY`.

use super::{Value, Variable};
use crate::{
    pod::{Container, Env, Name},
    warning::Warning,
};
use std::borrow::Cow;

/// What must not go through a proxy: the sidecar by either name, and the metadata address that leads to it.
const EXCEPTIONS: [&str; 3] = ["127.0.0.1", "localhost", "169.254.169.254"];

/// The two spellings; libraries differ in which they read, and in which wins.
const SPELLINGS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Proxy exceptions in the place of those that the container has.
#[derive(Debug, PartialEq, Eq)]
pub struct Exceptions<'a> {
    /// Its place in the container's list of variables.
    pub index: usize,
    /// What the container says.
    pub own: &'a str,
    /// What it lacks.
    pub missing: Vec<&'static str>,
}

/// Plans the exceptions of a container whose environment has a proxy, or may have one that is not to be seen here.
pub(super) fn plan<'a>(
    container: &'a Container<'_>,
    variables: &mut Vec<Variable>,
    exceptions: &mut Vec<Exceptions<'a>>,
    warnings: &mut Vec<Warning>,
) {
    let unseen = container.env_from.0;
    let proxied = container.env.as_ref().is_some_and(|env| env.has(Name::Proxy));
    let own = container.env.as_ref().map(Env::no_proxy).unwrap_or_default();
    if !own.is_empty() {
        for variable in own {
            match &variable.value {
                Some(value) => exceptions.extend(extend(variable.index, value.as_str())),
                None => warnings.push(Warning::new(format!(
                    "container {}: {} comes from elsewhere; it must hold {} for the sidecar to be reached",
                    container.name,
                    variable.name,
                    EXCEPTIONS.join(",")
                ))),
            }
        }
    } else if unseen {
        // Both spellings, each with what either holds: setting only one would hide the other's exceptions from the
        // libraries that prefer the first. The kubelet expands variables of `envFrom` here, and leaves those that do
        // not exist as they stand, which names no host.
        let value = format!("$(NO_PROXY),$(no_proxy),{}", EXCEPTIONS.join(","));
        variables.extend(SPELLINGS.map(|name| Variable { name, value: Value::Literal(value.clone().into()) }));
    } else if proxied {
        let value = EXCEPTIONS.join(",");
        variables.extend(SPELLINGS.map(|name| Variable { name, value: Value::Literal(Cow::Owned(value.clone())) }));
    }
}

fn extend(index: usize, own: &str) -> Option<Exceptions<'_>> {
    let held: Vec<&str> = own.split(',').map(str::trim).collect();
    if held.contains(&"*") {
        return None;
    }
    let missing: Vec<_> = EXCEPTIONS.into_iter().filter(|exception| !held.contains(exception)).collect();
    (!missing.is_empty()).then_some(Exceptions { index, own, missing })
}
