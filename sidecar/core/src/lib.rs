//! The sidecar's decisions, without I/O, clock or randomness.
//!
//! ```text
//! HTTP head -> request -> (what is asked) -> freshness -> (serve | refresh | wait)
//! token file's text -> assertion -> exchange (not here) -> response
//!                                             \-> error -> what the application sees
//! ```

pub mod assertion;
pub mod authority;
pub mod challenge;
pub mod contract;
pub mod error;
pub mod federation;
pub mod freshness;
pub mod grant;
pub mod identity;
pub mod ids;
pub mod pass_through;
pub mod request;
pub mod response;
pub mod retry;
pub mod secret;
pub mod text;
