//! The rule, as the messages that the kernel's nf_tables reads (`linux/netfilter/nf_tables.h`). What they say, in the
//! words of `nft`:
//!
//! ```text
//! table ip podbadge {
//!     chain output {
//!         type nat hook output priority -101; policy accept;
//!         ip daddr 169.254.169.254 tcp dport 80 redirect to :8000
//!     }
//! }
//! ```
//!
//! Where somebody is exempt, `meta skuid != 65532` stands before.

use std::net::SocketAddrV4;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, Expressions, Hook, Immediate, InetHookNumber, Meta, MetaKey,
    NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
};

/// Ours alone, and the whole of it: whatever else is in it goes.
const TABLE: &str = "podbadge";
const CHAIN: &str = "output";
/// One before `NF_IP_PRI_NAT_DST`, where destinations are translated: the first translation counts, and a service mesh, which
/// takes every address to its own proxy there, must not take this one.
const PRIORITY: i32 = -101;

/// Bases of [`Payload`]: `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `NFTA_REDIR_REG_PROTO_MIN`: the register with the port.
const REDIRECT_PORT: u16 = 1;
/// `NFTA_REDIR_FLAGS`, and of these `NF_NAT_RANGE_PROTO_SPECIFIED`: to a port of the packet filter's choice, not the
/// packet's own.
const REDIRECT_FLAGS: u16 = 3;
const PORT_GIVEN: u32 = 2;

/// The whole request. The kernel carries out all of it or nothing, at once for every packet. The one message that asks
/// for an acknowledgement is the last that can fail.
pub(super) fn transaction(from: SocketAddrV4, port: u16, exempt: Option<u32>) -> Vec<u8> {
    let table = || TableMessage { attributes: vec![TableAttribute::Name(TABLE.to_owned())] };
    let mut batch = Vec::new();
    push(&mut batch, 0, ControlMessage::BatchBegin);
    // Deleting what is not there would fail; creating what is there does not.
    push(&mut batch, NLM_F_CREATE, NfTablesMessage::NewTable(table()));
    push(&mut batch, 0, NfTablesMessage::DeleteTable(table()));
    push(&mut batch, NLM_F_CREATE, NfTablesMessage::NewTable(table()));
    push(&mut batch, NLM_F_CREATE, NfTablesMessage::NewChain(chain()));
    push(&mut batch, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, NfTablesMessage::NewRule(rule(from, port, exempt)));
    push(&mut batch, 0, ControlMessage::BatchEnd);
    batch
}

fn chain() -> ChainMessage {
    ChainMessage {
        attributes: vec![
            ChainAttribute::Table(TABLE.to_owned()),
            ChainAttribute::Name(CHAIN.to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(InetHookNumber::LocalOut.into()),
                Hook::Priority(PRIORITY.cast_unsigned()),
            ]),
            ChainAttribute::Type("nat".to_owned()),
        ],
    }
}

/// Addresses and ports are compared as packets have them, in network order.
fn rule(from: SocketAddrV4, port: u16, exempt: Option<u32>) -> RuleMessage {
    let others = exempt.map(|user| {
        [
            Expressions::Meta(vec![Meta::Key(MetaKey::SocketUserId), Meta::DestinationRegister(Register::Reg1)]),
            // A number of the kernel's, in its own order.
            compares(Operator::NotEqual, &user.to_ne_bytes()),
        ]
    });
    let redirected = [
        load(NETWORK_HEADER, 16, 4),
        equals(&from.ip().octets()),
        Expressions::Meta(vec![Meta::Key(MetaKey::L4Proto), Meta::DestinationRegister(Register::Reg1)]),
        equals(&[TCP]),
        load(TRANSPORT_HEADER, 2, 2),
        equals(&from.port().to_be_bytes()),
        Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Reg1),
            Immediate::Data(DataAttribute::Value(port.to_be_bytes().to_vec())),
        ]),
        Expressions::Other {
            expression_type: "redir".to_owned(),
            attributes: vec![
                DefaultNla::new(REDIRECT_PORT, u32::from(Register::Reg1).to_be_bytes().into()),
                DefaultNla::new(REDIRECT_FLAGS, PORT_GIVEN.to_be_bytes().into()),
            ],
        },
    ];
    RuleMessage {
        attributes: vec![
            RuleAttribute::Table(TABLE.to_owned()),
            RuleAttribute::Chain(CHAIN.to_owned()),
            RuleAttribute::Expressions(others.into_iter().flatten().chain(redirected).map(Into::into).collect()),
        ],
    }
}

/// Reads `length` bytes of a packet's header from `offset` on.
fn load(base: u32, offset: u32, length: u32) -> Expressions {
    Expressions::Payload(vec![
        Payload::DestinationRegister(Register::Reg1),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
}

/// Ends the rule for packets of which something else was read.
fn equals(bytes: &[u8]) -> Expressions {
    compares(Operator::Equal, bytes)
}

fn compares(operator: Operator, bytes: &[u8]) -> Expressions {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(bytes.to_vec())),
    ])
}

fn push(batch: &mut Vec<u8>, flags: u16, message: impl Into<NetfilterMessageInner>) {
    let message = message.into();
    let header = match message {
        // A batch says for whom it is.
        NetfilterMessageInner::None(_) => {
            NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, u8::from(NetfilterSubsystem::NfTables).into())
        }
        _ => NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0),
    };
    let mut message = NetlinkMessage::from(NetfilterMessage::new(header, message));
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    // Every message here is a multiple of four bytes long, as the next must begin at one.
    let start = batch.len();
    batch.resize(start + message.buffer_len(), 0);
    message.serialize(&mut batch[start..]);
}

#[cfg(test)]
mod tests;
