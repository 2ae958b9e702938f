//! The sidecar as its clients and Entra ID see it, over real sockets and TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod authority;
mod conformance;
mod exchange;
mod identities;
mod leaks;
mod life;
mod limits;
mod pass_through;
mod pod;
mod process;
mod protocol;
mod retries;
mod rotation;
mod token_proxy;
