//! A small Key Vault: the challenge, and reading secrets.
//!
//! [`decide`] is pure, [`http`] is the shell.

pub(crate) mod decide;
pub(crate) mod http;
