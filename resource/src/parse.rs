//! Manifests: several documents in one text, YAML or JSON.

use std::fmt;

use serde_json::Value;
use serde_saphyr::Spanned;

use crate::field_error::{FieldError, FieldErrors};
use crate::limits::{MAX_MANIFEST_BYTES, MAX_MANIFEST_DEPTH, MAX_REPORTED_ERRORS};
use crate::resource::{ManifestError, Resource};
use crate::strict_value::StrictValue;

/// One mistake in a text, and where it is. Prints as `orders.yaml:12: Trigger default/orders: missing field(s): ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The name given to the text, such as its path.
    pub source_name: String,
    /// The line, from 1: of the mistake when the text cannot be read at all, else of the document it is in.
    pub line: Option<u64>,
    /// The kind and name of the document, as far as they could be read.
    pub resource: Option<String>,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// It is neither YAML nor JSON.
    #[error("{0}")]
    Syntax(String),
    /// It is longer than [`MAX_MANIFEST_BYTES`].
    #[error("{bytes} bytes are more than the {MAX_MANIFEST_BYTES} that are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A document is not an object with `apiVersion` and `kind`.
    #[error("a resource is an object with apiVersion and kind")]
    NotAResource,
    /// A document is of a kind that is not known here.
    #[error("unknown kind: {kind:?} of apiVersion {api_version:?}")]
    UnknownKind {
        /// The `apiVersion` found.
        api_version: String,
        /// The `kind` found.
        kind: String,
    },
    /// A field is unknown or of the wrong type.
    #[error(transparent)]
    Field(FieldError),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source_name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for ParseError {}

/// Reads every resource in a text: YAML with any number of documents, or JSON. A `List` (`apiVersion: v1`), as
/// `kubectl get` writes it, is read as its items. Empty documents are passed over. Defaults are not filled in and
/// nothing is validated beyond the shape: see [`Resource::set_defaults`] and [`Resource::validate`].
///
/// `source_name` is what errors call the text, such as its path.
///
/// # Errors
/// All mistakes of all documents together, in the order of the text, at most [`MAX_REPORTED_ERRORS`]. When the text
/// is neither YAML nor JSON, that one alone.
pub fn parse_documents(text: &str, source_name: &str) -> Result<Vec<Resource>, Vec<ParseError>> {
    let fail = |line, kind| ParseError { source_name: source_name.to_owned(), line, resource: None, kind };
    let (mut resources, mut errors) = (Vec::new(), Vec::new());
    for (line, value) in parse_objects(text, source_name).map_err(|error| vec![*error])? {
        let resource = name_of(&value);
        match Resource::from_manifest(value) {
            Ok(resource) => resources.push(resource),
            Err(error) => errors.extend(
                kinds_of(error)
                    .into_iter()
                    .map(|kind| ParseError { resource: resource.clone(), ..fail(Some(line), kind) }),
            ),
        }
    }
    errors.truncate(MAX_REPORTED_ERRORS);
    if errors.is_empty() { Ok(resources) } else { Err(errors) }
}

/// Every object in a text as it stands there, whatever its kind, each with the line that its document begins at. A `List` is
/// read as its items.
///
/// # Errors
/// The text is neither YAML nor JSON, or is too long.
pub fn parse_objects(text: &str, source_name: &str) -> Result<Vec<(u64, Value)>, Box<ParseError>> {
    let fail = |line, kind| Box::new(ParseError { source_name: source_name.to_owned(), line, resource: None, kind });
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(fail(None, ParseErrorKind::TooLarge { bytes: text.len() }));
    }
    let documents = read(text).map_err(|(line, message)| fail(line, ParseErrorKind::Syntax(message)))?;
    Ok(documents.into_iter().flat_map(|(line, value)| items(value).into_iter().map(move |item| (line, item))).collect())
}

/// One JSON or YAML value, in which no key stands twice and whose depth and aliases have bounds.
///
/// # Errors
/// Why it is none, as a sentence.
pub fn parse_value(text: &str) -> Result<Value, String> {
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(format!("it has {} bytes, and {MAX_MANIFEST_BYTES} are allowed", text.len()));
    }
    let mut documents = read(text).map_err(|(line, why)| match line {
        Some(line) => format!("line {line}: {why}"),
        None => why,
    })?;
    match (documents.pop(), documents.is_empty()) {
        (Some((_, value)), true) => Ok(value),
        (None, _) => Err("it is empty".to_owned()),
        (Some(_), false) => Err("it holds several documents".to_owned()),
    }
}

/// The documents of a text, each with its first line.
type Documents = Vec<(u64, Value)>;

fn read(text: &str) -> Result<Documents, (Option<u64>, String)> {
    // Text that begins like JSON is JSON, or YAML in flow style. The errors of JSON are the better ones then.
    if !text.trim_start().starts_with(['{', '[']) {
        return read_yaml(text);
    }
    read_json(text).or_else(|why| read_yaml(text).map_err(|_| why))
}

fn read_json(text: &str) -> Result<Documents, (Option<u64>, String)> {
    let mut documents = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<StrictValue>();
    let (mut line, mut counted_to) = (1, 0);
    loop {
        let rest = &text[stream.byte_offset()..];
        let start = text.len() - rest.trim_start().len();
        line += text[counted_to..start].bytes().filter(|b| *b == b'\n').count() as u64;
        counted_to = start;
        match stream.next() {
            // What is stored stands within other values, and what reads it takes 127 levels.
            Some(Ok(StrictValue(value))) if depth_of(&value) > MAX_MANIFEST_DEPTH => {
                return Err((Some(line), format!("it is nested more than {MAX_MANIFEST_DEPTH} levels deep")));
            }
            Some(Ok(StrictValue(value))) => documents.push((line, value)),
            Some(Err(why)) => return Err((u64::try_from(why.line()).ok(), why.to_string())),
            None => return Ok(documents),
        }
    }
}

/// How many lists and objects stand within each other at most. What reads a value has a bound of its own.
fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn read_yaml(text: &str) -> Result<Documents, (Option<u64>, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_MANIFEST_DEPTH },
        leading_zero_numbers_as_strings: true,
        // YAML 1.2: a Trigger may be called `n` and a label may be `no`.
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_multiple_with_options::<Option<Spanned<StrictValue>>>(text, options) {
        Ok(documents) => {
            let present = documents.into_iter().flatten();
            Ok(present.map(|document| (document.referenced.line(), document.value.0)).collect())
        }
        Err(why) => Err((why.location().map(|at| at.line()), why.to_string())),
    }
}

/// The items of a `List`, or the document itself.
fn items(document: Value) -> Vec<Value> {
    let is = |field: &str, want: &str| document.get(field).and_then(Value::as_str) == Some(want);
    if !(is("apiVersion", "v1") && is("kind", "List")) {
        return if document.is_null() { Vec::new() } else { vec![document] };
    }
    match document {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) => items,
            Some(other) => vec![other],
            None => Vec::new(),
        },
        other => vec![other],
    }
}

/// The kind and name of a document, as far as they are there.
fn name_of(document: &Value) -> Option<String> {
    let kind = document.get("kind")?.as_str()?;
    let text = |field: &str| document.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
    Some(match (text("namespace"), text("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (None, Some(name)) => format!("{kind} {name}"),
        (_, None) => kind.to_owned(),
    })
}

fn kinds_of(error: ManifestError) -> Vec<ParseErrorKind> {
    match error {
        ManifestError::NotAResource => vec![ParseErrorKind::NotAResource],
        ManifestError::UnknownKind { api_version, kind } => vec![ParseErrorKind::UnknownKind { api_version, kind }],
        ManifestError::Fields(errors) => FieldErrors::into_iter(errors).map(ParseErrorKind::Field).collect(),
    }
}

#[cfg(test)]
mod tests;
