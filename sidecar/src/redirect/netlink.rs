//! Questions to the kernel: netlink(7).

use std::io;
use std::time::Duration;

use netlink_packet_core::{ErrorBuffer, NLMSG_ERROR, NetlinkBuffer};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// The kernel answers before sending returns. Whoever only plays a kernel may not, and a pod's start must not hang.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer repeats the message that it is about, and says little more.
const LONGEST: usize = 8192;

/// Sends `request`, in which one message asks for an acknowledgement, and returns what the kernel made of it. Without a
/// protocol it is about links, addresses and routes.
pub(super) fn ask(protocol: Option<Protocol>, request: &[u8]) -> io::Result<()> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, request, SendFlags::empty())?;
    let mut answer = [0; LONGEST];
    loop {
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
        if let Some(outcome) = outcome(answer.get(..length).unwrap_or_default()) {
            return outcome;
        }
    }
}

/// What `answer` says of the whole request: faults come before the acknowledgement, as messages are answered in order.
/// None if it is about something else.
fn outcome(answer: &[u8]) -> Option<io::Result<()>> {
    let message = NetlinkBuffer::new_checked(answer).ok().filter(|message| message.message_type() == NLMSG_ERROR)?;
    let error = ErrorBuffer::new_checked(message.payload()).ok()?;
    Some(error.code().map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code.get().wrapping_neg()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `kind` (3: the end of a list, 2: an acknowledgement or a refusal) with `content`.
    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut message = vec![16 + u8::try_from(content.len()).expect("a short one"), 0, 0, 0, kind, 0, 0, 0];
        message.extend([0; 8]);
        message.extend(content);
        message
    }

    /// The header of the message that is answered.
    const ABOUT: [u8; 16] = [36, 0, 0, 0, 6, 10, 5, 12, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn what_the_kernel_says() {
        let coded = |code: i32| message(2, &[code.to_le_bytes().as_slice(), &ABOUT].concat());
        for (answer, expected) in [
            (coded(0), Some(None)),
            (coded(-1), Some(Some(1))),
            (coded(-2), Some(Some(2))),
            (coded(-95), Some(Some(95))),
            (coded(i32::MIN), Some(Some(i32::MIN))),
            (message(2, &[0xff, 0xff, 0xff, 0xff]), Some(Some(1))),
            // Something else, too short, or longer than it says.
            (message(3, &[0; 4]), None),
            (message(2, &[]), None),
            (message(2, &[0, 0, 0]), None),
            (Vec::new(), None),
        ] {
            let said = outcome(&answer).map(|outcome| outcome.err().and_then(|error| error.raw_os_error()));
            assert_eq!(said, expected, "{answer:?}");
        }
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = message(2, &[&[0; 4][..], &ABOUT].concat());
        for length in 0..whole.len() {
            assert!(outcome(&whole[..length]).is_none(), "{length}");
        }
        assert!(matches!(outcome(&whole), Some(Ok(()))));
    }
}
