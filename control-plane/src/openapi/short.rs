//! Schemas in short: a table of fields.

use serde_json::{Map, Value, json};

/// An object of some name.
pub(super) struct Schema {
    /// The whole name: `io.k8s.api.core.v1.ConfigMap`.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) description: &'static str,
    /// Its fields. Those that every kind has are left out.
    pub(super) fields: &'static [Field],
}

/// A field of an object.
pub(super) struct Field {
    name: &'static str,
    of: Type,
    description: &'static str,
    is_required: bool,
}

/// What a field holds.
pub(super) enum Type {
    Text,
    Bool,
    Int32,
    Int64,
    IntOrText,
    /// Any bytes, in base64.
    Bytes,
    /// RFC 3339.
    Time,
    /// An object of which nothing more is said.
    Any,
    List(&'static Self),
    /// A list whose entries a strategic merge patch tells apart by that field.
    ListBy(&'static str, &'static Self),
    /// A list in which a strategic merge patch puts each value once.
    Set(&'static Self),
    /// A map from text.
    Map(&'static Self),
    /// An object of that name.
    Named(&'static str),
}

/// A field that may be left out.
pub(super) const fn field(name: &'static str, of: Type, description: &'static str) -> Field {
    Field { name, of, description, is_required: false }
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, of: Type, description: &'static str) -> Field {
    Field { name, of, description, is_required: true }
}

impl Schema {
    /// The schema as OpenAPI writes it.
    pub(super) fn write(&self) -> Value {
        let mut properties = Map::new();
        for field in self.fields {
            let mut schema = field.of.write();
            // Beside `$ref` nothing else is read.
            if schema.contains_key("$ref") {
                schema = Map::from_iter([("allOf".to_owned(), json!([schema]))]);
            }
            schema.insert("description".to_owned(), field.description.into());
            properties.insert(field.name.to_owned(), schema.into());
        }
        let mut schema = json!({"description": self.description, "type": "object"});
        let required: Vec<_> = self.fields.iter().filter(|f| f.is_required).map(|f| f.name).collect();
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }
}

impl Type {
    fn write(&self) -> Map<String, Value> {
        let schema = match self {
            Self::Text => json!({"type": "string"}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Int32 => json!({"type": "integer", "format": "int32"}),
            Self::Int64 => json!({"type": "integer", "format": "int64"}),
            Self::IntOrText => {
                json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
            }
            Self::Bytes => json!({"type": "string", "format": "byte"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Any => json!({"type": "object"}),
            Self::List(of) => json!({"type": "array", "items": of.write()}),
            Self::ListBy(key, of) => json!({
                "type": "array",
                "items": of.write(),
                "x-kubernetes-patch-merge-key": key,
                "x-kubernetes-patch-strategy": "merge",
            }),
            Self::Set(of) => json!({"type": "array", "items": of.write(), "x-kubernetes-patch-strategy": "merge"}),
            Self::Map(of) => json!({"type": "object", "additionalProperties": of.write()}),
            Self::Named(name) => reference(name),
        };
        let Value::Object(schema) = schema else { unreachable!("every type is written as an object") };
        schema
    }
}

/// A reference to the schema of that name.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("{REFERENCES}{name}")})
}

/// What references to schemas begin with.
pub(super) const REFERENCES: &str = "#/components/schemas/";
