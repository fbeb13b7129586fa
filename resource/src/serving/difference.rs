//! What differs between two values of one type, field by field.

use serde::Serialize;
use serde_json::Value;

/// A field that differs: its path, what it was and what it is. A field that is not there is empty.
pub(super) type Difference = (String, String, String);

/// Every field that differs, in the order of their paths.
pub(super) fn differences<T: Serialize>(old: &T, new: &T, path: &str) -> Vec<Difference> {
    let value = |side: &T| serde_json::to_value(side).expect("the kinds can be written as JSON: their keys are texts");
    let mut found = Vec::new();
    walk(&value(old), &value(new), path, &mut found);
    found
}

fn walk(old: &Value, new: &Value, path: &str, found: &mut Vec<Difference>) {
    match (old, new) {
        (Value::Object(was), Value::Object(is)) => {
            let mut keys: Vec<&String> = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key))).collect();
            keys.sort_unstable();
            for key in keys {
                let null = Value::Null;
                let side = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(null.clone());
                walk(&side(was), &side(is), &format!("{path}.{key}"), found);
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            for (i, (was, is)) in was.iter().zip(is).enumerate() {
                walk(was, is, &format!("{path}[{i}]"), found);
            }
        }
        (was, is) if was != is => found.push((path.to_owned(), text(was), text(is))),
        _ => {}
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_that_differs_is_named() {
        let old = json!({"a": 1, "b": {"c": "x", "d": [1, 2]}, "e": [1], "same": true});
        let new = json!({"a": 2, "b": {"c": "y", "d": [1, 3]}, "e": [1, 2], "f": "new", "same": true});
        let found = differences(&old, &new, "spec");
        let rows = [
            ("spec.a", "1", "2"),
            ("spec.b.c", "x", "y"),
            ("spec.b.d[1]", "2", "3"),
            ("spec.e", "[1]", "[1,2]"),
            ("spec.f", "", "new"),
        ];
        let want: Vec<Difference> = rows.map(|(path, was, is)| (path.into(), was.into(), is.into())).into();
        assert_eq!(found, want);
        assert_eq!(differences(&old, &old, "spec"), []);
    }
}
