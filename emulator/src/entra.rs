//! The local Entra ID: discovery, keys and the token endpoint.
//!
//! ```text
//! POST /T/oauth2/v2.0/token -> request -> decide::candidate -> issuers (network) -> decide::grant -> grant -> answer
//! ```
//!
//! [`request`], [`scope`], [`assertion`], [`decide`], [`grant`] and [`refusal`] are pure; [`http`] and [`issuers`] are
//! the shell.

pub(crate) mod assertion;
pub(crate) mod decide;
pub(crate) mod discovery;
pub(crate) mod grant;
pub(crate) mod http;
pub(crate) mod issuers;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod scope;
