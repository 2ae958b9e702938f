//! The webhook's decisions, seen from outside: a pod and what is known of its cluster go in, a pod or a text comes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod advice;
mod bounds;
mod cluster;
mod ephemeral;
mod generate;
mod golden;
mod heal;
mod oracle;
mod properties;
mod quantities;
mod resources;
mod texts;
mod values;
mod view;
