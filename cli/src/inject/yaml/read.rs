//! From text to a value.

use super::scalar::{self, NotFinite};
use base64::Engine as _;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_norway::{Mapping, Value};
use std::collections::{HashMap, HashSet};

/// How deep values may nest. Kubernetes itself stops at 10,000, far beyond what anything means.
const DEPTH: usize = 100;
/// How many values aliases may repeat in all, so that a small text cannot fill the memory.
const REPEATED: usize = 100_000;

/// Text that says nothing Kubernetes could take.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Error {
    /// Where, from 1.
    pub(in super::super) line: usize,
    /// What is wrong, in one line.
    pub(in super::super) what: String,
}

/// Reads one document; `null` where there is none. Keys are strings, as in JSON, and anchors and merge keys are resolved.
///
/// # Errors
///
/// It is no YAML, has a key twice, more than one document, or what JSON cannot hold.
pub(in super::super) fn read(text: &str) -> Result<Value, Error> {
    // The end of a text is on a line that nobody sees.
    let last = text.lines().count().max(1);
    document(text).map_err(|Error { line, what }| Error { line: line.min(last), what })
}

fn document(text: &str) -> Result<Value, Error> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), repeated: 0 };
    let mut document = None;
    while let Some(next) = reader.parser.next_event() {
        let (event, span) = next?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            Event::DocumentStart(_) if document.is_some() => {
                return Err(at(span, "another document begins without a line of ---"));
            }
            Event::DocumentStart(_) => document = Some(Value::Null),
            event => document = Some(reader.node(event, span, 0)?),
        }
    }
    Ok(document.unwrap_or_default())
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What each anchor stands for, and how many values that is.
    anchors: HashMap<usize, (Value, usize)>,
    repeated: usize,
}

fn at(span: Span, what: impl Into<String>) -> Error {
    Error { line: span.start.line(), what: what.into() }
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), what: format!("not YAML: {}", error.info()) }
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.parser.next_event() {
            Some(next) => Ok(next?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH {
            return Err(at(span, format!("nested deeper than {DEPTH} levels")));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, meaning(&text, style, tag.as_deref()).map_err(|what| at(span, what))?)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, span),
            _ => return Err(at(span, "not YAML: the text ends too early")),
        };
        if anchor != 0 {
            let size = size(&value);
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<Value, Error> {
        let Some((value, size)) = self.anchors.get(&anchor) else {
            return Err(at(span, "an anchor contains itself"));
        };
        self.repeated += size;
        if self.repeated > REPEATED {
            return Err(at(span, format!("aliases repeat more than {REPEATED} values")));
        }
        Ok(value.clone())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    /// What is merged counts where the merge key stands: it wins over what is above, as kubectl has it.
    fn mapping(&mut self, depth: usize) -> Result<Value, Error> {
        let mut members = Mapping::new();
        let mut written = HashSet::new();
        loop {
            let (key, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Mapping(members)),
                next => next,
            };
            let merges = is_merge(&key);
            let key = self.node(key, span, depth + 1)?;
            let (value, value_span) = self.next()?;
            let value = self.node(value, value_span, depth + 1)?;
            if merges {
                merge(&mut members, value).map_err(|what| at(value_span, what))?;
                continue;
            }
            let key = name(key).map_err(|what| at(span, what))?;
            if !written.insert(key.clone()) {
                return Err(at(span, format!("key {key:?} stands there twice")));
            }
            members.insert(Value::String(key), value);
        }
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Sequence(items) => items.iter().map(size).sum(),
        Value::Mapping(members) => members.values().map(|value| 1 + size(value)).sum(),
        _ => 0,
    }
}

fn is_merge(key: &Event<'_>) -> bool {
    matches!(key, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<")
}

fn merge(members: &mut Mapping, value: Value) -> Result<(), &'static str> {
    match value {
        Value::Mapping(merged) => members.extend(merged),
        Value::Sequence(items) => {
            // The first of them wins.
            for item in items.into_iter().rev() {
                match item {
                    Value::Mapping(merged) => members.extend(merged),
                    _ => return Err("a merge key takes mappings"),
                }
            }
        }
        _ => return Err("a merge key takes a mapping, or a sequence of them"),
    }
    Ok(())
}

/// A key as the JSON name that kubectl makes of it.
fn name(key: Value) -> Result<String, &'static str> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Number(_) => Err("a key is a number with a fraction or an exponent; quote it"),
        _ => Err("a key is no string"),
    }
}

fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let resolved = || scalar::resolve(text).map_err(|error: NotFinite| error.to_string());
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { resolved() } else { Ok(text.into()) };
    };
    let kind = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "str" };
    let value = match kind {
        "null" | "bool" | "int" | "float" => resolved()?,
        "binary" => {
            let engine = base64::engine::general_purpose::STANDARD;
            let text = text.split_ascii_whitespace().collect::<String>();
            let bytes = engine.decode(text).map_err(|_| "!!binary is not base64".to_owned())?;
            Value::String(String::from_utf8(bytes).map_err(|_| "!!binary is not UTF-8 text".to_owned())?)
        }
        _ => text.into(),
    };
    let fits = match kind {
        "null" => value.is_null(),
        "bool" => value.is_bool(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => true,
    };
    if fits { Ok(value) } else { Err(format!("{text:?} is no !!{kind}")) }
}
