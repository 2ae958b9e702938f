//! How fast the measured core is at the moment.
//!
//! Time on a core is the same on a busy machine, but for what neighbours on the same hardware take of its caches and its
//! units: factors of two were seen from one minute to the next. So a piece of work that never changes is timed on the
//! same core beside each measurement, and CPU time is judged by its ratio to that.

use std::collections::HashMap;
use std::hint::black_box;

use anyhow::Result;

use crate::process;

/// The review that admissions are measured with; its words are counted.
const TEXT: &str = include_str!("../review.json");

/// What one pass takes on the machine that the budget was set on, where `serde_json` skips the same text in 7.04 us: the
/// two were timed in turns on another machine, and have this ratio.
const REFERENCE: f64 = 32.0e-6;

/// About 50 ms in all.
const PASSES: u32 = 1_500;

/// How many times slower the measured core is now than on the machine that the budget was set on.
///
/// # Errors
///
/// The kernel does not say what time on the core was.
pub(crate) fn now() -> Result<f64> {
    let spent = process::on_measured_core(|| {
        for _ in 0..PASSES {
            black_box(words(black_box(TEXT)));
        }
    })?;
    Ok(spent.as_secs_f64() / f64::from(PASSES) / REFERENCE)
}

/// Much of what reading a document is made of: branches by bytes, short strings, hashes, small allocations.
fn words(text: &str) -> HashMap<&str, u32> {
    let mut counts = HashMap::new();
    for word in text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_is_not_done_in_vain() {
        let counts = words("a b, a");
        assert_eq!((counts["a"], counts["b"]), (2, 1));
        assert!(words(TEXT).len() > 100);
    }
}
