//! What test suites need of the machine they run on: programs of others, networks of their own, patience.

pub mod namespace;
pub mod tools;
pub mod wait;
