//! Every log line of the whole suite, at the most talkative level, is searched for what must not be in it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use podbadge_runtime::logs::{self, Format, Level};

use crate::pod::IDENTITY_HEADER;

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LINES: AtomicUsize = AtomicUsize::new(0);
static WATCHED: Once = Once::new();

struct Searched;

/// What a sidecar leaves behind when it goes.
pub(crate) struct NoLeaks;

impl io::Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        LINES.fetch_add(1, Ordering::Relaxed);
        if is_leak(&text) {
            LEAKS.lock().unwrap().push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NoLeaks {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            none();
        }
    }
}

/// Has every line from now on searched, and fails if something was found in those before.
pub(crate) fn none() {
    WATCHED.call_once(|| logs::init_to(Level::Trace, Format::Json, || Searched).unwrap());
    let leaks = LEAKS.lock().unwrap();
    assert!(leaks.is_empty(), "secrets in the log: {leaks:#?}");
}

/// How every JWT begins; the form of an exchange; what proves who asks.
fn is_leak(text: &str) -> bool {
    ["eyJ", "client_assertion=", IDENTITY_HEADER].iter().any(|secret| text.contains(secret))
}

#[test]
fn every_line_is_searched() {
    none();
    let before = LINES.load(Ordering::Relaxed);
    tracing::debug!(target: "podbadge_sidecar", "nothing here");
    assert!(LINES.load(Ordering::Relaxed) > before);
    for line in ["a eyJ b", "?client_assertion=x", IDENTITY_HEADER] {
        assert!(is_leak(line));
    }
}
