//! How long certificates of our own live, checked.

use super::Invalid;
use crate::args::LifetimeArgs;
use podbadge_certs::policy::{Lifetime, Policy};
use std::time::Duration;

pub(super) fn read(args: &LifetimeArgs) -> Result<Policy, Invalid> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let lifetime = |valid: u32, renewal: Option<u32>| {
        let whole = Lifetime::of(seconds(valid));
        Lifetime { renewed_after: renewal.map_or(whole.renewed_after, seconds), ..whole }
    };
    let default = Policy::default();
    let policy = Policy {
        authority: lifetime(args.authority, args.authority_renewal),
        leaf: lifetime(args.leaf, args.leaf_renewal),
        overlap: seconds(args.overlap),
        settle: seconds(args.settle),
        poll: seconds(args.poll),
        retry: default.retry.min(seconds(args.poll)),
        ..default
    };
    policy.check().map_err(Invalid::Lifetimes)
}
