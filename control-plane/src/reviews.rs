//! Questions that are asked by posting an object: may I, what may I, who am I.
//!
//! Everybody who gets here may do everything: the API listens where only its owner is.

use serde_json::{Map, Value, json};

use crate::kinds::{ROWS, Review};

/// Who everybody is.
pub const EVERYBODY: &str = "pelton:local";

/// What is answered.
#[must_use]
pub fn answer(review: Review, mut object: Map<String, Value>) -> Value {
    let status = match review {
        Review::SelfSubjectAccess => json!({"allowed": true, "reason": "the API is open on this interface"}),
        Review::SelfSubjectRules => json!({
            "resourceRules": rules(),
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
        Review::SelfSubject => json!({"userInfo": {"username": EVERYBODY, "groups": ["system:masters"]}}),
    };
    object.insert("status".to_owned(), status);
    Value::Object(object)
}

fn rules() -> Vec<Value> {
    let rule = |row: &crate::kinds::Row| json!({"verbs": row.verbs, "apiGroups": [row.group], "resources": [row.plural], "resourceNames": []});
    ROWS.iter().map(rule).collect()
}
