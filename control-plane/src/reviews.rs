//! Questions that are asked by posting an object: may I, what may I, who am I.

use pelton_access::{Attributes, Caller};
use serde_json::{Map, Value, json};

use crate::kinds::{ROWS, Review, Row};
use crate::status::ApiError;

/// Paths that are no resources and that somebody may be able to read.
const PATHS: [&str; 10] =
    ["/healthz", "/livez", "/readyz", "/version", "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];

/// What is answered to who asks.
///
/// # Errors
/// The question is none.
pub fn answer(review: Review, mut object: Map<String, Value>, caller: &Caller) -> Result<Value, ApiError> {
    let status = match review {
        Review::SelfSubjectAccess => json!({"allowed": caller.may(&wanted(&object)?)}),
        Review::SelfSubjectRules => {
            let namespace = text(object.get("spec"), "namespace");
            json!({"resourceRules": rules(namespace, caller), "nonResourceRules": paths(caller), "incomplete": false})
        }
        Review::SelfSubject => {
            let who = caller.identity();
            let mut user = json!({"username": who.user, "groups": who.groups});
            if !who.uid.is_empty() {
                user["uid"] = who.uid.clone().into();
            }
            json!({"userInfo": user})
        }
    };
    object.insert("status".to_owned(), status);
    Ok(Value::Object(object))
}

fn text<'a>(value: Option<&'a Value>, field: &str) -> &'a str {
    value.and_then(|value| value.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// What is asked about. An empty namespace is all of them.
fn wanted(object: &Map<String, Value>) -> Result<Attributes, ApiError> {
    let spec = object.get("spec");
    let at = |field: &str| spec.and_then(|spec| spec.get(field)).filter(|value| value.is_object());
    match (at("resourceAttributes"), at("nonResourceAttributes")) {
        (Some(of), None) => {
            let of = |field| text(Some(of), field);
            let some = |field| Some(of(field)).filter(|text| !text.is_empty());
            let kind = (of("group"), of("version"), of("resource"));
            Ok(Attributes::resource(of("verb"), kind, of("subresource"), some("namespace"), some("name")))
        }
        (None, Some(of)) => Ok(Attributes::path(text(Some(of), "verb"), text(Some(of), "path"))),
        _ => {
            let why = "spec: exactly one of resourceAttributes and nonResourceAttributes must be given";
            Err(ApiError::bad_request(why))
        }
    }
}

/// What may be done with the resources of a namespace, and with those that are in none.
fn rules(namespace: &str, caller: &Caller) -> Vec<Value> {
    let place = |row: &Row| Some(namespace).filter(|_| row.is_namespaced && !namespace.is_empty());
    let may = |row: &Row, verb: &str, part: &str| {
        caller.may(&Attributes::resource(verb, (row.group, row.version, row.plural), part, place(row), None))
    };
    let mut rules = Vec::new();
    for row in ROWS {
        let parts: &[(&str, &[&str])] = match (row.has_status, row.plural) {
            (true, _) => &[("status", &["get", "patch", "update"])],
            (false, "serviceaccounts") => &[("token", &["create"])],
            _ => &[],
        };
        for (part, verbs) in [("", row.verbs)].iter().chain(parts) {
            let verbs: Vec<&str> = verbs.iter().copied().filter(|verb| may(row, verb, part)).collect();
            if !verbs.is_empty() {
                let resource = if part.is_empty() { row.plural.to_owned() } else { format!("{}/{part}", row.plural) };
                rules.push(
                    json!({"verbs": verbs, "apiGroups": [row.group], "resources": [resource], "resourceNames": []}),
                );
            }
        }
    }
    rules
}

fn paths(caller: &Caller) -> Vec<Value> {
    if caller.may(&Attributes::path("*", "*")) {
        return vec![json!({"verbs": ["*"], "nonResourceURLs": ["*"]})];
    }
    let urls: Vec<&str> = PATHS.into_iter().filter(|path| caller.may(&Attributes::path("get", path))).collect();
    vec![json!({"verbs": ["get"], "nonResourceURLs": urls})]
}
