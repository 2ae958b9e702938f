//! Real clients, each alone in a network of its own with the sidecar, an Entra ID and a vault, as in a pod.
//!
//! A client (`client`) finds the sidecar in one of the ways that the webhook opens (`pod`) and lives through what happens
//! to pods (`scenario`) in a world that consists of nothing else (`world`). .NET and Java are not run but replayed
//! (`replay`). `docs/clients.md` tells what became of each (`table`).

pub mod client;
pub mod pod;
pub mod replay;
pub mod scenario;
pub mod table;
pub mod toolchain;
pub mod world;
