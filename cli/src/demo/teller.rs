//! Tells the story: as it happens on a terminal, or as one document at its end.

use super::{
    console::{self, Console},
    step::{Step, Try},
};
use serde_json::json;
use std::{
    io::{self, IsTerminal as _, Stdout, Write as _},
    time::Duration,
};

/// Who listens.
pub(super) enum Teller {
    /// A person.
    Console(Console<Stdout>),
    /// A program.
    Json(Vec<Step>),
}

impl Teller {
    /// For a program.
    pub(super) fn json() -> Self {
        Self::Json(Vec::new())
    }

    /// For a person.
    pub(super) fn console(no_color: bool) -> io::Result<Self> {
        let out = io::stdout();
        let colours = console::colours(no_color, std::env::var_os("NO_COLOR").as_deref(), out.is_terminal());
        Console::new(out, colours).map(Self::Console)
    }

    /// Tells a step.
    pub(super) fn step(&mut self, step: Step) -> io::Result<()> {
        match self {
            Self::Console(console) => console.step(&step),
            Self::Json(steps) => {
                steps.push(step);
                Ok(())
            }
        }
    }

    /// Tells the good end; `tries` where everything goes on running.
    pub(super) fn done(&mut self, took: Duration, tries: Option<Vec<Try>>) -> io::Result<()> {
        match self {
            Self::Console(console) => console.done(took, tries.as_deref()),
            Self::Json(steps) => {
                let mut document = json!({ "ok": true, "seconds": took.as_secs_f64(), "steps": steps });
                if let Some(tries) = tries {
                    document["try"] = json!(tries);
                }
                writeln!(io::stdout(), "{document:#}")
            }
        }
    }

    /// Tells the bad end, with the steps that led there. The error itself goes to standard error.
    pub(super) fn failed(&mut self, error: &anyhow::Error) -> io::Result<()> {
        match self {
            Self::Console(_) => Ok(()),
            Self::Json(steps) => {
                let document = json!({ "ok": false, "error": crate::failure::line(error), "steps": steps });
                writeln!(io::stdout(), "{document:#}")
            }
        }
    }
}
