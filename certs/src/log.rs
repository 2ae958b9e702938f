//! Log lines of a test, as text.

use std::{cell::RefCell, io, sync::Once};

thread_local! {
    static KEPT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The lines that this thread writes while it lives.
pub(crate) struct Lines;

/// Whether a line is of interest is remembered for the whole process, so that there is one subscriber for all threads.
struct Writer;

impl Lines {
    pub(crate) fn kept() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt().json().with_writer(|| Writer).init();
            // What another thread has met in between.
            tracing::callsite::rebuild_interest_cache();
        });
        KEPT.set(Some(Vec::new()));
        Self
    }

    /// Those that hold `text`.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let all = KEPT.with_borrow(|kept| String::from_utf8(kept.clone().unwrap()).unwrap());
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        KEPT.set(None);
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        KEPT.with_borrow_mut(|kept| kept.as_mut().map(|kept| kept.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
