//! What Podbadge's processes share: how they log, listen, tell whether they are ready, and stop.
//!
//! ```text
//!  main: logs::init -> Bound::bind -> serve (traffic) + serve (admin::router) -> drain::signalled -> drain::shutdown
//!                                       |                  |
//!                                     Drain            Readiness, Metrics
//! ```
//!
//! Nothing here is global except what the operating system makes global (signals, the one tracing subscriber):
//! readiness, metrics and the drain are values, made in `main` and passed down.

pub mod admin;
#[cfg(feature = "args")]
pub mod args;
pub mod backoff;
pub mod drain;
pub mod logs;
pub mod metrics;
pub mod ready;
pub mod serve;
