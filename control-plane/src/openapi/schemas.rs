//! The schemas of a document: of its kinds, their lists, and all that these refer to.

use serde_json::{Map, Value, json};

use super::knative::{self, Parts};
use super::short::{REFERENCES, Schema, reference};
use super::{core, definitions, meta, reviews};
use crate::kinds::{Row, Store};

/// Everything that is written down in short.
static WRITTEN: &[&[Schema]] = &[meta::SCHEMAS, core::SCHEMAS, reviews::SCHEMAS, definitions::SCHEMAS];

/// The schemas of a document with these kinds and paths.
pub(super) fn components(rows: &[&Row], paths: &Value) -> Map<String, Value> {
    let mut schemas = Map::new();
    for row in rows {
        of_kind(row, &mut schemas);
        if row.may("list") {
            schemas.insert(list_name(row), list(row));
        }
    }
    let mut wanted = Vec::new();
    references(paths, &mut wanted);
    schemas.values().for_each(|schema| references(schema, &mut wanted));
    while let Some(name) = wanted.pop() {
        if !schemas.contains_key(&name) {
            let schema = written(&name).expect("a schema that is referred to is made or written down").write();
            references(&schema, &mut wanted);
            schemas.insert(name, schema);
        }
    }
    schemas
}

/// The name of a kind's schema: `dev.knative.eventing.v1.Broker`.
pub(super) fn name(row: &Row) -> String {
    format!("{}.{}", prefix(row.group, row.version), row.kind)
}

/// The name of the schema of a kind's list: `dev.knative.eventing.v1.BrokerList`.
pub(super) fn list_name(row: &Row) -> String {
    format!("{}List", name(row))
}

/// What names of schemas of a group version begin with: where their Go types are when they are Kubernetes' own, the
/// group from back to front when they are not.
fn prefix(group: &str, version: &str) -> String {
    match group.strip_suffix(".k8s.io") {
        None if group.is_empty() => format!("io.k8s.api.core.{version}"),
        None => format!("{}.{version}", group.rsplit('.').collect::<Vec<_>>().join(".")),
        Some("apiextensions") => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}"),
        Some(group) => format!("io.k8s.api.{}.{version}", group.split('.').next().unwrap_or(group)),
    }
}

fn written(name: &str) -> Option<&'static Schema> {
    WRITTEN.iter().copied().flatten().find(|schema| schema.name == name)
}

/// The schema of a kind, and of what it is made of when that comes from types.
fn of_kind(row: &Row, schemas: &mut Map<String, Value>) {
    let name = name(row);
    let parts = match row.store {
        Store::Stored(kind) => knative::parts(kind, &prefix(row.group, row.version)),
        Store::NewEvents | Store::Definitions | Store::Review(_) => None,
    };
    let mut schema = match parts {
        Some(Parts { spec, status, schemas: made }) => {
            schemas.extend(made);
            let spec = json!({"allOf": [reference(&spec)], "description": "What is wanted."});
            let status = json!({"allOf": [reference(&status)], "description": "What is. The server writes it."});
            json!({"type": "object", "properties": {"spec": spec, "status": status}})
        }
        None => written(&name).expect("a kind without types is written down").write(),
    };
    schema["description"] = row.description.into();
    add_type(&mut schema, row, row.kind);
    schema["properties"]["metadata"] = json!({
        "allOf": [reference(meta::OBJECT)],
        "description": "Its name and place, and what others say about it.",
    });
    schemas.insert(name, schema);
}

fn list(row: &Row) -> Value {
    let mut schema = json!({
        "description": format!("A list of objects of kind {}.", row.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "metadata": {"allOf": [reference(meta::LIST)], "description": "Of which moment it is, and how it goes on."},
            "items": {"type": "array", "items": reference(&name(row)), "description": "The objects."},
        },
    });
    add_type(&mut schema, row, &format!("{}List", row.kind));
    schema
}

/// Says which kind a schema is of.
fn add_type(schema: &mut Value, row: &Row, kind: &str) {
    schema["x-kubernetes-group-version-kind"] = json!([{"group": row.group, "version": row.version, "kind": kind}]);
    let texts =
        [("apiVersion", "The group and version of its kind", row.api_version()), ("kind", "Its kind", kind.to_owned())];
    for (field, what, value) in texts {
        schema["properties"][field] = json!({"type": "string", "description": format!("{what}: {value}.")});
    }
}

/// The names of all schemas that a part of a document refers to.
fn references(part: &Value, found: &mut Vec<String>) {
    match part {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(REFERENCES));
            found.extend(name.map(str::to_owned));
            map.values().for_each(|part| references(part, found));
        }
        Value::Array(parts) => parts.iter().for_each(|part| references(part, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
