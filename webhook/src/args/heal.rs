//! What is done about pods that were left behind.

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
pub(crate) struct HealArgs {
    /// What is done about pods that were admitted without their identity, or whose identity has changed since
    #[arg(long, env = "PODBADGE_HEAL", value_name = "MODE", default_value = "report")]
    pub(crate) heal: HealMode,

    /// Seconds between two looks at all such pods, 5 to 86400
    #[arg(
        long,
        env = "PODBADGE_HEAL_INTERVAL",
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(5..=86_400)
    )]
    pub(crate) heal_interval: u32,

    /// Most evictions within any minute, 1 to 600, for --heal=evict
    #[arg(
        long,
        env = "PODBADGE_HEAL_EVICTIONS",
        value_name = "COUNT",
        default_value_t = 10,
        value_parser = clap::value_parser!(u16).range(1..=600)
    )]
    pub(crate) heal_evictions: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealMode {
    /// Nobody looks
    Off,
    /// They are reported by events and metrics
    Report,
    /// They are evicted besides, if their controller makes them again
    Evict,
}
