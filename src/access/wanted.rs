//! What requests for the routes below `/v1` want.
//!
//! Of a route whose path names a namespace, it is that of the resource there. What names none is a matter of the whole
//! cluster, and so is every path that is not known here: a new route is closed until somebody says otherwise.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use pelton_access::{Attributes, Caller};
use pelton_client::Client;
use pelton_control_plane::{ControlPlane, attributes};
use pelton_resource::Kind;
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
        ["v1", "cluster", ..] | ["v1", "top"] => Attributes::own(change, "cluster", None),
        // One is meant by a query, by the body, or by the path.
        ["v1", "dead-letters"] => of_trigger(change, query_value(query, "trigger").as_deref()),
        ["v1", "dead-letters", "redrive" | "discard"] => Attributes::resource("create", SELF_REVIEW, "", None, None),
        ["v1", "dead-letters", namespace, _, _, _] => Attributes::own(change, DEAD_LETTERS, Some(namespace)),
        ["v1", "dead-letters", ..] => Attributes::own(change, DEAD_LETTERS, None),
        ["v1", "events", namespace, ..] => Attributes::own(change, EVENTS, Some(namespace)),
        // An event is looked for in one Broker, or in all; by its position it may be in any.
        ["v1", "trace"] => Attributes::own(change, EVENTS, namespace_of(query_value(query, "broker").as_deref())),
        ["v1", "event", ..] => Attributes::own(change, EVENTS, None),
        ["v1", plural, rest @ ..] => match (Kind::of_plural(plural), rest) {
            (Some(kind), [namespace, name, part]) => {
                Attributes::resource(change, names(kind), part, Some(namespace), Some(name))
            }
            _ => Attributes::path(&parts.method.as_str().to_ascii_lowercase(), path),
        },
        _ => Attributes::path(&parts.method.as_str().to_ascii_lowercase(), path),
    }
}

const DEAD_LETTERS: &str = "deadletters";

/// CloudEvents in the log.
const EVENTS: &str = "cloudevents";

/// What everybody may who is known: the rest is in the body.
const SELF_REVIEW: (&str, &str, &str) = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews");

/// What a request wants, all of it, once its body is there. `Err` names what the caller may not.
pub fn of_body(request: &Request<Bytes>, caller: &Caller) -> Result<Option<Vec<Attributes>>, String> {
    match request.uri().path() {
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

/// Dead letters of a Trigger by its name. One that is gone has only a uid, and no namespace any more.
fn of_trigger(verb: &str, trigger: Option<&str>) -> Attributes {
    Attributes::own(verb, DEAD_LETTERS, namespace_of(trigger))
}

fn namespace_of(qualified: Option<&str>) -> Option<&str> {
    qualified?.split_once('/').map(|(namespace, _)| namespace)
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
            ("GET", "/v1/brokers/shop/b", Attributes::path("get", "/v1/brokers/shop/b")),
            ("GET", "/v1/brokers/shop/b/x", Attributes::resource("get", brokers, "x", Some("shop"), Some("b"))),
            ("GET", "/v1/events/shop/b", Attributes::own("get", "cloudevents", Some("shop"))),
            ("GET", "/v1/events/shop/b/tail?data=true", Attributes::own("get", "cloudevents", Some("shop"))),
            ("GET", "/v1/event/0/1", Attributes::own("get", "cloudevents", None)),
            ("GET", "/v1/trace?source=s&id=1", Attributes::own("get", "cloudevents", None)),
            ("GET", "/v1/trace?broker=shop%2Fb", Attributes::own("get", "cloudevents", Some("shop"))),
            ("GET", "/v1/top", Attributes::own("get", "cluster", None)),
            (
                "GET",
                "/v1/triggers/shop/t/matches",
                Attributes::resource("get", triggers, "matches", Some("shop"), Some("t")),
            ),
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
