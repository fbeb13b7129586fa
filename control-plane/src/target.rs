//! What the path of a request names.

use pelton_resource::{Kind, ResourceKey};

use crate::kinds::{self, Row, Store};
use crate::query::decode_segment;

/// A part of an object that is read and written by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Main,
    /// The status.
    Status,
}

impl Part {
    /// As managed fields name it.
    #[must_use]
    pub fn subresource(self) -> Option<&'static str> {
        match self {
            Self::Main => None,
            Self::Status => Some("status"),
        }
    }
}

/// Objects of one kind, in one namespace or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The kind.
    pub row: &'static Row,
    /// The namespace; `None` for all of them, or where there are none.
    pub namespace: Option<String>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub row: &'static Row,
    /// Its namespace; empty where there are none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What of it.
    pub part: Part,
}

impl Target {
    /// What it is called in the registry. `None` for what is not kept there.
    #[must_use]
    pub fn key(&self) -> Option<ResourceKey> {
        Some(ResourceKey::new(stored_kind(self.row)?, self.namespace.as_str(), self.name.as_str()))
    }
}

/// The kind that the objects of a row have in the registry.
#[must_use]
pub fn stored_kind(row: &Row) -> Option<Kind> {
    match row.store {
        Store::Stored(kind) => Some(kind),
        Store::NewEvents => Some(Kind::Event),
        Store::Definitions | Store::Review(_) => None,
    }
}

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// Objects of a kind.
    Collection(Collection),
    /// An object, or a part of it.
    Object(Target),
    /// Tokens of a ServiceAccount.
    Tokens(Target),
    /// The kinds of a group version.
    GroupVersion(String, String),
    /// The versions of a group.
    Group(String),
    /// All groups.
    Groups,
    /// The versions of the core group.
    CoreVersions,
}

/// What a path below `/api` or `/apis` names, if there is such a thing. A slash at the end does not count.
#[must_use]
pub fn named(path: &str) -> Option<Named> {
    let path = path.strip_prefix('/')?;
    let segments: Vec<String> = path.strip_suffix('/').unwrap_or(path).split('/').map(decode_segment).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["api"] => Some(Named::CoreVersions),
        ["api", version] => Some(Named::GroupVersion(String::new(), (*version).to_owned())),
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis"] => Some(Named::Groups),
        ["apis", group] => Some(Named::Group((*group).to_owned())),
        ["apis", group, version] => Some(Named::GroupVersion((*group).to_owned(), (*version).to_owned())),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        _ => None,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Option<Named> {
    let row = |plural: &str| kinds::find(group, version, plural);
    match rest {
        ["namespaces", "", _, ..] => None,
        ["namespaces", namespace, plural, rest @ ..] if row(plural).is_some_and(|row| row.is_namespaced) => {
            within(row(plural)?, (*namespace).to_owned(), rest)
        }
        [plural] => Some(Named::Collection(Collection { row: row(plural)?, namespace: None })),
        [plural, rest @ ..] if !row(plural)?.is_namespaced => within(row(plural)?, String::new(), rest),
        _ => None,
    }
}

fn within(row: &'static Row, namespace: String, rest: &[&str]) -> Option<Named> {
    let object = |name: &str, part| Target { row, namespace: namespace.clone(), name: name.to_owned(), part };
    match rest {
        [] => Some(Named::Collection(Collection { row, namespace: Some(namespace) })),
        [""] | ["", ..] => None,
        [name] => Some(Named::Object(object(name, Part::Main))),
        [name, "status"] if row.has_status => Some(Named::Object(object(name, Part::Status))),
        [name, "token"] if row.plural == "serviceaccounts" => Some(Named::Tokens(object(name, Part::Main))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(named: Option<Named>) -> String {
        match named {
            None => "nothing".to_owned(),
            Some(Named::Collection(it)) => {
                format!("{} in {}", it.row.qualified(), it.namespace.as_deref().unwrap_or("all"))
            }
            Some(Named::Object(it)) => format!("{} {}/{} {:?}", it.row.qualified(), it.namespace, it.name, it.part),
            Some(Named::Tokens(it)) => format!("tokens of {}/{}", it.namespace, it.name),
            Some(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn paths_name_what_kubernetes_means_by_them() {
        for (path, want) in [
            ("/api", "CoreVersions"),
            ("/api/v1/", "GroupVersion(\"\", \"v1\")"),
            ("/apis", "Groups"),
            ("/apis/eventing.knative.dev", "Group(\"eventing.knative.dev\")"),
            ("/apis/eventing.knative.dev/v1", "GroupVersion(\"eventing.knative.dev\", \"v1\")"),
            ("/apis/eventing.knative.dev/v1/brokers", "brokers.eventing.knative.dev in all"),
            ("/apis/eventing.knative.dev/v1/namespaces/n/brokers", "brokers.eventing.knative.dev in n"),
            ("/apis/eventing.knative.dev/v1/namespaces/n/brokers/b", "brokers.eventing.knative.dev n/b Main"),
            ("/apis/eventing.knative.dev/v1/namespaces/n/brokers/b/status", "brokers.eventing.knative.dev n/b Status"),
            ("/apis/eventing.knative.dev/v1/namespaces/n/brokers/b/scale", "nothing"),
            ("/apis/eventing.knative.dev/v1/brokers/b", "nothing"),
            ("/apis/eventing.knative.dev/v2/brokers", "nothing"),
            ("/api/v1/namespaces", "namespaces in all"),
            ("/api/v1/namespaces/n", "namespaces /n Main"),
            ("/api/v1/namespaces/n/status", "namespaces /n Status"),
            ("/api/v1/namespaces/n/secrets", "secrets in n"),
            ("/api/v1/namespaces//secrets", "nothing"),
            ("/api/v1/namespaces//secrets/a", "nothing"),
            ("/api/v1/namespaces/n/secrets/a%2Eb", "secrets n/a.b Main"),
            ("/api/v1/namespaces/n/serviceaccounts/s/token", "tokens of n/s"),
            ("/api/v1/namespaces/n/pods", "nothing"),
            ("/v1/brokers", "nothing"),
        ] {
            assert_eq!(brief(named(path)), want, "{path}");
        }
    }
}
