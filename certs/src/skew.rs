//! How far the clock is off, by the API server's, which is who judges certificates.

use std::time::Duration;
use time::OffsetDateTime;

/// A clock that is further off than this is said to be wrong.
const TOLERANCE: Duration = Duration::from_secs(30);

/// What is known so far, in seconds that the clock is behind, negative if before; 0 within the tolerance.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    seconds: i64,
    told: i64,
}

/// A reading of both clocks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The time that counts.
    pub(crate) now: OffsetDateTime,
    /// How many seconds the clock is behind, if that is another number than before.
    pub(crate) changed: Option<i64>,
    /// The same, if it is worth a line in the log.
    pub(crate) telling: Option<i64>,
}

impl Skew {
    /// Judges the `local` clock by the `server`'s, which may have told no time.
    pub(crate) fn read(&mut self, local: OffsetDateTime, server: Option<OffsetDateTime>) -> Reading {
        let off = server.map_or(time::Duration::ZERO, |server| server - local);
        // What was off is right again only well within, so that nobody is told of a clock at the edge again and again.
        let tolerance = if self.seconds == 0 { TOLERANCE } else { TOLERANCE / 2 };
        let off = if off.unsigned_abs() > tolerance { off } else { time::Duration::ZERO };
        let seconds = off.whole_seconds();
        let changed = (std::mem::replace(&mut self.seconds, seconds) != seconds).then_some(seconds);
        let is_over = seconds == 0 && self.told != 0;
        let telling = (is_over || seconds.abs_diff(self.told) > TOLERANCE.as_secs()).then_some(seconds);
        self.told = telling.unwrap_or(self.told);
        Reading { now: local + off, changed, telling }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::BASE;

    #[test]
    fn a_clock_at_the_edge_is_told_of_once() {
        let mut skew = Skew::default();
        for (behind, changed, telling) in [
            (0, None, None),
            (30, None, None),
            (31, Some(31), Some(31)),
            (32, Some(32), None),
            (29, Some(29), None),
            (16, Some(16), None),
            (15, Some(0), Some(0)),
            (30, None, None),
            (-31, Some(-31), Some(-31)),
            (-61, Some(-61), None),
            (-62, Some(-62), Some(-62)),
            (0, Some(0), Some(0)),
        ] {
            let server = BASE + time::Duration::seconds(behind);
            let now = if changed == Some(0) || changed.is_none() { BASE } else { server };
            assert_eq!(skew.read(BASE, Some(server)), Reading { now, changed, telling }, "{behind} s behind");
        }
        assert_eq!(skew.read(BASE, None), Reading { now: BASE, changed: None, telling: None });
    }
}
