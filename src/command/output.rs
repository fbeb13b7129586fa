//! How commands print what the API said.

use std::str::FromStr;

use clap::ValueEnum;
use pelton_control_plane::Path;
use serde::Serialize;
use serde_json::Value;

use crate::exit::Failure;

/// How the commands about the cluster print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
}

/// Indented JSON, with a line break at its end.
pub fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed("cannot write JSON", &error))?;
    Ok(text + "\n")
}

/// YAML.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(value).map_err(|error| Failure::failed("cannot write YAML", &error))
}

/// How the commands that describe one resource print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// How lists of resources print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListForm {
    /// Columns.
    Table,
    /// More columns.
    Wide,
    /// An object, or a List that `pelton apply` reads.
    Json,
    /// The same in YAML.
    Yaml,
    /// `trigger.eventing.knative.dev/orders`, one a line.
    Name,
    /// The value at that place.
    At(FieldPath),
}

impl FromStr for ListForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "table" => Self::Table,
            "wide" => Self::Wide,
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            "name" => Self::Name,
            _ => match text.strip_prefix("jsonpath=") {
                Some(path) => Self::At(path.parse()?),
                None => return Err("expected table, wide, json, yaml, name or jsonpath={.path}".to_owned()),
            },
        })
    }
}

/// What commands that change resources print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WriteForm {
    /// What was done
    Text,
    /// What it is called
    Name,
    /// The object as it is then, in JSON
    Json,
    /// The object as it is then, in YAML
    Yaml,
}

/// A place in an object, as kubectl has one write it: `{.status.url}`. The braces may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(String);

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        // What else kubectl takes is refused, and not read as odd names of fields.
        if inner.contains(['{', '}', ' ']) {
            return Err("expected one path, such as {.status.url}".to_owned());
        }
        let path = if inner.starts_with(['.', '[']) { inner.to_owned() } else { format!(".{inner}") };
        match Path::parse(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl FieldPath {
    /// What stands there: a text as it is, anything else as JSON. `None` when nothing does.
    pub fn look_up(&self, object: &Value) -> Option<String> {
        let path = Path::parse(&self.0).expect("it was parsed once");
        path.look_up(object).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_written_with_and_without_braces() {
        let object = json!({"status": {"url": "http://x", "n": 3, "list": [1]}, "a": [{"type": "Ready", "is": "yes"}]});
        for (text, want) in [
            ("{.status.url}", Some("http://x")),
            (".status.url", Some("http://x")),
            ("status.n", Some("3")),
            ("{.status.list}", Some("[1]")),
            (r#"{.a[?(@.type=="Ready")].is}"#, Some("yes")),
            ("{.nowhere}", None),
        ] {
            assert_eq!(text.parse::<FieldPath>().unwrap().look_up(&object).as_deref(), want, "{text}");
        }
        for bad in ["", "{}", "{.a..b}", "{.items[*]}", "{.a", "{range .items}"] {
            assert!(bad.parse::<FieldPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn forms_of_lists_are_read_or_refused() {
        for good in ["table", "wide", "json", "yaml", "name", "jsonpath={.metadata.name}"] {
            assert!(good.parse::<ListForm>().is_ok(), "{good}");
        }
        for bad in ["", "xml", "jsonpath", "jsonpath={", "custom-columns=A:.a"] {
            assert!(bad.parse::<ListForm>().is_err(), "{bad}");
        }
    }
}
