//! What requests for the routes below `/v1` want.
//!
//! Of a route whose path names a namespace, it is that of the resource there. What names none is a matter of the whole
//! cluster, and so is every path that is not known here: a new route is closed until somebody says otherwise.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use pelton_access::{Attributes, Caller, runs_process};
use pelton_client::Client;
use pelton_control_plane::{ControlPlane, attributes};
use pelton_resource::{DEFAULT_NAMESPACE, Kind, Resource};
use serde_json::Value;

use crate::api::query_value;

/// What a request wants, as far as its head says.
pub fn of_head<C: Client>(parts: &Parts) -> Attributes {
    let path = parts.uri.path();
    if ControlPlane::<C>::has(path) {
        return attributes(&parts.method, &parts.uri);
    }
    let query = parts.uri.query().unwrap_or_default();
    // As the router has them.
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or("").split('/').collect();
    let change = if parts.method == Method::GET || parts.method == Method::HEAD { "get" } else { "update" };
    match segments.as_slice() {
        // Each document is looked at by itself.
        ["v1", "apply"] => Attributes::resource("create", SELF_REVIEW, "", None, None),
        ["v1", "cluster", ..] => Attributes::own(change, "cluster", None),
        // One is meant by a query, by the body, or by the path.
        ["v1", "dead-letters"] => of_trigger(change, query_value(query, "trigger").as_deref()),
        ["v1", "dead-letters", "redrive" | "discard"] => Attributes::resource("create", SELF_REVIEW, "", None, None),
        ["v1", "dead-letters", namespace, _, _, _] => Attributes::own(change, DEAD_LETTERS, Some(namespace)),
        ["v1", "dead-letters", ..] => Attributes::own(change, DEAD_LETTERS, None),
        ["v1", plural, rest @ ..] => match (Kind::of_plural(plural), rest) {
            (Some(kind), []) => {
                let namespace = query_value(query, "namespace");
                let verb = if change == "get" { "list" } else { "create" };
                Attributes::resource(verb, names(kind), "", namespace.as_deref(), None)
            }
            (Some(kind), [namespace, name, part @ ..]) => {
                let verb = match (change, part) {
                    ("update", []) if parts.method == Method::DELETE => "delete",
                    (change, _) => change,
                };
                let part = part.join("/");
                Attributes::resource(verb, names(kind), &part, Some(namespace), Some(name))
            }
            _ => Attributes::path(&parts.method.as_str().to_ascii_lowercase(), path),
        },
        _ => Attributes::path(&parts.method.as_str().to_ascii_lowercase(), path),
    }
}

const DEAD_LETTERS: &str = "deadletters";

/// What everybody may who is known: the rest is in the body.
const SELF_REVIEW: (&str, &str, &str) = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews");

/// What a request wants, all of it, once its body is there. `Err` names what the caller may not.
pub async fn of_body(request: &Request<Bytes>, caller: &Caller) -> Result<Option<Vec<Attributes>>, String> {
    match request.uri().path() {
        "/v1/apply" => documents(request.body().clone(), caller).await.map(Some),
        "/v1/dead-letters/redrive" | "/v1/dead-letters/discard" => {
            let body: Option<Value> = serde_json::from_slice(request.body()).ok();
            let trigger = body.as_ref().and_then(|body| body.get("trigger")).and_then(Value::as_str);
            let wanted = of_trigger("update", trigger);
            check(&wanted, caller)?;
            Ok(Some(vec![wanted]))
        }
        _ => Ok(None),
    }
}

fn check(wanted: &Attributes, caller: &Caller) -> Result<(), String> {
    if caller.may(wanted) { Ok(()) } else { Err(wanted.refusal(&caller.identity().user)) }
}

/// Documents that cannot be read are the route's to refuse.
async fn documents(body: Bytes, caller: &Caller) -> Result<Vec<Attributes>, String> {
    let read = move || {
        let text = std::str::from_utf8(&body).ok()?;
        pelton_resource::parse_documents(text, "request").ok()
    };
    // On a thread of its own: a document may be deep.
    let resources: Vec<Resource> = tokio::task::spawn_blocking(read).await.ok().flatten().unwrap_or_default();
    let mut all = Vec::with_capacity(resources.len());
    for resource in resources {
        let (meta, kind) = (resource.meta(), resource.kind());
        let namespace = match (kind.is_namespaced(), meta.namespace.is_empty()) {
            (true, true) => DEFAULT_NAMESPACE,
            (true, false) => &meta.namespace,
            (false, _) => &meta.name,
        };
        let wanted = Attributes::resource("patch", names(kind), "", Some(namespace), Some(&meta.name));
        check(&wanted, caller)?;
        if runs_process(&resource) && !caller.may_run_processes(namespace) {
            let what = format!("{} {}", kind.as_str(), meta.name);
            return Err(format!("{what} is forbidden: it runs as Pelton's own user, which asks for `processes: true`"));
        }
        all.push(wanted);
    }
    Ok(all)
}

/// Dead letters of a Trigger by its name. One that is gone has only a uid, and no namespace any more.
fn of_trigger(verb: &str, trigger: Option<&str>) -> Attributes {
    let namespace = trigger.and_then(|trigger| trigger.split_once('/')).map(|(namespace, _)| namespace);
    Attributes::own(verb, DEAD_LETTERS, namespace)
}

fn names(kind: Kind) -> (&'static str, &'static str, &'static str) {
    let (group, version) = kind.api_version().split_once('/').unwrap_or(("", kind.api_version()));
    (group, version, kind.plural())
}

#[cfg(test)]
mod tests {
    use pelton_client::memory::MemoryClient;

    use super::*;

    #[test]
    fn routes_want_what_their_paths_name() {
        let brokers = ("eventing.knative.dev", "v1", "brokers");
        let triggers = ("eventing.knative.dev", "v1", "triggers");
        let services = ("serving.knative.dev", "v1", "services");
        for (method, path, want) in [
            ("GET", "/v1/brokers", Attributes::resource("list", brokers, "", None, None)),
            ("GET", "/v1/brokers?namespace=shop", Attributes::resource("list", brokers, "", Some("shop"), None)),
            ("GET", "/v1/brokers/shop/b", Attributes::resource("get", brokers, "", Some("shop"), Some("b"))),
            ("DELETE", "/v1/brokers/shop/b", Attributes::resource("delete", brokers, "", Some("shop"), Some("b"))),
            ("GET", "/v1/brokers/shop/b/x/y", Attributes::resource("get", brokers, "x/y", Some("shop"), Some("b"))),
            (
                "POST",
                "/v1/triggers/shop/t/rewind",
                Attributes::resource("update", triggers, "rewind", Some("shop"), Some("t")),
            ),
            (
                "DELETE",
                "/v1/triggers/shop/t/warning",
                Attributes::resource("update", triggers, "warning", Some("shop"), Some("t")),
            ),
            (
                "GET",
                "/v1/services/shop/s/logs?follow=true",
                Attributes::resource("get", services, "logs", Some("shop"), Some("s")),
            ),
            ("GET", "/v1/dead-letters", Attributes::own("get", "deadletters", None)),
            ("GET", "/v1/dead-letters?trigger=shop%2Ft", Attributes::own("get", "deadletters", Some("shop"))),
            ("GET", "/v1/dead-letters?trigger=0191", Attributes::own("get", "deadletters", None)),
            ("GET", "/v1/dead-letters/shop/t/0/1", Attributes::own("get", "deadletters", Some("shop"))),
            ("GET", "/v1/dead-letters/0191/0/1", Attributes::own("get", "deadletters", None)),
            ("GET", "/v1/cluster", Attributes::own("get", "cluster", None)),
            ("POST", "/v1/cluster/changes", Attributes::own("update", "cluster", None)),
            ("POST", "/v1/unheard-of", Attributes::path("post", "/v1/unheard-of")),
            ("GET", "/console", Attributes::path("get", "/console")),
            ("GET", "/apis", Attributes::path("get", "/apis")),
        ] {
            let (parts, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
            assert_eq!(of_head::<MemoryClient>(&parts), want, "{method} {path}");
        }
    }
}
