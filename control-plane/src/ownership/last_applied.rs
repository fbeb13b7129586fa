//! The way from client-side to server-side apply (kube-api, 10.5).
//!
//! Client-side apply leaves what it applied in an annotation. Two rules, for the manager `kubectl` only, keep that and
//! the ownership together until kubectl has moved the ownership over.

use serde_json::Value;

use super::path::{Path, PathSet};
use super::tree::{Part, is_same, leaves, without_nulls};

/// The annotation in which client-side apply keeps what it applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Rule (a): the paths that stand in the annotation with the live value. They are kubectl's own in all but name, and it
/// may take them without a conflict. An annotation that cannot be read has none.
#[must_use]
pub fn paths_of_last_applied(annotation_json: &str, live: &Value) -> PathSet {
    let last: Value = serde_json::from_str(annotation_json).map_or(Value::Null, |last| without_nulls(&last));
    let in_both = [Part::Main, Part::Status].into_iter().flat_map(|part| leaves(&last, part)).map(|(path, _)| path);
    in_both.filter(|path: &Path| is_same(path.steps(), &last, live)).collect()
}

/// Rule (b): the annotation's text once `applied` was applied, ending in a newline as kubectl's own does. It goes into
/// an object that has the annotation already, after the ownership was worked out: the annotation keeps its owners.
#[must_use]
pub fn last_applied_text(applied: &Value) -> String {
    let mut applied = applied.clone();
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
    }
    format!("{applied}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_with_the_live_value_are_found() {
        let live = json!({
            "metadata": {"name": "b", "annotations": {"a": "1"}, "finalizers": ["f"]},
            "spec": {"same": 1, "other": 2, "list": [1], "map": {"x": 1}, "was": {"map": 1}},
        });
        let last = json!({
            "metadata": {"name": "b", "annotations": {"a": "1", "gone": "1"}, "finalizers": ["f", "g"]},
            "spec": {"same": 1, "other": 1, "list": [1], "map": {}, "was": "text", "none": null},
        });
        let found = paths_of_last_applied(&last.to_string(), &live);
        let texts: Vec<_> = found.iter().map(Path::to_string).collect();
        let want = [".metadata.annotations.a", ".metadata.finalizers[=\"f\"]", ".spec.list", ".spec.map", ".spec.same"];
        assert_eq!(texts, want);
        for garbage in ["", "{", "1", "[]", "null"] {
            assert!(paths_of_last_applied(garbage, &live).is_empty(), "{garbage}");
        }
    }

    #[test]
    fn the_annotation_is_the_applied_object_without_itself() {
        let rows = [
            (json!({"kind": "B", "metadata": {"name": "b"}}), json!({"kind": "B", "metadata": {"name": "b"}})),
            (
                json!({"metadata": {"annotations": {LAST_APPLIED: "{}", "a": "1"}}, "spec": {"x": 1}}),
                json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"x": 1}}),
            ),
        ];
        for (applied, want) in rows {
            assert_eq!(last_applied_text(&applied), format!("{want}\n"), "{applied}");
        }
    }
}
