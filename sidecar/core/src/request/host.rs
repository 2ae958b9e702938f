//! Under which name a client reached this endpoint. A page of a foreign origin can have its own name resolve to loopback
//! (DNS rebinding) and then set any header, but its requests carry that name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `authority` (RFC 3986 section 3.2, without a user part) is an IP literal or `localhost`, with or without a
/// port: what a name server has no say in.
pub(super) fn is_local(authority: &[u8]) -> bool {
    let Ok(authority) = str::from_utf8(authority) else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    let local = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || host.eq_ignore_ascii_case("localhost"),
    };
    local && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}
