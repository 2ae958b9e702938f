//! The documents of a manifest, and how they are printed again.

use super::{mutate::Change, workload, yaml};
use anyhow::Context as _;
use serde_norway::Value;

/// The documents of all manifests, in their order, without empty ones.
pub(super) struct Input {
    pub(super) documents: Vec<Document>,
}

/// One document.
pub(super) struct Document {
    form: Form,
    /// `orders.yaml, line 12`
    place: String,
    /// Its text, so that what does not change is printed as it was, comments and all.
    source: String,
    /// What it says; keys keep their order.
    pub(super) value: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Yaml,
}

impl Input {
    /// Reads manifests, each with its name: JSON if it starts with a brace, as `kubectl` decides it, else YAML.
    ///
    /// # Errors
    ///
    /// One cannot be read, holds what is no Kubernetes object, or all of them are empty.
    pub(super) fn parse(manifests: &[(String, String)]) -> anyhow::Result<Self> {
        let mut documents = Vec::new();
        for (name, text) in manifests {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            documents.extend(if text.trim_start().starts_with('{') { json(name, text)? } else { yaml(name, text)? });
        }
        anyhow::ensure!(!documents.is_empty(), "the manifest is empty");
        for Document { place, value, .. } in &documents {
            workload::check(value).with_context(|| place.clone())?;
        }
        Ok(Self { documents })
    }

    /// All objects, those of lists too.
    pub(super) fn objects(&self) -> impl Iterator<Item = workload::Object<'_>> {
        self.documents.iter().flat_map(|document| workload::objects(&document.value))
    }

    /// Prints the documents with their changes: as YAML, unless all came as JSON.
    pub(super) fn print(&self, changes: &[Change]) -> anyhow::Result<String> {
        let json = self.documents.iter().all(|document| document.form == Form::Json);
        let mut text = String::new();
        for (index, (document, change)) in self.documents.iter().zip(changes).enumerate() {
            if index > 0 && !json {
                text.push_str("---\n");
            }
            text.push_str(&match (&change.after, document.form) {
                (Some(value), _) if json => serde_json::to_string_pretty(value)?,
                (Some(value), _) => yaml::write(value),
                (None, Form::Json) if !json => yaml::write(&document.value),
                (None, _) => document.source.clone(),
            });
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        Ok(text)
    }
}

fn json(name: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = Vec::new();
    let mut start = 0;
    while let Some(value) = stream.next() {
        let value = value.with_context(|| format!("{name}: not JSON"))?;
        let end = stream.byte_offset();
        let source = text.get(start..end).unwrap_or_default();
        let before = text.len() - text.get(start..).unwrap_or_default().trim_start().len();
        let line = 1 + text.get(..before).unwrap_or_default().matches('\n').count();
        start = end;
        let place = format!("{name}, line {line}");
        documents.push(Document { form: Form::Json, place, source: source.trim().to_owned(), value });
    }
    Ok(documents)
}

fn yaml(name: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for (first, source) in chunks(text) {
        let place = |line: usize| format!("{name}, line {}", first + line.saturating_sub(1));
        let value =
            yaml::read(&source).map_err(|yaml::Error { line, what }| anyhow::anyhow!("{}: {what}", place(line)))?;
        if !value.is_null() {
            // Comments may come first.
            let is_said = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
            let line = source.lines().take_while(|line| !is_said(line)).count() + 1;
            documents.push(Document { form: Form::Yaml, place: place(line), source, value });
        }
    }
    Ok(documents)
}

/// The text between `---` lines, with the line it starts at. Such a line cannot stand inside a document: YAML 1.2, section 9.1.2,
/// forbids it even in block scalars.
fn chunks(text: &str) -> Vec<(usize, String)> {
    let mut chunks = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let rest = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if let Some(rest) = rest {
            let empty = rest.trim().is_empty();
            chunks.push((if empty { number + 1 } else { number }, String::new()));
            if empty {
                continue;
            }
        }
        if let Some((_, chunk)) = chunks.last_mut() {
            chunk.push_str(rest.map_or(line, str::trim_start));
        }
    }
    chunks
}
