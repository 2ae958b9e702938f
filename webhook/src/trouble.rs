//! Failures in a row.

/// What went wrong last, so that it is said once.
#[derive(Default)]
pub(crate) struct Trouble(Option<String>);

// === impl Trouble ===

impl Trouble {
    /// Says what went wrong, loudly if it is new.
    pub(crate) fn met(&mut self, reason: &str, what: &'static str) {
        if self.0.as_deref() == Some(reason) {
            tracing::debug!(reason, "{what}");
        } else {
            tracing::warn!(reason, "{what}");
            self.0 = Some(reason.to_owned());
        }
    }

    pub(crate) fn over(&mut self) {
        if self.0.take().is_some() {
            tracing::info!("It works again");
        }
    }
}
