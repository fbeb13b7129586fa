//! Objects of which only the metadata is asked for (`as=PartialObjectMetadata`, and the rows of a table).

use serde_json::{Map, Value};

use super::API_VERSION;

/// The metadata of an object and nothing else.
#[must_use]
pub fn partial(object: &Value) -> Value {
    document("PartialObjectMetadata", object.get("metadata").cloned())
}

/// The same of an object that nobody needs any more.
#[must_use]
pub fn into_partial(mut object: Value) -> Value {
    document("PartialObjectMetadata", object.get_mut("metadata").map(Value::take))
}

/// The metadata of all objects, under the metadata of the list.
#[must_use]
pub fn partial_list(objects: &[Value], list_metadata: &Value) -> Value {
    let mut list = document("PartialObjectMetadataList", Some(list_metadata.clone()));
    list["items"] = Value::Array(objects.iter().map(partial).collect());
    list
}

fn document(kind: &str, metadata: Option<Value>) -> Value {
    let metadata = metadata.unwrap_or_else(|| Value::Object(Map::new()));
    Value::from_iter([("apiVersion", API_VERSION.into()), ("kind", kind.into()), ("metadata", metadata)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_metadata_is_kept_whole_and_the_rest_is_not() {
        let metadata =
            json!({"name": "b", "namespace": "n", "labels": {"a": "1"}, "managedFields": [{"manager": "m"}]});
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"k": "djE="}});
        let want = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
        assert_eq!(partial(&object), want);
        assert_eq!(into_partial(object.clone()), want);
        let list = json!({"resourceVersion": "42", "continue": "c"});
        assert_eq!(
            partial_list(&[object], &list),
            json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadataList",
                "metadata": list,
                "items": [want],
            })
        );
        assert_eq!(partial(&json!({}))["metadata"], json!({}));
        assert_eq!(partial_list(&[], &json!({}))["items"], json!([]));
    }
}
