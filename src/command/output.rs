//! How commands print what the API said.

use clap::ValueEnum;
use serde::Serialize;

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
