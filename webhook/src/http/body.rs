//! Bodies, read whole, and no more of them at once than there is room for: whoever can reach the port can begin large ones
//! and not end them.

use axum::body::{Body, Bytes, HttpBody as _};
use http::StatusCode;
use http_body_util::BodyExt as _;
use std::{
    ops::Deref,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// The largest body. etcd takes objects of 1.5 MiB, a review holds two and their JSON is longer; near 3 MB were seen.
pub(super) const LARGEST: usize = 8 << 20;

/// The most that is set aside for a body on its sender's word; most reviews are smaller.
const FIRST_ROOM: usize = 64 << 10;

/// How much of a body that is too large is read, and forgotten, before it is refused.
const DRAINED: usize = 64 << 20;

/// What all bodies together may take: as much as small ones on all connections do.
const ROOM: usize = 160 << 20;

/// What a request takes besides its body.
const BESIDES: usize = 16 << 10;

/// API servers send a body at once.
const LONGEST: Duration = Duration::from_secs(5);

/// What is set aside for bodies.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: AtomicUsize,
}

/// A whole body, and its room.
pub(super) struct Received<'a> {
    bytes: Vec<u8>,
    _place: Place<'a>,
}

/// What one request has of the room, given back when dropped.
struct Place<'a> {
    room: &'a Room,
    taken: usize,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It did not end in time.
    #[error("the body did not end within {} s", .0.as_secs())]
    Late(Duration),
    /// Larger than announced, or cut short.
    #[error("the body ended early, or is larger than {} MiB", LARGEST >> 20)]
    Broken,
    /// Announced to be too large.
    #[error("the body is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// Others have taken the room, which is nobody's mistake who sends this one.
    #[error("there is no room for the body: others take {} MiB", ROOM >> 20)]
    NoRoom,
}

// === impl Room ===

impl Room {
    /// The whole body, unless there is too much of it, no room for it, or it does not end within `timeout`.
    pub(super) async fn receive(&self, body: Body, timeout: Duration) -> Result<Received<'_>, Refused> {
        let timeout = timeout.min(LONGEST);
        tokio::time::timeout(timeout, self.whole(body)).await.unwrap_or(Err(Refused::Late(timeout)))
    }

    async fn whole(&self, mut body: Body) -> Result<Received<'_>, Refused> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > LARGEST {
            return Err(drain(body).await);
        }
        let most = if announced > 0 { announced } else { LARGEST };
        let (mut bytes, mut place) = (Vec::new(), Place { room: self, taken: 0 });
        place.grow(&mut bytes, announced.min(FIRST_ROOM))?;
        // Each piece is let go once it is copied, so that the connection reads the next into the same buffer.
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refused::Broken)?;
            let piece = frame.data_ref().map_or(&[][..], |piece| piece);
            let length = bytes.len() + piece.len();
            if length > LARGEST {
                return Err(Refused::Broken);
            }
            if length > bytes.capacity() {
                let doubled = (2 * bytes.capacity()).min(most);
                place.grow(&mut bytes, length.max(doubled))?;
            }
            bytes.extend_from_slice(piece);
        }
        Ok(Received { bytes, _place: place })
    }
}

/// Who is still writing does not read an answer, so what was announced is let in first, within reason.
async fn drain(mut body: Body) -> Refused {
    let mut left = DRAINED;
    while left > 0
        && let Some(Ok(frame)) = body.frame().await
    {
        left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len).max(1));
    }
    Refused::TooLarge
}

/// How much of the room may be taken for a body to get so many bytes of it: the larger it is, the less, so that however many
/// large ones are begun, there is room for one that is half as large.
fn most_taken(capacity: usize) -> usize {
    let doublings = capacity.div_ceil(FIRST_ROOM).max(1).next_power_of_two().ilog2();
    let of = (LARGEST / FIRST_ROOM).ilog2() + 1;
    ROOM / of as usize * of.saturating_sub(doublings) as usize
}

// === impl Place ===

impl Place<'_> {
    /// Room for so many bytes in all, if bodies of this size may have it.
    fn grow(&mut self, bytes: &mut Vec<u8>, capacity: usize) -> Result<(), Refused> {
        let (wanted, had) = (BESIDES + capacity, self.taken);
        let taken = self.room.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            let taken = taken - had + wanted;
            (taken <= most_taken(capacity)).then_some(taken)
        });
        taken.map_err(|_| Refused::NoRoom)?;
        self.taken = wanted;
        bytes.reserve_exact(capacity - bytes.len());
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

// === impl Received ===

impl Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

// === impl Refused ===

impl Refused {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Late(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown<'a>(room: &'a Room, sizes: &[usize]) -> Result<Place<'a>, usize> {
        let (mut place, mut bytes) = (Place { room, taken: 0 }, Vec::new());
        for (at, size) in sizes.iter().enumerate() {
            place.grow(&mut bytes, *size).map_err(|_| at)?;
        }
        Ok(place)
    }

    #[test]
    fn the_larger_a_body_the_less_may_be_taken() {
        let eighth = ROOM / 8;
        for (capacity, most) in [
            (0, ROOM),
            (FIRST_ROOM, ROOM),
            (FIRST_ROOM + 1, 7 * eighth),
            (3 << 20, 2 * eighth),
            (4 << 20, 2 * eighth),
            (LARGEST, eighth),
            (LARGEST + 1, 0),
        ] {
            assert_eq!(most_taken(capacity), most, "{capacity}");
        }
    }

    #[test]
    fn whatever_large_bodies_take_smaller_ones_have_room() {
        let room = Room::default();
        let doubled: Vec<usize> = (16..=23).map(|power| 1 << power).collect();
        let mut all = Vec::new();
        // As many as there can be of each size, the largest first.
        for last in (1..doubled.len()).rev() {
            let before = all.len();
            while let Ok(place) = grown(&room, &doubled[..=last]) {
                all.push(place);
            }
            assert!(all.len() > before, "no room for {} bytes", doubled[last]);
        }
        assert!(grown(&room, &[FIRST_ROOM]).is_ok());
        drop(all);
        // Small ones on every connection.
        let small: Vec<_> = (0..2048).filter_map(|_| grown(&room, &[FIRST_ROOM]).ok()).collect();
        assert_eq!(small.len(), 2048);
        drop(small);
        assert_eq!(room.taken.load(Ordering::Relaxed), 0);
    }
}
