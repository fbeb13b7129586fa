//! The schemas of Knative's kinds, made from their types.

use pelton_resource::serving::{
    ConfigurationSpec, ConfigurationStatus, DomainMappingSpec, DomainMappingStatus, RevisionSpec, RevisionStatus,
    RouteSpec, RouteStatus, ServiceSpec, ServiceStatus,
};
use pelton_resource::{BrokerSpec, BrokerStatus, Kind, TriggerSpec, TriggerStatus};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::short::REFERENCES;

/// What a kind is made of.
pub(super) struct Parts {
    /// The name of the schema of `spec`.
    pub(super) spec: String,
    /// The name of the schema of `status`.
    pub(super) status: String,
    /// Both, and what they refer to, by name.
    pub(super) schemas: Map<String, Value>,
}

/// The parts of a kind that has types. Their names begin with `prefix`.
pub(super) fn parts(kind: Kind, prefix: &str) -> Option<Parts> {
    Some(match kind {
        Kind::Broker => of::<BrokerSpec, BrokerStatus>(prefix),
        Kind::Trigger => of::<TriggerSpec, TriggerStatus>(prefix),
        Kind::Service => of::<ServiceSpec, ServiceStatus>(prefix),
        Kind::Configuration => of::<ConfigurationSpec, ConfigurationStatus>(prefix),
        Kind::Revision => of::<RevisionSpec, RevisionStatus>(prefix),
        Kind::Route => of::<RouteSpec, RouteStatus>(prefix),
        Kind::DomainMapping => of::<DomainMappingSpec, DomainMappingStatus>(prefix),
        Kind::Namespace | Kind::ConfigMap | Kind::Secret | Kind::ServiceAccount | Kind::CoreService | Kind::Event => {
            return None;
        }
    })
}

fn of<S: JsonSchema, T: JsonSchema>(prefix: &str) -> Parts {
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<S>();
    generator.subschema_for::<T>();
    let full = |name: &str| format!("{prefix}.{name}");
    let schemas = generator.take_definitions(true).into_iter().map(|(name, mut schema)| {
        mend(&mut schema, prefix);
        (full(&name), schema)
    });
    Parts { schemas: schemas.collect(), spec: full(&S::schema_name()), status: full(&T::schema_name()) }
}

/// Makes a schema as JSON Schema has it one as Kubernetes has it.
fn mend(schema: &mut Value, prefix: &str) {
    let Value::Object(schema) = schema else { return };
    // What serde fills in is not what the server fills in.
    schema.remove("default");
    // A null is the same as a field left out, wherever it stands. Nothing is ever answered as null.
    schema.remove("nullable");
    take_out_null(schema);
    write_choices_as_one(schema);
    if schema.contains_key("x-kubernetes-int-or-string") {
        // This form alone goes with the extension.
        schema.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
    }
    if let Some(Value::String(reference)) = schema.get_mut("$ref")
        && let Some(name) = reference.strip_prefix(REFERENCES)
    {
        *reference = format!("{REFERENCES}{prefix}.{name}");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        // The lines of a comment are those of the source.
        *text = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    for (key, value) in schema {
        match value {
            // Its keys are names of fields and none of a schema.
            Value::Object(fields) if key == "properties" => fields.values_mut().for_each(|field| mend(field, prefix)),
            Value::Array(schemas) => schemas.iter_mut().for_each(|schema| mend(schema, prefix)),
            value => mend(value, prefix),
        }
    }
}

/// `anyOf` a type or null becomes `allOf` that type: the only union without which a field can refer to a schema and
/// have a description of its own.
fn take_out_null(schema: &mut Map<String, Value>) {
    let Some(Value::Array(any)) = schema.get_mut("anyOf") else { return };
    let count = any.len();
    any.retain(|one| one["enum"] != json!([null]));
    if any.len() == 1 && count == 2 {
        let one = schema.remove("anyOf");
        schema.extend(one.map(|one| ("allOf".to_owned(), one)));
    }
}

/// `oneOf` of texts that each say what they stand for becomes one `enum`, which is what explain prints.
fn write_choices_as_one(schema: &mut Map<String, Value>) {
    let Some(Value::Array(one_of)) = schema.get("oneOf") else { return };
    let texts: Option<Vec<Value>> = one_of
        .iter()
        .map(|one| match one["enum"].as_array().map(Vec::as_slice) {
            Some([text @ Value::String(_)]) => Some(text.clone()),
            _ => None,
        })
        .collect();
    if let Some(texts) = texts {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), "string".into());
        schema.insert("enum".to_owned(), texts.into());
    }
}
