//! How long to wait before trying again. Pure: the random part is an argument.

use std::time::Duration;

/// Exponential backoff: the wait doubles with every failure in a row, up to a cap, and is spread so that many processes
/// which failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// `first` is the longest wait after one failure, `cap` the longest wait ever; a `cap` below `first` counts as
    /// `first`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        let cap = if cap.as_nanos() < first.as_nanos() { first } else { cap };
        Self { first, cap }
    }

    /// The wait after `failures` in a row (0 means none, so no wait): between half of the doubled time and all of it
    /// ("equal jitter"). `jitter` is a random sample from 0 to 1; anything outside counts as the nearer end.
    #[must_use]
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.cap);
        // NaN fails the comparison and counts as no jitter.
        let share = if jitter > 0.0 { jitter.min(1.0) } else { 0.0 };
        full.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wait_doubles_up_to_the_cap() {
        let backoff = Backoff::new(SECOND, 30 * SECOND);
        let waits: Vec<u64> = (0..8).map(|failures| backoff.delay(failures, 1.0).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.delay(u32::MAX, 1.0), 30 * SECOND);
    }

    #[test]
    fn the_wait_is_spread_over_its_upper_half() {
        let backoff = Backoff::new(SECOND, 30 * SECOND);
        assert_eq!(backoff.delay(1, 0.0), SECOND / 2);
        assert_eq!(backoff.delay(1, 0.5), SECOND * 3 / 4);
        for out_of_range in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(backoff.delay(1, out_of_range), SECOND / 2);
        }
        assert_eq!(backoff.delay(1, f64::INFINITY), SECOND);
    }

    #[test]
    fn a_cap_below_the_first_wait_is_the_first_wait() {
        assert_eq!(Backoff::new(SECOND, Duration::ZERO).delay(9, 1.0), SECOND);
    }
}
