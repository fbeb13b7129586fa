//! The OpenAPI v3 documents: `kubectl explain` tells from them what a field means, and kubectl reads in them that
//! the server looks for unknown fields itself.
//!
//! There is one document for each group version of [`crate::kinds`]. The schemas of Knative's kinds come from the types
//! of `pelton_resource`, with their comments ([`knative`]); those of the others are written down in short ([`short`]).
//! A document has the schemas that something in it refers to, and no more.
//!
//! A document depends on nothing but the program, so every node answers with the same one under the same hash. The index takes all of
//! them, so whoever serves it makes it once.

use std::hash::Hasher as _;

use serde_json::{Map, Value, json};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::kinds;

mod core;
mod definitions;
mod knative;
mod meta;
mod operations;
mod reviews;
mod schemas;
mod short;

/// What `/openapi/v3` answers: where each document is, under a URL that changes with it.
#[must_use]
pub fn index() -> Value {
    let mut paths = Map::new();
    for (group, version) in kinds::group_versions() {
        if let Some(document) = document(group, version) {
            let path = path(group, version);
            let url = format!("/openapi/v3/{path}?hash={}", hash(&document));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The document of a group version; none when there is no such kind.
#[must_use]
pub fn document(group: &str, version: &str) -> Option<Value> {
    let rows: Vec<_> = kinds::ROWS.iter().filter(|row| (row.group, row.version) == (group, version)).collect();
    if rows.is_empty() {
        return None;
    }
    let paths: Map<_, _> = rows.iter().flat_map(|row| operations::paths(row)).collect();
    let paths = Value::Object(paths);
    let schemas = schemas::components(&rows, &paths);
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Pelton", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// Where the document of a group version is, below `/openapi/v3/`: `api/v1`, or `apis/eventing.knative.dev/v1`.
#[must_use]
pub fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What tells a document from every other one: 32 hexadecimal digits, the same in each run and on each machine.
#[must_use]
pub fn hash(document: &Value) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(document.to_string().as_bytes());
    format!("{:032X}", hasher.finish128().as_u128())
}

#[cfg(test)]
mod tests;
