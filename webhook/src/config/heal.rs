//! What is done about pods that were left behind, checked.

use super::{Invalid, check, is_name};
use crate::args::{HealArgs, HealMode};
use std::{num::NonZeroU16, time::Duration};

/// What is done about pods that were left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heal {
    /// Whether they are evicted, and not only reported.
    pub evict: bool,
    /// From one look at all pods to the next.
    pub interval: Duration,
    /// The most evictions within any minute.
    pub per_minute: NonZeroU16,
    /// The MutatingWebhookConfiguration, which says about which pods this webhook is asked.
    pub webhook_configuration: String,
    /// The name of this process in the Lease.
    pub holder: String,
}

pub(super) fn read(args: &HealArgs, holder: String, webhook_configuration: &str) -> Result<Option<Heal>, Invalid> {
    let &HealArgs { heal, heal_interval, heal_evictions } = args;
    let evict = match heal {
        HealMode::Off => return Ok(None),
        HealMode::Report => false,
        HealMode::Evict => true,
    };
    let name = |flag, value| check(flag, value, "a Kubernetes name", is_name);
    Ok(Some(Heal {
        evict,
        interval: Duration::from_secs(heal_interval.into()),
        per_minute: NonZeroU16::new(heal_evictions).unwrap_or(NonZeroU16::MIN),
        webhook_configuration: name("--webhook-configuration", webhook_configuration.to_owned())?,
        holder,
    }))
}
