//! What there is to ask for: the documents that clients read before anything else, made from the table of kinds.

use pelton_resource::Kind;
use serde_json::{Value, json};

use crate::kinds::{ROWS, Row, Store, group_versions};

mod aggregated;
mod definitions;
mod hash;

pub use aggregated::{Aggregated, aggregated_core, aggregated_groups};
pub use definitions::definitions;
pub use hash::etag;

/// The release of Kubernetes whose API this is: clients warn when theirs is more than one away from it.
const MAJOR: u32 = 1;
const MINOR: u32 = 33;

/// `/version`, for a server that calls itself `name`: `v1.33.0+name`.
///
/// # Panics
/// When the name is not build metadata of a semantic version: kubectl could not read its answer.
#[must_use]
pub fn version(name: &str) -> Value {
    assert!(
        name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')),
        "{name:?} is build metadata of a semantic version"
    );
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "major": MAJOR.to_string(),
        "minor": MINOR.to_string(),
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+{name}"),
        // Clients insist on these being there, and on nothing in them.
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{architecture}", std::env::consts::OS),
    })
}

/// `/api`: the versions of the core group, for clients that reached the server as `server_address` (`host:port`).
#[must_use]
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "apiVersion": "v1",
        "versions": versions("").collect::<Vec<_>>(),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: all groups but the core one.
#[must_use]
pub fn groups() -> Value {
    let groups: Vec<_> = group_names().into_iter().map(describe_group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/NAME`: one group.
#[must_use]
pub fn group(name: &str) -> Option<Value> {
    if !group_names().contains(&name) {
        return None;
    }
    let mut group = describe_group(name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(group)
}

/// `/api/v1` and `/apis/GROUP/VERSION`: the resources of a group version, each followed by its subresources.
#[must_use]
pub fn resources(group: &str, version: &str) -> Option<Value> {
    let group_version = rows(group, version).next()?.api_version();
    let mut resources = Vec::new();
    for row in rows(group, version) {
        resources.push(describe_resource(row));
        resources.extend(subresources(row).iter().map(|subresource| describe_subresource(row, subresource)));
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

/// Something that an object has under its own path.
struct Subresource {
    name: &'static str,
    /// Group, version and kind of what is read and written there.
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
}

fn subresources(row: &Row) -> Vec<Subresource> {
    let mut all = Vec::new();
    if row.has_status {
        let Row { group, version, kind, .. } = *row;
        all.push(Subresource { name: "status", group, version, kind, verbs: &["get", "patch", "update"] });
    }
    if row.store == Store::Stored(Kind::ServiceAccount) {
        let (group, kind) = ("authentication.k8s.io", "TokenRequest");
        all.push(Subresource { name: "token", group, version: "v1", kind, verbs: &["create"] });
    }
    all
}

/// The row of an APIResourceList.
fn describe_resource(row: &Row) -> Value {
    let mut resource = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.is_namespaced,
        "kind": row.kind,
        "verbs": row.verbs,
    });
    insert_names(row, &mut resource);
    resource
}

/// The row of an APIResourceList. Group and version stand there only when they are not those of the list.
fn describe_subresource(row: &Row, of: &Subresource) -> Value {
    let mut resource = json!({
        "name": format!("{}/{}", row.plural, of.name),
        "singularName": "",
        "namespaced": row.is_namespaced,
        "kind": of.kind,
        "verbs": of.verbs,
    });
    if (of.group, of.version) != (row.group, row.version) {
        resource["group"] = of.group.into();
        resource["version"] = of.version.into();
    }
    resource
}

/// The other names that kubectl takes, where there are any.
fn insert_names(row: &Row, into: &mut Value) {
    for (field, names) in [("shortNames", row.short_names), ("categories", row.categories)] {
        if !names.is_empty() {
            into[field] = names.into();
        }
    }
}

/// The groups but the core one, in the order of the table.
fn group_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for (group, _) in group_versions() {
        if !group.is_empty() && !names.contains(&group) {
            names.push(group);
        }
    }
    names
}

/// The versions of a group, the preferred one first: the table has them in that order.
fn versions(group: &str) -> impl Iterator<Item = &'static str> {
    group_versions().into_iter().filter(move |(of, _)| *of == group).map(|(_, version)| version)
}

/// The rows of a group version.
fn rows(group: &str, version: &str) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| (row.group, row.version) == (group, version))
}

fn describe_group(name: &str) -> Value {
    let versions: Vec<_> = versions(name)
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "preferredVersion": versions[0], "versions": versions})
}

#[cfg(test)]
mod tests;
