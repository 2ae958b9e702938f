//! The parts of a cluster that a pod meets, played on this machine: the API server's admission, the kubelet's volume and
//! variables, and the application.
//!
//! ```text
//! manifest -> apiserver -> webhook (real, over TLS) -> patched pod -> kubelet -> token volume, variables
//!                                                                        |
//!                                       application -> sidecar (real, a process) -> Entra ID
//! ```

pub mod apiserver;
pub mod application;
pub mod kubelet;
pub mod process;
pub mod webhook;
