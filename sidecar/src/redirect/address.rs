//! An address for the loopback interface, as the message that the kernel reads (rtnetlink(7)).

use std::net::Ipv4Addr;

use netlink_packet_core::{
    Emitable as _, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressMessage, AddressScope};

/// `RTM_NEWADDR`.
const NEW_ADDRESS: u16 = 20;
/// In every network namespace the loopback interface is the first (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// Written out because the crate's own sum of all messages would bring the code of all into the program.
struct Addition(AddressMessage);

/// Adds `address` alone, with no network around it, or leaves it as it is. Its scope keeps it from being the source of
/// packets to elsewhere.
pub(super) fn addition(address: Ipv4Addr) -> Vec<u8> {
    let header = AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: 32,
        scope: AddressScope::Host,
        index: LOOPBACK,
        ..AddressHeader::default()
    };
    let mut addition = AddressMessage::default();
    addition.header = header;
    addition.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
    let mut message = NetlinkMessage::from(Addition(addition));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message.finalize();
    let mut request = vec![0; message.buffer_len()];
    message.serialize(&mut request);
    request
}

// === impl Addition ===

impl NetlinkSerializable for Addition {
    fn message_type(&self) -> u16 {
        NEW_ADDRESS
    }

    fn buffer_len(&self) -> usize {
        self.0.buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        self.0.emit(buffer);
    }
}

impl From<Addition> for NetlinkPayload<Addition> {
    fn from(addition: Addition) -> Self {
        Self::InnerMessage(addition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_of_the_host_itself() {
        for address in [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(10, 0, 0, 1)] {
            let expected = [
                // Length, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE | NLM_F_CREATE.
                &[40, 0, 0, 0, 20, 0, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0][..],
                // AF_INET, /32, no flags, RT_SCOPE_HOST, the first interface.
                &[2, 32, 0, 254, 1, 0, 0, 0],
                // IFA_LOCAL, IFA_ADDRESS.
                &[8, 0, 2, 0],
                &address.octets(),
                &[8, 0, 1, 0],
                &address.octets(),
            ];
            assert_eq!(addition(address), expected.concat());
        }
    }
}
