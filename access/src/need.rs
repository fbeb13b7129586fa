//! What each thing asks for. This is the whole of the rules.

use crate::attributes::{Attributes, OWN_GROUP, SYSTEM_NAMESPACE, Target};
use crate::role::{Grant, Role};

/// What a request asks of who makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// Nothing.
    Nothing,
    /// That it is known who he is.
    Known,
    /// At least a role.
    Role {
        /// The least that is enough when it is for the whole cluster.
        cluster: Role,
        /// Where a role for a namespace is enough, and the least one.
        namespace: Option<(&'a str, Role)>,
    },
}

impl Need<'_> {
    /// Whether a grant is enough.
    pub(crate) fn is_met_by(self, grant: &Grant) -> bool {
        match self {
            Self::Nothing | Self::Known => true,
            Self::Role { cluster, namespace } => match &grant.namespace {
                None => grant.role >= cluster,
                Some(own) => namespace.is_some_and(|(wanted, role)| own == wanted && grant.role >= role),
            },
        }
    }
}

/// What only an admin of the whole cluster may.
const ADMIN: Need<'static> = Need::Role { cluster: Role::Admin, namespace: None };

/// What is said to everybody: that the process is alive, and which version it is.
const PUBLIC: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Verbs of resources that this API has.
const READS: [&str; 3] = ["get", "list", "watch"];
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// What is asked of who wants that.
pub(crate) fn need(wanted: &Attributes) -> Need<'_> {
    let verb = wanted.verb.as_str();
    match &wanted.target {
        Target::Path(path) => of_path(verb, path),
        Target::Resource { group, resource, subresource, namespace, name, .. } => {
            if [verb, group, resource, subresource].contains(&"*") {
                return ADMIN;
            }
            if !READS.contains(&verb) && !WRITES.contains(&verb) {
                return ADMIN;
            }
            match (group.as_str(), resource.as_str()) {
                ("authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews")
                | ("authentication.k8s.io", "selfsubjectreviews") => Need::Known,
                // It is made from the table of kinds, which discovery tells as well.
                ("apiextensions.k8s.io", "customresourcedefinitions") if wanted.is_read() => Need::Known,
                ("", "namespaces") => of_namespace(verb, subresource, name.as_deref()),
                (OWN_GROUP, "cluster") => match wanted.is_read() {
                    true => Need::Role { cluster: Role::Viewer, namespace: None },
                    false => ADMIN,
                },
                _ => {
                    let is_secret = (group.as_str(), resource.as_str()) == ("", "secrets");
                    of_content(verb, subresource, is_secret, namespace.as_deref())
                }
            }
        }
    }
}

fn of_path<'a>(verb: &str, path: &str) -> Need<'a> {
    match (verb, path.strip_suffix('/').unwrap_or(path)) {
        ("get" | "head", path) if PUBLIC.contains(&path) => Need::Nothing,
        ("get" | "head", "/api" | "/apis" | "/openapi") => Need::Known,
        ("get" | "head", path) if ["/api/", "/apis/", "/openapi/"].iter().any(|begin| path.starts_with(begin)) => {
            Need::Known
        }
        _ => ADMIN,
    }
}

/// A Namespace is also a matter of those who are admins in it.
fn of_namespace<'a>(verb: &str, subresource: &str, name: Option<&'a str>) -> Need<'a> {
    let in_it = |role| name.map(|name| (name, role));
    match verb {
        "get" | "list" | "watch" => Need::Role { cluster: Role::Viewer, namespace: in_it(Role::Viewer) },
        "create" => Need::Role { cluster: Role::Editor, namespace: None },
        "deletecollection" => ADMIN,
        _ if name.is_none_or(|name| name == SYSTEM_NAMESPACE) => ADMIN,
        _ if subresource == "status" => Need::Role { cluster: Role::Admin, namespace: in_it(Role::Admin) },
        _ => Need::Role { cluster: Role::Editor, namespace: in_it(Role::Admin) },
    }
}

/// What is in namespaces. What is asked of all of them is asked of the system's as well.
fn of_content<'a>(verb: &str, subresource: &str, is_secret: bool, namespace: Option<&'a str>) -> Need<'a> {
    let is_read = READS.contains(&verb);
    match namespace {
        None | Some(SYSTEM_NAMESPACE) if !is_read || is_secret => ADMIN,
        None | Some(SYSTEM_NAMESPACE) => Need::Role { cluster: Role::Viewer, namespace: None },
        Some(namespace) => {
            // A status is the word of who makes it true: what reads it believes it.
            let role = match (is_read, is_secret, subresource) {
                (true, false, _) => Role::Viewer,
                (false, _, "status") => Role::Admin,
                _ => Role::Editor,
            };
            Need::Role { cluster: role, namespace: Some((namespace, role)) }
        }
    }
}
