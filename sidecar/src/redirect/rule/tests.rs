use std::net::Ipv4Addr;

use super::*;

/// The whole transaction, in hexadecimal. The chain and the rule are what `nft` itself sends for the same words, but for
/// the policy, which is the kernel's own.
const EXPECTED: &str = "
14000000 1000 0100 00000000 00000000  00 00 000a   # NFNL_MSG_BATCH_BEGIN, for NFNL_SUBSYS_NFTABLES

24000000 000a 0104 00000000 00000000  02 00 0000   # NFT_MSG_NEWTABLE, NLM_F_CREATE; NFPROTO_IPV4
  0d00 0100 706f646261646765 00000000              # NFTA_TABLE_NAME podbadge
24000000 020a 0100 00000000 00000000  02 00 0000   # NFT_MSG_DELTABLE
  0d00 0100 706f646261646765 00000000
24000000 000a 0104 00000000 00000000  02 00 0000   # NFT_MSG_NEWTABLE
  0d00 0100 706f646261646765 00000000

4c000000 030a 0104 00000000 00000000  02 00 0000   # NFT_MSG_NEWCHAIN
  0d00 0100 706f646261646765 00000000              # NFTA_CHAIN_TABLE podbadge
  0b00 0300 6f75747075740000                       # NFTA_CHAIN_NAME output
  1400 0480                                        # NFTA_CHAIN_HOOK
    0800 0100 00000003                             #   NF_INET_LOCAL_OUT
    0800 0200 ffffff9b                             #   -101
  0800 0700 6e617400                               # NFTA_CHAIN_TYPE nat

94010000 060a 050c 00000000 00000000  02 00 0000   # NFT_MSG_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND
  0d00 0100 706f646261646765 00000000              # NFTA_RULE_TABLE podbadge
  0b00 0200 6f75747075740000                       # NFTA_RULE_CHAIN output
  6401 0480                                        # NFTA_RULE_EXPRESSIONS
    3400 0180 0c00 0100 7061796c6f616400 2400 0280 # payload
      0800 0100 00000001                           #   into register 1
      0800 0200 00000001                           #   NFT_PAYLOAD_NETWORK_HEADER
      0800 0300 00000010                           #   byte 16
      0800 0400 00000004                           #   4 bytes
    2c00 0180 0800 0100 636d7000 2000 0280         # cmp
      0800 0100 00000001                           #   register 1
      0800 0200 00000000                           #   NFT_CMP_EQ
      0c00 0380 0800 0100 ADDRESS
    2400 0180 0900 0100 6d657461 00000000 1400 0280 # meta
      0800 0200 00000010                           #   NFT_META_L4PROTO
      0800 0100 00000001
    2c00 0180 0800 0100 636d7000 2000 0280         # cmp
      0800 0100 00000001
      0800 0200 00000000
      0c00 0380 0500 0100 06000000                 #   TCP
    3400 0180 0c00 0100 7061796c6f616400 2400 0280 # payload
      0800 0100 00000001
      0800 0200 00000002                           #   NFT_PAYLOAD_TRANSPORT_HEADER
      0800 0300 00000002                           #   byte 2
      0800 0400 00000002                           #   2 bytes
    2c00 0180 0800 0100 636d7000 2000 0280         # cmp
      0800 0100 00000001
      0800 0200 00000000
      0c00 0380 0600 0100 FROM 0000
    2c00 0180 0e00 0100 696d6d656469617465000000 1800 0280 # immediate
      0800 0100 00000001
      0c00 0280 0600 0100 TO 0000
    2400 0180 0a00 0100 7265646972000000 1400 0280 # redir
      0800 0100 00000001                           #   to the port in register 1
      0800 0300 00000002                           #   NF_NAT_RANGE_PROTO_SPECIFIED

14000000 1100 0100 00000000 00000000  00 00 000a   # NFNL_MSG_BATCH_END
";

fn bytes(text: &str) -> Vec<u8> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: String = lines.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[test]
fn the_transaction_is_what_nft_would_send() {
    for (address, from, to) in [
        (Ipv4Addr::new(169, 254, 169, 254), 80, 8000),
        (Ipv4Addr::new(169, 254, 169, 254), 80, 1),
        (Ipv4Addr::new(10, 1, 2, 3), 65535, 443),
    ] {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let expected = EXPECTED
            .replace("ADDRESS", &hexadecimal(&address.octets()))
            .replace("FROM", &hexadecimal(&u16::to_be_bytes(from)))
            .replace("TO", &hexadecimal(&u16::to_be_bytes(to)));
        assert_eq!(
            transaction(SocketAddrV4::new(address, from), to, None),
            bytes(&expected),
            "{address}:{from} to {to}"
        );
    }
}
