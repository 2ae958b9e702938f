//! `podbadge-sidecar redirect`: what the init container runs, so that clients which know nothing but the address of the
//! instance metadata service (scripts, Terraform, old SDKs) find the sidecar of their pod.
//!
//! It asks the kernel itself, over netlink, since an image made from scratch has no `nft` and no `ip`. Nobody is
//! exempt, the sidecar included, unless it may call the real service. Of the pod's packet filter it touches one table, its
//! own, and replaces that as a whole in one transaction, so it may run as often as the kubelet likes.

mod address;
mod netlink;
mod rule;

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use podbadge_sidecar_core::contract::METADATA_ADDRESS;
use rustix::io::Errno;
use rustix::net::Protocol;
use rustix::net::netlink::NETFILTER;
use thiserror::Error;

/// Why the metadata address does not lead to the sidecar.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// The capability is missing, or belongs to another user namespace than the network does.
    #[error("this pod's network may not be changed: run redirect as uid 0 with the capability NET_ADMIN")]
    Forbidden { source: io::Error },
    /// Left out of the kernel, or a module that is not there.
    #[error(
        "this node's kernel cannot redirect: load its modules nf_tables, nft_chain_nat and nft_redir, or let clients \
         find the sidecar by its variables alone (sidecar mode endpoint)"
    )]
    Unsupported { source: io::Error },
    /// The kernel knows the rule and still would not have it.
    #[error("cannot redirect {METADATA_ADDRESS} to port {port}")]
    Refused { port: u16, source: io::Error },
    /// The rule is there and would never be asked.
    #[error(
        "this pod has no IPv4 route to {METADATA_ADDRESS}, and adding the address to its loopback interface failed"
    )]
    Unreachable { source: io::Error },
}

/// Leads [`METADATA_ADDRESS`] of this network namespace to `port` of its loopback, in place of what an earlier run set, for
/// every user but `exempt`.
///
/// # Errors
/// [`Failed`]. The packet filter has the whole rule then or is as it was.
pub(crate) fn to_sidecar(port: u16, exempt: Option<u32>) -> Result<(), Failed> {
    let request = rule::transaction(METADATA_ADDRESS, port, exempt);
    ask(Some(NETFILTER), &request, |source| Failed::Refused { port, source })?;
    if route().is_err() {
        // The kernel looks for a route before it asks the rule, so the address must lead somewhere: to the pod itself.
        ask(None, &address::addition(*METADATA_ADDRESS.ip()), |source| Failed::Unreachable { source })?;
        route().map_err(|source| Failed::Unreachable { source })?;
    }
    Ok(())
}

/// Whether packets to the address would leave a socket. For UDP, connecting is looking for a route and sends nothing.
fn route() -> io::Result<()> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.connect(METADATA_ADDRESS)
}

fn ask(protocol: Option<Protocol>, request: &[u8], other: impl FnOnce(io::Error) -> Failed) -> Result<(), Failed> {
    netlink::ask(protocol, request).map_err(|source| failed(source, other))
}

/// What `source` means for whoever runs this; `other` is for what only this request can be refused with.
fn failed(source: io::Error, other: impl FnOnce(io::Error) -> Failed) -> Failed {
    match Errno::from_io_error(&source) {
        Some(Errno::PERM | Errno::ACCESS) => Failed::Forbidden { source },
        // No netlink, no netfilter in it, no nf_tables in that; no chains of type nat, or no redirection.
        Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::NOENT) => {
            Failed::Unsupported { source }
        }
        _ => other(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let refused = |source| Failed::Refused { port: 8000, source };
        let unreachable = |source| Failed::Unreachable { source };
        for (errno, filter, route) in [
            (Errno::PERM, "capability NET_ADMIN", "capability NET_ADMIN"),
            (Errno::ACCESS, "capability NET_ADMIN", "capability NET_ADMIN"),
            (Errno::AFNOSUPPORT, "load its modules nf_tables", "load its modules nf_tables"),
            (Errno::PROTONOSUPPORT, "load its modules nf_tables", "load its modules nf_tables"),
            (Errno::OPNOTSUPP, "load its modules nf_tables", "load its modules nf_tables"),
            (Errno::NOENT, "load its modules nf_tables", "load its modules nf_tables"),
            (Errno::INVAL, "169.254.169.254:80 to port 8000", "no IPv4 route to 169.254.169.254:80"),
            (Errno::NOBUFS, "169.254.169.254:80 to port 8000", "no IPv4 route to 169.254.169.254:80"),
        ] {
            for (failed, part) in [(failed(errno.into(), refused), filter), (failed(errno.into(), unreachable), route)]
            {
                // As it is printed.
                let line = format!("{:#}", anyhow::Error::from(failed));
                assert!(line.contains(part) && line.ends_with(&io::Error::from(errno).to_string()), "{line}");
                assert!(!line.contains('\n') && !line.contains("  "), "{line}");
            }
        }
    }
}
