//! Which value each key has, and who said so.

use std::collections::BTreeMap;
use std::path::Path;

use super::{KEYS, Key, Mistake, Shape, Source};

/// The values of the flags that were given, by key.
pub type Flags = BTreeMap<&'static str, Vec<String>>;

/// The values of one key, and their source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// One value, or several for a list.
    pub values: Vec<String>,
    /// Where they came from.
    pub source: Source,
}

/// Every key that has a value, with that of the highest layer: flag, environment, file, default.
#[derive(Debug, Clone, Default)]
pub struct Layers(BTreeMap<&'static str, Given>);

impl Layers {
    /// Puts the layers on each other. `environment` looks a variable up; `file` is a path and what it holds.
    ///
    /// Gives the mistakes of the file as well: unknown keys, values of no usable shape, text that is no YAML.
    pub fn new(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
        file: Option<(&Path, &str)>,
    ) -> (Self, Vec<Mistake>) {
        let (mut from_file, mistakes) = file.map(|(path, text)| read_file(path, text)).unwrap_or_default();
        let mut layers = Self::default();
        for key in KEYS {
            let given = flags
                .get(key.name)
                .map(|values| Given { values: values.clone(), source: Source::Flag })
                .or_else(|| from_environment(key, &environment))
                .or_else(|| from_file.remove(key.name))
                .or_else(|| key.default.map(|value| Given { values: vec![value.into()], source: Source::Default }));
            if let Some(mut given) = given {
                if key.shape == Shape::Commas {
                    given.values = given.values.iter().flat_map(|value| split(value)).collect();
                }
                layers.0.insert(key.name, given);
            }
        }
        (layers, mistakes)
    }

    /// The values of a key. `None` when it was not given and has no default.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Given> {
        self.0.get(key)
    }
}

/// An empty variable is an unset one: that is how scripts take a value away.
fn from_environment(key: &Key, environment: impl Fn(&str) -> Option<String>) -> Option<Given> {
    let variable = key.variable();
    let value = environment(&variable).filter(|value| !value.is_empty())?;
    let values = if key.is_list() { split(&value).collect() } else { vec![value] };
    Some(Given { values, source: Source::Environment(variable) })
}

fn split(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(|part| part.trim().to_owned())
}

type FromFile = (BTreeMap<&'static str, Given>, Vec<Mistake>);

fn read_file(path: &Path, text: &str) -> FromFile {
    let mut given = BTreeMap::new();
    let mut mistakes = Vec::new();
    let source = Source::File(path.to_owned());
    let mut mistake = |key: &str, message: String| {
        mistakes.push(Mistake { key: key.to_owned(), source_of_value: source.clone(), message });
    };
    match serde_saphyr::from_str::<Option<BTreeMap<String, serde_json::Value>>>(text) {
        Err(error) => mistake("config", format!("not a YAML mapping of keys to values: {error}")),
        Ok(members) => {
            for (name, value) in members.unwrap_or_default() {
                match Key::find(&name) {
                    None => mistake(&name, unknown(&name)),
                    Some(key) => match values(key, &value) {
                        Ok(values) => drop(given.insert(key.name, Given { values, source: source.clone() })),
                        Err(message) => mistake(&name, message),
                    },
                }
            }
        }
    }
    (given, mistakes)
}

fn unknown(name: &str) -> String {
    let closest = KEYS.iter().map(|key| (distance(name, key.name), key.name)).min();
    match closest {
        Some((distance, known)) if distance <= 3 => format!("unknown key; did you mean {known}?"),
        _ => "unknown key".to_owned(),
    }
}

/// The Levenshtein distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn values(key: &Key, value: &serde_json::Value) -> Result<Vec<String>, String> {
    use serde_json::Value;
    let scalar = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("expected {}", if key.is_list() { "a text or a list of texts" } else { "one text or number" }))
        }
    };
    match value {
        Value::Array(items) if key.is_list() => items.iter().map(scalar).collect(),
        other => scalar(other).map(|value| vec![value]),
    }
}
