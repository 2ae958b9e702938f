//! Podbadge on a real control plane: what a test needs to create a pod through a real API server and to see its
//! containers run.
//!
//! ```text
//!  a test run, in namespaces of its own (network, mounts, processes): `sandbox`
//!  ┌──────────────────────────────────────────────────────────────────────────────┐
//!  │ etcd · kube-apiserver · kube-controller-manager : `control_plane`            │
//!  │    │ pods to bind and run   ▲ tokens, status   │ admission   ▲ issuer's keys │
//!  │    ▼                        │                  ▼             │               │
//!  │ node stand-in : `node`      │       Service's endpoints    Entra ID, vault : │
//!  │                             │        = webhook's pods       `entra`          │
//!  │  ──────────────── bridge 10.77.0.1 : `network` ────────────────────────────  │
//!  │   pod 10.77.1.1: processes in the pod's network namespace, each with a root  │
//!  │   file system of its own, its volumes mounted, its variables set             │
//!  └──────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Podbadge is installed by its chart (`install`), and its webhook runs in pods like everybody else. Only the container
//! runtime and the images are not the real thing: an image is a table entry that says which programs of this machine it
//! holds (`images`). Azure Workload Identity and cert-manager are the real ones, too (`peers`, `cert_manager`).

pub mod cert_manager;
pub mod cluster;
pub mod control_plane;
pub mod entra;
pub mod images;
pub mod install;
pub mod kubectl;
pub mod kubernetes;
pub mod network;
pub mod node;
pub mod peers;
pub mod sandbox;
pub mod scope;
pub mod shell;
pub mod tools;

pub use podbadge_machine::wait;
