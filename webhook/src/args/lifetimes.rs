//! How long certificates of our own live.

use clap::{Args, value_parser};

/// Ten years, in seconds: no longer than an authority is trusted anywhere.
const LONGEST: i64 = 10 * 365 * 24 * 60 * 60;
const DAY: i64 = 24 * 60 * 60;

/// For --tls=self-managed; all in seconds.
#[derive(Clone, Debug, Args)]
pub(crate) struct LifetimeArgs {
    /// Seconds that an authority is valid, 30 to 315360000
    #[arg(
        long = "tls-authority-lifetime",
        env = "PODBADGE_TLS_AUTHORITY_LIFETIME",
        value_name = "SECONDS",
        default_value_t = 31_536_000,
        value_parser = value_parser!(u32).range(30..=LONGEST)
    )]
    pub(crate) authority: u32,

    /// Seconds after which an authority is replaced, from 10; two thirds of its lifetime if unset
    #[arg(
        long = "tls-authority-renewal",
        env = "PODBADGE_TLS_AUTHORITY_RENEWAL",
        value_name = "SECONDS",
        value_parser = value_parser!(u32).range(10..=LONGEST)
    )]
    pub(crate) authority_renewal: Option<u32>,

    /// Seconds that a serving certificate is valid, 10 to 315360000
    #[arg(
        long = "tls-leaf-lifetime",
        env = "PODBADGE_TLS_LEAF_LIFETIME",
        value_name = "SECONDS",
        default_value_t = 7_776_000,
        value_parser = value_parser!(u32).range(10..=LONGEST)
    )]
    pub(crate) leaf: u32,

    /// Seconds after which a serving certificate is replaced, from 5; two thirds of its lifetime if unset
    #[arg(
        long = "tls-leaf-renewal",
        env = "PODBADGE_TLS_LEAF_RENEWAL",
        value_name = "SECONDS",
        value_parser = value_parser!(u32).range(5..=LONGEST)
    )]
    pub(crate) leaf_renewal: Option<u32>,

    /// Seconds that a replaced authority stays trusted, 4 to 31536000; at least what --tls-settle and two times --tls-poll
    /// come to
    #[arg(
        long = "tls-overlap",
        env = "PODBADGE_TLS_OVERLAP",
        value_name = "SECONDS",
        default_value_t = 86_400,
        value_parser = value_parser!(u32).range(4..=365 * DAY)
    )]
    pub(crate) overlap: u32,

    /// Seconds that API servers are given to follow a new caBundle before what it trusts is served, 1 to 3600
    #[arg(
        long = "tls-settle",
        env = "PODBADGE_TLS_SETTLE",
        value_name = "SECONDS",
        default_value_t = 15,
        value_parser = value_parser!(u32).range(1..=3600)
    )]
    pub(crate) settle: u32,

    /// Seconds between two looks at Secret and caBundle, 1 to 3600
    #[arg(
        long = "tls-poll",
        env = "PODBADGE_TLS_POLL",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = value_parser!(u32).range(1..=3600)
    )]
    pub(crate) poll: u32,
}
