//! Discovery in one answer: all groups with all their resources, instead of a request for each group version.

use serde_json::{Value, json};

use super::{group_names, insert_names, rows, subresources, versions};
use crate::kinds::Row;

/// In which version the answer is. The two differ in name only: kubectl 1.27 to 1.29 asks for the second, 1.30 to 1.33
/// for either, and 1.37 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregated {
    /// `apidiscovery.k8s.io/v2`
    V2,
    /// `apidiscovery.k8s.io/v2beta1`
    V2Beta1,
}

impl Aggregated {
    /// The media type, as it is asked for and as it has to be answered.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "apidiscovery.k8s.io/v2",
            Self::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }
}

/// `/api`, aggregated: the core group.
#[must_use]
pub fn aggregated_core(form: Aggregated) -> Value {
    list(form, &[""])
}

/// `/apis`, aggregated: all groups but the core one.
#[must_use]
pub fn aggregated_groups(form: Aggregated) -> Value {
    list(form, &group_names())
}

fn list(form: Aggregated, groups: &[&str]) -> Value {
    let items: Vec<_> = groups.iter().map(|group| describe_group(group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": form.api_version(),
        "metadata": {},
        "items": items,
    })
}

fn describe_group(group: &str) -> Value {
    let versions: Vec<_> = versions(group)
        .map(|version| {
            let resources: Vec<_> = rows(group, version).map(describe_resource).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
}

fn describe_resource(row: &Row) -> Value {
    let mut resource = json!({
        "resource": row.plural,
        "responseKind": response_kind(row.group, row.version, row.kind),
        "scope": if row.is_namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    insert_names(row, &mut resource);
    let subresources: Vec<_> = subresources(row)
        .iter()
        .map(|of| {
            json!({
                "subresource": of.name,
                "responseKind": response_kind(of.group, of.version, of.kind),
                "verbs": of.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}
