//! What happens to certificates, told to whoever keeps readiness and metrics.

use time::OffsetDateTime;

/// Something that readiness or metrics may care about. Everything in it is fit for a label or a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// For the first time a certificate is served and, where we keep `caBundle`, trusted. Told once.
    Ready,
    /// Another certificate is served.
    Published {
        /// See [`crate::resolver::Serving::publish`].
        generation: u64,
        /// The end of its validity.
        not_after: OffsetDateTime,
    },
    /// New certificates were made and stored by this replica.
    Issued,
    /// `caBundle` was written by this replica.
    Injected,
    /// This replica begins to write, or ceases to.
    Leads(bool),
    /// The clock is so many seconds behind the API server's, negative if before; 0 where they agree.
    Skewed(i64),
    /// A step failed; it will be tried again.
    Failed(Step),
    /// Steps that failed work again.
    Recovered,
}

/// What can fail, by the verb a person would use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reading or checking `tls.crt` and `tls.key`.
    ReadFiles,
    /// Making keys and certificates.
    Issue,
    /// Reading the Secret.
    ReadSecret,
    /// Writing the Secret.
    WriteSecret,
    /// Reading the MutatingWebhookConfiguration.
    ReadConfiguration,
    /// Writing the MutatingWebhookConfiguration.
    WriteConfiguration,
    /// Reading the ValidatingWebhookConfiguration, which only gives advice: pods are admitted without.
    ReadAdvice,
    /// Writing the ValidatingWebhookConfiguration, likewise.
    WriteAdvice,
    /// Finding out which replica writes: all do, and agree by the Secret's version.
    Lease,
    /// A whole round took too long.
    Wait,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ReadFiles,
        Self::Issue,
        Self::ReadSecret,
        Self::WriteSecret,
        Self::ReadConfiguration,
        Self::WriteConfiguration,
        Self::ReadAdvice,
        Self::WriteAdvice,
        Self::Lease,
        Self::Wait,
    ];

    /// A stable name, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadFiles => "read_files",
            Self::Issue => "issue",
            Self::ReadSecret => "read_secret",
            Self::WriteSecret => "write_secret",
            Self::ReadConfiguration => "read_configuration",
            Self::WriteConfiguration => "write_configuration",
            Self::ReadAdvice => "read_advice_configuration",
            Self::WriteAdvice => "write_advice_configuration",
            Self::Lease => "lease",
            Self::Wait => "wait",
        }
    }
}

/// Failures in a row, logged once each: a warning when the reason is new, then quiet, one line when it is over.
pub(crate) struct Trouble {
    of: &'static str,
    meanwhile: &'static str,
    reason: Option<String>,
}

impl Trouble {
    pub(crate) const fn of_certificates() -> Self {
        Self { of: "Certificates", meanwhile: "the last good one is served", reason: None }
    }

    pub(crate) const fn of_advice() -> Self {
        Self { of: "The caBundle for advice", meanwhile: "pods are admitted without advice", reason: None }
    }

    pub(crate) fn failed(&mut self, step: Step, reason: String) -> Event {
        let Self { of, meanwhile, .. } = self;
        if self.reason.as_ref() == Some(&reason) {
            tracing::debug!(step = step.as_str(), %reason, "{of} still cannot be kept up to date");
        } else {
            tracing::warn!(step = step.as_str(), %reason, "{of} cannot be kept up to date; {meanwhile}, trying again");
            self.reason = Some(reason);
        }
        Event::Failed(step)
    }

    pub(crate) fn over(&mut self) -> Option<Event> {
        self.reason.take().map(|_| {
            tracing::info!("{} can be kept up to date again", self.of);
            Event::Recovered
        })
    }
}
