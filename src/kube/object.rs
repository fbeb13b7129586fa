//! What is looked up in objects.

use pelton_control_plane::kinds::Row;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{KubeError, kinds};

/// A text of an object, empty when it is not there.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Its name.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Its namespace, empty when it is in none.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `trigger.eventing.knative.dev/orders`.
pub fn called(row: &Row, name: &str) -> String {
    format!("{}/{name}", kinds::qualified(row))
}

/// What people wrote of an object: without what the server and its controllers keep in it.
pub fn wanted(object: &Value) -> Value {
    let mut wanted = object.clone();
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for kept in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(kept);
            }
        }
    }
    wanted
}

/// The object without the record of who wrote which field, which is long and for machines.
pub fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// The object as the type of its kind.
///
/// # Errors
/// [`KubeError::NotUnderstood`].
pub fn typed<T: DeserializeOwned>(object: Value) -> Result<T, KubeError> {
    serde_json::from_value(object)
        .map_err(|error| KubeError::NotUnderstood { status: http::StatusCode::OK, detail: error.to_string() })
}
