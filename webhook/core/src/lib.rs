//! The webhook's decisions: which identity a pod has, and what has to be added to it.
//!
//! ```text
//! review JSON -> pod (a narrow view) -> screen (cheap skips) -> identity (who) -> plan (what) -> patch (how)
//! ```
//!
//! Everything here is a function of its arguments: no I/O, no clock, no randomness. The pod is never written back:
//! the answer is a list of `add` operations (RFC 6902), so fields that this build has never heard of survive.

pub mod advice;
pub mod annotation;
pub mod contract;
pub mod decision;
pub mod denial;
pub mod election;
pub mod heal;
pub mod identity;
pub mod patch;
pub mod plan;
pub mod pod;
pub mod request;
pub mod resources;
pub mod selection;
pub mod settings;
pub mod value;
pub mod warning;
