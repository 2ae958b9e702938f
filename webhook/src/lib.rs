//! The mutating admission webhook: the shell around `podbadge-webhook-core`.
//!
//! ```text
//! runtime::serve -> http -> review (read) -> admit -> core::screen -> lookup -> core::decide -> review (reply)
//!                                                                       |
//!                                                     index <- watches of service accounts and namespaces
//!
//! lease -> heal: rounds over pods -> core::heal -> events, metrics, evictions
//! lease -> tls: certs, of whom one writes
//! ```

pub mod admit;
pub mod advise;
pub mod app;
pub mod args;
mod capabilities;
pub mod config;
pub mod heal;
pub mod http;
mod lease;
pub mod lookup;
pub mod metrics;
pub mod review;
mod tls;
mod trouble;
