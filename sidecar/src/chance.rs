//! Chance, for what must not happen everywhere at once.

use std::hash::{BuildHasher as _, RandomState};

/// A sample from 0 to 1, from the randomness that the standard library seeds its maps with.
pub(crate) fn jitter() -> f64 {
    let sample = RandomState::new().hash_one(()) >> 32;
    u32::try_from(sample).map_or(0.0, |sample| f64::from(sample) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_share() {
        let samples: Vec<f64> = (0..100).map(|_| jitter()).collect();
        assert!(samples.iter().all(|sample| (0.0..=1.0).contains(sample)));
        assert!(samples.iter().any(|sample| *sample < 0.5) && samples.iter().any(|sample| *sample >= 0.5));
    }
}
