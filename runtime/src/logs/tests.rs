use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(level: Level, format: Format, events: impl FnOnce()) -> String {
    let lines = Lines::default();
    let out = lines.clone();
    tracing::subscriber::with_default(subscriber(level, format, move || out.clone()), events);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_carry_the_fields_at_the_top() {
    let text = logged(Level::Info, Format::Json, || tracing::info!(port = 8000, "Listening"));
    assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
    for part in [r#""level":"INFO""#, r#""port":8000"#, r#""message":"Listening""#] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn text_lines_are_plain() {
    let text = logged(Level::Info, Format::Text, || tracing::info!(port = 8000, "Listening"));
    assert!(text.contains("INFO podbadge_runtime::logs::tests: Listening port=8000\n"), "{text}");
}

#[test]
fn libraries_are_a_step_quieter() {
    let seen = |level| {
        logged(level, Format::Text, || {
            tracing::info!("own info");
            tracing::debug!("own debug");
            tracing::warn!(target: "hyper", "library warn");
            tracing::info!(target: "hyper", "library info");
            tracing::debug!(target: "hyper", "library debug");
            tracing::trace!(target: "hyper", "library trace");
        })
        .lines()
        .filter_map(|line| line.split_once(": ").map(|(_, message)| message.to_owned()))
        .collect::<Vec<_>>()
    };
    assert_eq!(seen(Level::Error), Vec::<String>::new());
    assert_eq!(seen(Level::Info), ["own info", "library warn"]);
    assert_eq!(seen(Level::Debug), ["own info", "own debug", "library warn", "library info"]);
    assert_eq!(seen(Level::Trace).last().unwrap(), "library debug", "what flows through a library is never printed");
}

#[test]
fn names_round_trip_and_others_are_refused_with_the_choices() {
    for name in ["error", "warn", "info", "debug", "trace"] {
        assert_eq!(name.parse::<Level>().unwrap().to_string(), name);
    }
    for name in ["json", "text"] {
        assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
    }
    let error = "verbose".parse::<Level>().unwrap_err().to_string();
    assert_eq!(error, r#"unknown log level "verbose": use error, warn, info, debug or trace"#);
    let error = "xml".parse::<Format>().unwrap_err().to_string();
    assert_eq!(error, r#"unknown log format "xml": use json or text"#);
}
