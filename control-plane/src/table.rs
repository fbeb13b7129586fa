//! What `kubectl get` prints: objects as a Table of `meta.k8s.io/v1`, whose cells the server renders.

use serde_json::{Value, json};

use crate::kinds::{Column, ColumnType, Row};

mod age;
mod partial;
mod path;

pub use age::age;
use partial::into_partial;
pub use partial::{partial, partial_list};
pub use path::{Path, PathError};

/// The API version of tables and of metadata alone.
pub const API_VERSION: &str = "meta.k8s.io/v1";

/// What a row has of its object besides the cells (`includeObject`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// The metadata: kubectl takes namespace and labels from there.
    #[default]
    Metadata,
    /// All of it: kubectl sorts by it, and Helm reads it.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the value of `includeObject`; an empty one is the default.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            "None" => Some(Self::None),
            _ => None,
        }
    }
}

/// Makes the rows of a Table, one at a time.
#[derive(Debug)]
pub struct Rows<'a> {
    row: &'a Row,
    columns: Vec<(&'a Column, Path<'a>)>,
    include: Include,
    now_unix_millis: u64,
}

impl<'a> Rows<'a> {
    /// Of the objects of a row of the table of kinds.
    ///
    /// # Panics
    /// When a column's path cannot be read, which the tests rule out for every row there is.
    #[must_use]
    pub fn new(row: &'a Row, include: Include, now_unix_millis: u64) -> Self {
        let path = |column: &'a Column| Path::parse(column.path).expect("the paths of the table of kinds can be read");
        let columns = row.columns.iter().map(|column| (column, path(column))).collect();
        Self { row, columns, include, now_unix_millis }
    }

    /// That of an object.
    #[must_use]
    pub fn of(&self, object: Value) -> Value {
        let name = object["metadata"]["name"].clone();
        let others = self.columns.iter().map(|(column, path)| match column.ty {
            ColumnType::Count => path.all(&object).map(count).sum::<usize>().into(),
            _ => cell(column, path.look_up(&object), self.now_unix_millis),
        });
        let cells = with_name(self.row, name, others);
        let object = match self.include {
            Include::Metadata => into_partial(object),
            Include::Object => object,
            Include::None => Value::Null,
        };
        Value::from_iter([("cells", cells), ("object", object)])
    }
}

/// The objects of a row of the table of kinds as a Table, under the metadata of their list. A watch sends the columns
/// with the first of its tables only.
///
/// # Panics
/// As [`Rows::new`].
#[must_use]
pub fn table(
    row: &Row,
    objects: &[Value],
    list_metadata: &Value,
    include: Include,
    with_columns: bool,
    now_unix_millis: u64,
) -> Value {
    let rows = Rows::new(row, include, now_unix_millis);
    Value::from_iter([
        ("apiVersion", API_VERSION.into()),
        ("kind", "Table".into()),
        ("metadata", list_metadata.clone()),
        ("columnDefinitions", if with_columns { definitions(row) } else { json!([]) }),
        ("rows", objects.iter().map(|object| rows.of(object.clone())).collect()),
    ])
}

/// What stands above the columns.
#[must_use]
pub fn definitions(row: &Row) -> Value {
    let name = json!({
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": "Name of the object, which is unique within its namespace",
        "priority": u8::from(is_name_last(row)),
    });
    let others = row.columns.iter().map(|column| {
        let ty = match column.ty {
            // An age is a text by the time it is in a cell.
            ColumnType::String | ColumnType::Date => "string",
            ColumnType::Integer | ColumnType::Count => "integer",
        };
        json!({
            "name": column.name,
            "type": ty,
            "format": "",
            "description": "",
            "priority": u8::from(column.wide),
        })
    });
    with_name(row, name, others)
}

/// The name comes first. That of an Event says nothing, so it is the last, and wide.
fn with_name(row: &Row, name: Value, others: impl Iterator<Item = Value>) -> Value {
    let name = std::iter::once(name);
    if is_name_last(row) { others.chain(name).collect() } else { name.chain(others).collect() }
}

fn is_name_last(row: &Row) -> bool {
    row.kind == "Event"
}

/// How many entries a map or a list has.
fn count(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    }
}

fn cell(column: &Column, value: Option<&Value>, now_unix_millis: u64) -> Value {
    match (column.ty, value) {
        (ColumnType::String, Some(value)) => text(value).into(),
        (ColumnType::Integer, Some(Value::Number(number))) => {
            // JSON has one kind of number, and some writers put `.0` behind a whole one.
            number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).into()
        }
        (ColumnType::Count, value) => value.map_or(0, count).into(),
        (ColumnType::Date, Some(value)) => age(value.as_str().unwrap_or_default(), now_unix_millis).into(),
        // Kubernetes says so of an object's own age, and leaves the cells of other times empty.
        (ColumnType::Date, None) if column.path.ends_with(".metadata.creationTimestamp") => "<unknown>".into(),
        (ColumnType::String | ColumnType::Integer | ColumnType::Date, _) => Value::Null,
    }
}

/// A text as it is, a reference to an object as `kind/name`, and anything else as JSON.
fn text(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    match (value["kind"].as_str(), value["name"].as_str()) {
        (Some(kind), None | Some("")) => kind.to_lowercase(),
        (Some(kind), Some(name)) => format!("{}/{name}", kind.to_lowercase()),
        (None, _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
