//! From a value to text.

use super::scalar;
use serde_norway::{Mapping, Value};
use std::fmt::{self, Write as _};

/// Prints a document in block style, with quotes wherever any reader could take a string for something else.
pub(in super::super) fn write(value: &Value) -> String {
    Document(value).to_string()
}

struct Document<'a>(&'a Value);

impl fmt::Display for Document<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Mapping(members) if !members.is_empty() => mapping(out, members, 0),
            Value::Sequence(items) if !items.is_empty() => sequence(out, items, 0),
            other => {
                leaf(out, other, 0)?;
                out.write_char('\n')
            }
        }
    }
}

/// The first member stands where the writer stands, the others on lines of their own.
fn mapping(out: &mut fmt::Formatter<'_>, members: &Mapping, indent: usize) -> fmt::Result {
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            write!(out, "{:indent$}", "")?;
        }
        match key {
            Value::String(text) => inline(out, text)?,
            other => leaf(out, other, indent)?,
        }
        out.write_char(':')?;
        match value {
            Value::Mapping(members) if !members.is_empty() => {
                write!(out, "\n{:width$}", "", width = indent + 2)?;
                mapping(out, members, indent + 2)?;
            }
            Value::Sequence(items) if !items.is_empty() => {
                write!(out, "\n{:indent$}", "")?;
                sequence(out, items, indent)?;
            }
            other => {
                out.write_char(' ')?;
                leaf(out, other, indent + 2)?;
                out.write_char('\n')?;
            }
        }
    }
    Ok(())
}

fn sequence(out: &mut fmt::Formatter<'_>, items: &[Value], indent: usize) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            write!(out, "{:indent$}", "")?;
        }
        out.write_str("- ")?;
        match item {
            Value::Mapping(members) if !members.is_empty() => mapping(out, members, indent + 2)?,
            Value::Sequence(items) if !items.is_empty() => sequence(out, items, indent + 2)?,
            other => {
                leaf(out, other, indent + 2)?;
                out.write_char('\n')?;
            }
        }
    }
    Ok(())
}

/// Without the end of the line.
fn leaf(out: &mut fmt::Formatter<'_>, value: &Value, indent: usize) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Number(number) => write!(out, "{number}"),
        Value::String(text) if is_literal(text) => literal(out, text, indent),
        Value::String(text) => inline(out, text),
        Value::Sequence(_) => out.write_str("[]"),
        Value::Mapping(_) => out.write_str("{}"),
        Value::Tagged(tagged) => leaf(out, &tagged.value, indent),
    }
}

/// What YAML 1.1 (section 4.1.1) lets stand as it is, line breaks aside.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether the text can stand as a block, whose indentation the first line shows.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| is_printable(c) || matches!(c, '\n' | '\t'))
}

fn literal(out: &mut fmt::Formatter<'_>, text: &str, indent: usize) -> fmt::Result {
    let (body, chomping) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    write!(out, "|{chomping}")?;
    for line in body.split('\n') {
        out.write_char('\n')?;
        if !line.is_empty() {
            write!(out, "{:indent$}{line}", "")?;
        }
    }
    Ok(())
}

fn inline(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if scalar::is_plain(text) {
        return out.write_str(text);
    }
    if text.chars().all(is_printable) {
        return write!(out, "'{}'", text.replace('\'', "''"));
    }
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            c if is_printable(c) => out.write_char(c)?,
            c => match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char('"')
}
