//! The paths of a kind, and what can be done there.

use serde_json::{Value, json};

use super::short::reference;
use super::{meta, schemas};
use crate::kinds::Row;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json";

/// The paths of a kind, each with its operations.
pub(super) fn paths(row: &Row) -> Vec<(String, Value)> {
    let root = format!("/{}", super::path(row.group, row.version));
    let (scope, of_scope) =
        if row.is_namespaced { ("/namespaces/{namespace}", &["namespace"][..]) } else { ("", &[][..]) };
    let all = format!("{root}{scope}/{}", row.plural);
    let one = format!("{all}/{{name}}");
    let of_one = [of_scope, &["name"]].concat();
    let mut paths = vec![
        (all, of_scope.to_vec(), "", &[Verb::List, Verb::Create, Verb::DeleteCollection][..]),
        (one.clone(), of_one.clone(), "", &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete]),
    ];
    if row.is_namespaced {
        paths.push((format!("{root}/{}", row.plural), Vec::new(), "ForAllNamespaces", &[Verb::List]));
    }
    if row.has_status {
        paths.push((format!("{one}/status"), of_one, "Status", &[Verb::Get, Verb::Update, Verb::Patch]));
    }
    let mut found = Vec::new();
    for (path, within, suffix, verbs) in paths {
        let parameters: Vec<_> = within.into_iter().map(in_path).collect();
        let mut item = json!({"parameters": parameters});
        for verb in verbs.iter().filter(|verb| row.may(verb.name())) {
            item[verb.method()] = verb.operation(row, suffix);
        }
        if item.as_object().is_some_and(|item| item.len() > 1) {
            found.push((path, item));
        }
    }
    found
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

/// What can be done.
#[derive(Clone, Copy)]
enum Verb {
    List,
    Create,
    DeleteCollection,
    Get,
    Update,
    Patch,
    Delete,
}

impl Verb {
    /// As the table of kinds calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::List | Self::Get => "get",
            Self::Create => "post",
            Self::Update => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    /// As `x-kubernetes-action` calls it.
    const fn action(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::DeleteCollection => "deletecollection",
            Self::Get | Self::Create | Self::Update | Self::Patch | Self::Delete => self.method(),
        }
    }

    fn operation(self, row: &Row, suffix: &str) -> Value {
        let answer = match self {
            Self::List => schemas::list_name(row),
            Self::Delete | Self::DeleteCollection => meta::STATUS.to_owned(),
            Self::Get | Self::Create | Self::Update | Self::Patch => schemas::name(row),
        };
        let status = if matches!(self, Self::Create) { "201" } else { "200" };
        let mut operation = json!({
            "operationId": self.id(row, suffix),
            "parameters": self.parameters(),
            "responses": {status: {"description": "Done.", "content": {JSON: {"schema": reference(&answer)}}}},
            "x-kubernetes-action": self.action(),
            "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
        });
        if let Some(content) = self.body(row) {
            operation["requestBody"] = json!({"content": content});
        }
        operation
    }

    /// `listEventingKnativeDevV1NamespacedBroker`: one word for one operation, of which clients make function names.
    fn id(self, row: &Row, suffix: &str) -> String {
        let group = if row.group.is_empty() { "core" } else { row.group };
        let words: String = group.split('.').chain([row.version]).map(capital).collect();
        let scope = if row.is_namespaced && suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
        format!("{}{words}{scope}{}{suffix}", self.name(), row.kind)
    }

    fn parameters(self) -> Vec<Value> {
        let (texts, numbers, switches): (&[&str], &[&str], &[&str]) = match self {
            Self::List => (
                &["labelSelector", "fieldSelector", "continue", "resourceVersion", "resourceVersionMatch"],
                &["limit", "timeoutSeconds"],
                &["watch", "allowWatchBookmarks", "sendInitialEvents"],
            ),
            Self::Get => (&[], &[], &[]),
            // By this kubectl knows that unknown fields are found by the server.
            Self::Create | Self::Update => (&["fieldValidation", "fieldManager", "dryRun"], &[], &[]),
            Self::Patch => (&["fieldValidation", "fieldManager", "dryRun"], &[], &["force"]),
            Self::Delete => (&["propagationPolicy", "dryRun"], &["gracePeriodSeconds"], &[]),
            Self::DeleteCollection => {
                (&["labelSelector", "fieldSelector", "propagationPolicy", "dryRun"], &["gracePeriodSeconds"], &[])
            }
        };
        let types = [(texts, "string"), (numbers, "integer"), (switches, "boolean")];
        let of_type = |(names, of): (&'static [&'static str], &'static str)| {
            names.iter().map(move |name| json!({"name": name, "in": "query", "schema": {"type": of}}))
        };
        types.into_iter().flat_map(of_type).collect()
    }

    /// What is sent, by media type.
    fn body(self, row: &Row) -> Option<Value> {
        let of = |name: &str| json!({"schema": reference(name)});
        match self {
            Self::List | Self::Get => None,
            Self::Create | Self::Update => Some(json!({JSON: of(&schemas::name(row))})),
            Self::Delete | Self::DeleteCollection => Some(json!({JSON: of(meta::DELETE_OPTIONS)})),
            Self::Patch => {
                let object = json!({"schema": {"type": "object"}});
                let mut content = json!({
                    "application/apply-patch+yaml": object,
                    "application/json-patch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
                    "application/merge-patch+json": object,
                });
                // By this kubectl chooses between it and a merge patch.
                if takes_strategic(row) {
                    content[STRATEGIC] = object;
                }
                Some(content)
            }
        }
    }
}

/// Whether a kind takes strategic merge patches: those that kubectl knows of itself do.
fn takes_strategic(row: &Row) -> bool {
    !row.group.ends_with(".knative.dev")
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
    first.to_uppercase() + rest
}
