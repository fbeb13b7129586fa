//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

/// Applies a JSON merge patch: objects are merged, null deletes, anything else replaces what was there.
///
/// A patch that is no object replaces the whole target; an API that wants objects refuses such a patch beforehand.
/// The result is not deeper than the deeper of the two.
pub fn merge(target: &mut Value, patch: &Value) {
    let mut rest = vec![(target, patch)];
    while let Some((target, patch)) = rest.pop() {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            continue;
        };
        let fields = make_object(target);
        for (key, change) in patch {
            if change.is_null() {
                fields.remove(key);
            } else {
                // A slot, so that the loop below finds every field that changes.
                fields.entry(key.as_str()).or_insert(Value::Null);
            }
        }
        rest.extend(fields.iter_mut().filter_map(|(key, value)| patch.get(key).map(|change| (value, change))));
    }
}

/// The value as an object. What is none becomes an empty one.
pub(super) fn make_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made an object just above")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::json::tests::any_json;
    use super::*;

    /// RFC 7386, appendix A, every row; then the example of section 3.
    #[test]
    fn the_table_of_the_rfc() {
        let rows = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
            (
                json!({"title": "x", "author": {"given": "J", "family": "D"}, "tags": ["a", "b"], "content": "y"}),
                json!({"title": "z", "phone": "+1", "author": {"family": null}, "tags": ["a"]}),
                json!({"title": "z", "author": {"given": "J"}, "tags": ["a"], "content": "y", "phone": "+1"}),
            ),
        ];
        for (target, patch, want) in rows {
            let mut got = target.clone();
            merge(&mut got, &patch);
            assert_eq!(got, want, "{target} with {patch}");
        }
    }

    /// The algorithm of RFC 7386, section 2, word for word.
    fn reference(target: Option<Value>, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut fields = match target {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        for (key, change) in patch {
            let old = fields.remove(key);
            if !change.is_null() {
                fields.insert(key.clone(), reference(old, change));
            }
        }
        Value::Object(fields)
    }

    /// The smallest patch that makes `to` of `from`, where `to` has no null inside an object.
    fn diff(from: &Value, to: &Value) -> Value {
        let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
        let mut patch = Map::new();
        for (key, new) in to {
            match from.get(key) {
                Some(old) if old == new => {}
                Some(old) => drop(patch.insert(key.clone(), diff(old, new))),
                None => drop(patch.insert(key.clone(), new.clone())),
            }
        }
        patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
        Value::Object(patch)
    }

    proptest! {
        #[test]
        fn it_does_what_the_rfc_writes_down(target in any_json(), patch in any_json()) {
            let want = reference(Some(target.clone()), &patch);
            let mut got = target;
            merge(&mut got, &patch);
            prop_assert_eq!(got, want);
        }

        #[test] // Merging into nothing takes the nulls out of objects, which a merge patch cannot write.
        fn a_difference_leads_to_where_it_points(from in any_json(), to in any_json()) {
            let to = reference(None, &to);
            let mut got = from.clone();
            merge(&mut got, &diff(&from, &to));
            prop_assert_eq!(got, to);
        }
    }
}
