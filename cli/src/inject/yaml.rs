//! YAML as kubectl reads it, and printed so that kubectl and every other reader take it for the same.
//!
//! kubectl reads with `sigs.k8s.io/yaml`, which is go-yaml v2: YAML 1.1, where `no` is a boolean and `0644` is 420. Most
//! YAML libraries read 1.2, where both are something else; so only the grammar is a library's here, the meaning is ours.

mod read;
mod scalar;
mod write;

pub(super) use read::{Error, read};
pub(super) use write::write;

#[cfg(test)]
mod tests;
