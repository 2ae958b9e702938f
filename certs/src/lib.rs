//! The webhook's serving certificate: made, kept, rotated and served, and `caBundle` kept right.
//!
//! ```text
//!  self-managed:  inject (read) -> store (read) -> plan -> issue -> store (write) -> inject (write) -> resolver
//!  files:         files (poll, compare bytes) ------------------------------------------------------> resolver
//! ```
//!
//! [`plan`] decides from the state, the time and the [`policy`] alone; [`material`] and [`bundle`] are the checked types
//! it speaks in; the rest are thin shells around them. Two rules hold everywhere: the last good certificate is kept,
//! whatever fails, and trust overlaps: no certificate is served before the API server was told to trust its authority.

pub mod bundle;
pub mod event;
pub mod files;
pub mod inject;
pub mod issue;
mod kubernetes;
pub mod material;
pub mod plan;
pub mod policy;
pub mod resolver;
pub mod rotate;
mod skew;
pub mod state;
pub mod store;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod log;

/// The system's clock, for the `clock` arguments here.
#[must_use]
pub fn now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}
