//! Logs: one line an event on standard error, as JSON or text, by `tracing`.
//!
//! The level is Podbadge's own. Its libraries are kept one step quieter and never below `debug`, because at that depth
//! some of them print what passes through them, and here tokens do.

use std::{fmt, io, str::FromStr};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, fmt::MakeWriter, layer::SubscriberExt};

/// How much is logged; each level includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happened: start, stop, reloads, one line an admission.
    #[default]
    Info,
    /// Why it happened.
    Debug,
    /// Everything, with the libraries' own `debug`.
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, the event's fields at its top.
    #[default]
    Json,
    /// For people.
    Text,
}

/// What can go wrong with the settings of the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such level.
    #[error("unknown log level {0:?}: use error, warn, info, debug or trace")]
    Level(String),
    /// No such format.
    #[error("unknown log format {0:?}: use json or text")]
    Format(String),
    /// The process already logs somewhere.
    #[error("logs were already set up")]
    AlreadySet,
}

/// Sends the events of the whole process to standard error.
///
/// # Errors
/// [`Error::AlreadySet`] on a second call.
pub fn init(level: Level, format: Format) -> Result<(), Error> {
    init_to(level, format, io::stderr)
}

/// Sends the events of the whole process to `out`, a line in one write each: for those who look for what must not be there.
///
/// # Errors
/// [`Error::AlreadySet`] on a second call.
pub fn init_to<W>(level: Level, format: Format, out: W) -> Result<(), Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let subscriber = subscriber(level, format, out);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadySet)
}

fn subscriber<W>(level: Level, format: Format, out: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(out);
    let lines = match format {
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        Format::Text => lines.boxed(),
    };
    let (own, libraries) = level.filters();
    let filter = Targets::new().with_default(libraries).with_target("podbadge", own);
    Box::new(tracing_subscriber::registry().with(lines).with(filter))
}

// === impl Level ===

impl Level {
    /// The level's name, as read and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// For Podbadge's own events, and for those of the libraries.
    const fn filters(self) -> (LevelFilter, LevelFilter) {
        match self {
            Self::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
            Self::Warn => (LevelFilter::WARN, LevelFilter::WARN),
            Self::Info => (LevelFilter::INFO, LevelFilter::WARN),
            Self::Debug => (LevelFilter::DEBUG, LevelFilter::INFO),
            Self::Trace => (LevelFilter::TRACE, LevelFilter::DEBUG),
        }
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| Error::Level(text.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Format ===

impl Format {
    /// The format's name, as read and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Json, Self::Text]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| Error::Format(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
