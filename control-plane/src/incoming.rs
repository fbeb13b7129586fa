//! The object that a request carries.

use bytes::Bytes;
use http::{HeaderMap, header};
use pelton_resource::{ManifestError, Resource, parse_value};
use serde_json::{Map, Value};

use crate::kinds::Row;
use crate::object::stored;
use crate::options::Validation;
use crate::protobuf::{self, ProtobufError};
use crate::status::{ApiError, Cause, causes};
use crate::target::Target;

/// What a body may be when it is no patch.
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The media type of the body, without parameters and in lower case. Empty when none is given.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The body as a value. No type at all is JSON.
///
/// # Errors
/// It has a type that is not known, or is not of the type that it has.
pub async fn decode(media_type: &str, body: Bytes) -> Result<Value, ApiError> {
    match media_type {
        "application/vnd.kubernetes.protobuf" => protobuf::decode(&body).map_err(|error| match error {
            ProtobufError::UnknownKind { .. } => ApiError::unsupported_media_type("application/json"),
            other => ApiError::bad_request(other.to_string()),
        }),
        "" | "application/json" | "application/yaml" | "application/apply-patch+yaml" => text(body).await,
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

/// Text that is JSON or YAML, as one value.
///
/// # Errors
/// It is neither.
pub async fn text(body: Bytes) -> Result<Value, ApiError> {
    // On a thread of its own: it may be large and deep.
    let parsed = tokio::task::spawn_blocking(move || {
        let text = std::str::from_utf8(&body).map_err(|_| "it is not UTF-8".to_owned())?;
        parse_value(text)
    });
    let parsed = parsed.await.map_err(|_| ApiError::internal("the request could not be read"))?;
    parsed.map_err(|why| ApiError::bad_request(format!("the object provided is unrecognized: {why}")))
}

/// An object that is one of the row's: its `apiVersion` and `kind` are filled in.
///
/// # Errors
/// It is no object, or one of another kind.
pub fn object_of(row: &Row, value: Value) -> Result<Map<String, Value>, ApiError> {
    let Value::Object(mut object) = value else {
        return Err(ApiError::bad_request("the object provided is unrecognized: it is no JSON object"));
    };
    for (field, want) in [("apiVersion", row.api_version()), ("kind", row.kind.to_owned())] {
        match object.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::String(is)) if is.is_empty() || *is == want => {}
            Some(is) if field == "apiVersion" => {
                let why =
                    format!("the API version in the data ({is}) does not match the expected API version ({want})");
                return Err(ApiError::bad_request(why.replace('"', "")));
            }
            Some(is) => {
                let (version, kind) = (row.version, row.kind);
                let is = is.to_string().replace('"', "");
                return Err(ApiError::bad_request(format!(
                    "{is} in version \"{version}\" cannot be handled as a {kind}"
                )));
            }
        }
        object.insert(field.to_owned(), Value::String(want));
    }
    match object.get("metadata") {
        None | Some(Value::Null) => {
            object.insert("metadata".to_owned(), Value::Object(Map::new()));
        }
        Some(Value::Object(_)) => {}
        Some(_) => return Err(ApiError::bad_request("metadata: it is no JSON object")),
    }
    Ok(object)
}

/// Metadata of an object that [`object_of`] has seen.
pub fn metadata(object: &mut Map<String, Value>) -> &mut Map<String, Value> {
    object.get_mut("metadata").and_then(Value::as_object_mut).expect("object_of has seen to it")
}

/// A text of metadata, when it is there and not empty.
#[must_use]
pub fn meta_text<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// Fills in the name and the namespace of the path.
///
/// # Errors
/// The object has others.
pub fn place(object: &mut Map<String, Value>, target: &Target) -> Result<(), ApiError> {
    namespace(object, target.row, &target.namespace)?;
    match meta_text(object, "name") {
        Some(name) if name != target.name => {
            let url = &target.name;
            let why = format!("the name of the object ({name}) does not match the name on the URL ({url})");
            Err(ApiError::bad_request(why))
        }
        _ => {
            metadata(object).insert("name".to_owned(), Value::String(target.name.clone()));
            Ok(())
        }
    }
}

/// Fills in the namespace of the path.
///
/// # Errors
/// The object has another.
pub fn namespace(object: &mut Map<String, Value>, row: &Row, namespace: &str) -> Result<(), ApiError> {
    if !row.is_namespaced {
        metadata(object).remove("namespace");
        return Ok(());
    }
    if meta_text(object, "namespace").is_some_and(|is| is != namespace) {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    metadata(object).insert("namespace".to_owned(), Value::String(namespace.to_owned()));
    Ok(())
}

/// The resource that an object is. What was left out of it is said in the second result, as warnings.
///
/// # Errors
/// Fields are of another type, or not known where that is asked to be an error.
pub fn resource(row: &Row, object: Map<String, Value>, how: Validation) -> Result<(Resource, Vec<String>), ApiError> {
    let name = meta_text(&object, "name").unwrap_or_default().to_owned();
    let (resource, unknown) =
        Resource::from_object(stored(row, Value::Object(object))).map_err(|error| match error {
            ManifestError::Fields(errors) => of_types(row, &name, causes(&errors)),
            other => ApiError::bad_request(other.to_string()),
        })?;
    let unknown = unknown.iter().map(|path| format!("unknown field {path:?}"));
    match how {
        Validation::Ignore => Ok((resource, Vec::new())),
        Validation::Warn => Ok((resource, unknown.collect())),
        Validation::Strict => {
            let unknown: Vec<String> = unknown.collect();
            if unknown.is_empty() {
                return Ok((resource, Vec::new()));
            }
            let (kind, version) = (row.kind, row.version);
            let all = unknown.join(", ");
            let why =
                format!("{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {all}");
            Err(ApiError::bad_request(why))
        }
    }
}

/// Metadata that is none cannot be read at all; elsewhere a type is a rule like others.
fn of_types(row: &Row, name: &str, causes: Vec<Cause>) -> ApiError {
    let of_metadata = causes.iter().find(|cause| cause.field.starts_with("metadata"));
    if let Some(cause) = of_metadata {
        let (kind, version) = (row.kind, row.version);
        let Cause { field, message, .. } = cause;
        let why = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {field}: {message}");
        return ApiError::bad_request(why);
    }
    ApiError::invalid(
        row,
        name,
        causes.into_iter().map(|cause| Cause { reason: "FieldValueTypeInvalid", ..cause }).collect(),
    )
}

#[cfg(test)]
mod tests {
    use pelton_resource::Kind;
    use serde_json::json;

    use super::*;
    use crate::status::row_of;
    use crate::target::Part;

    fn target() -> Target {
        let row = row_of(Kind::Broker);
        Target { row, namespace: "n".to_owned(), name: "b".to_owned(), part: Part::Main }
    }

    /// Each row is a body, and the name and namespace that it has then, or why it is refused.
    #[test]
    fn an_object_is_what_its_path_says() {
        for (body, want) in [
            (json!({}), Ok(())),
            (json!({"apiVersion": "", "kind": null, "metadata": null}), Ok(())),
            (json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b"}}), Ok(())),
            (
                json!({"apiVersion": "eventing.knative.dev/v2"}),
                Err("the API version in the data (eventing.knative.dev/v2)"),
            ),
            (json!({"kind": "Trigger"}), Err("Trigger in version \"v1\" cannot be handled as a Broker")),
            (json!({"metadata": {"name": "c"}}), Err("the name of the object (c) does not match")),
            (json!({"metadata": {"namespace": "m"}}), Err("the namespace of the provided object")),
            (json!({"metadata": 1}), Err("metadata: it is no JSON object")),
            (json!([]), Err("it is no JSON object")),
        ] {
            let got = object_of(target().row, body.clone()).and_then(|mut object| {
                place(&mut object, &target())?;
                assert_eq!((meta_text(&object, "name"), meta_text(&object, "namespace")), (Some("b"), Some("n")));
                Ok(())
            });
            match want {
                Ok(()) => assert_eq!(got, Ok(()), "{body}"),
                Err(why) => {
                    let error = got.unwrap_err();
                    assert!(error.code == 400 && error.message.contains(why), "{body}: {error}");
                }
            }
        }
    }

    #[test]
    fn unknown_fields_are_refused_told_or_left_out() {
        let read = |spec: Value, how| {
            let mut object = object_of(target().row, json!({"spec": spec})).unwrap();
            place(&mut object, &target()).unwrap();
            resource(target().row, object, how)
        };
        let unknown = json!({"nosuch": 1, "delivery": {"more": 2}});
        let error = read(unknown.clone(), Validation::Strict).unwrap_err();
        let want = "Broker in version \"v1\" cannot be handled as a Broker: strict decoding error: unknown field \"spec.nosuch\"";
        assert!(error.code == 400 && error.message.starts_with(want), "{error}");
        assert_eq!(read(unknown.clone(), Validation::Warn).unwrap().1.len(), 2);
        assert_eq!(read(unknown, Validation::Ignore).unwrap().1, Vec::<String>::new());
        let error = read(json!({"delivery": {"retry": "x"}}), Validation::Strict).unwrap_err();
        assert_eq!((error.code.as_u16(), error.details.causes[0].field.as_str()), (422, "spec.delivery.retry"));
        assert_eq!(error.details.causes[0].reason, "FieldValueTypeInvalid");
        let labels = json!({"metadata": {"labels": {"a": 1}}});
        let error = resource(target().row, object_of(target().row, labels).unwrap(), Validation::Warn).unwrap_err();
        assert_eq!(error.code.as_u16(), 400);
    }
}
