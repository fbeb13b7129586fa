//! Objects as clients see them, and back.

use pelton_resource::{CORE_API_VERSION, Resource};
use serde_json::{Map, Value, json};

use crate::kinds::{Row, Store};

/// An object in the words of its row.
#[must_use]
pub fn shown(row: &Row, resource: &Resource) -> Value {
    let value = serde_json::to_value(resource).expect("a resource has no map whose keys are no texts");
    in_words_of(row, value)
}

/// A stored object in the words of a row.
#[must_use]
pub fn in_words_of(row: &Row, value: Value) -> Value {
    if row.store == Store::NewEvents { new_event(value) } else { value }
}

/// An object in the words of its row as it is stored.
#[must_use]
pub fn stored(row: &Row, value: Value) -> Value {
    if row.store == Store::NewEvents { core_event(value) } else { value }
}

/// The fields of an Event: in the core group, and in `events.k8s.io/v1`.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("reportingComponent", "reportingController"),
];

const NEW_EVENTS: &str = "events.k8s.io/v1";

fn renamed(value: Value, api_version: &str, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(fields) = value else { return value };
    let rename = |(field, value): (String, Value)| (name(&field).map_or(field, str::to_owned), value);
    let mut fields: Map<String, Value> = fields.into_iter().map(rename).collect();
    fields.insert("apiVersion".to_owned(), json!(api_version));
    Value::Object(fields)
}

fn new_event(value: Value) -> Value {
    let name = |field: &str| EVENT_FIELDS.iter().find(|(core, _)| *core == field).map(|(_, new)| *new);
    renamed(value, NEW_EVENTS, name)
}

fn core_event(value: Value) -> Value {
    let name = |field: &str| EVENT_FIELDS.iter().find(|(_, new)| *new == field).map(|(core, _)| *core);
    renamed(value, CORE_API_VERSION, name)
}

/// A text of an object by the path of a field selector: `metadata.name`, `involvedObject.uid`.
#[must_use]
pub fn text_at(object: &Value, path: &str) -> Option<String> {
    let found = path.split('.').try_fold(object, |value, name| value.get(name))?;
    found.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::find;

    #[test]
    fn an_event_is_the_same_in_both_words() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Made", "type": "Normal",
            "involvedObject": {"kind": "Broker"}, "message": "m", "source": {"component": "c"}, "count": 2,
            "firstTimestamp": "a", "lastTimestamp": "b", "reportingComponent": "r", "action": "Do",
        });
        let new = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Made",
            "type": "Normal", "regarding": {"kind": "Broker"}, "note": "m", "deprecatedSource": {"component": "c"},
            "deprecatedCount": 2, "deprecatedFirstTimestamp": "a", "deprecatedLastTimestamp": "b",
            "reportingController": "r", "action": "Do",
        });
        let row = find("events.k8s.io", "v1", "events").unwrap();
        assert_eq!(in_words_of(row, core.clone()), new);
        assert_eq!(stored(row, new), core);
        let row = find("", "v1", "events").unwrap();
        assert_eq!((in_words_of(row, core.clone()), stored(row, core.clone())), (core.clone(), core.clone()));
        assert_eq!(text_at(&core, "involvedObject.kind").as_deref(), Some("Broker"));
        assert_eq!(text_at(&core, "involvedObject.name.more"), None);
    }
}
