//! Which route a request is for.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use pelton_access::Caller;
use pelton_client::Client;
use pelton_control_plane::{ApiError, ControlPlane};
use pelton_resource::{Kind, ResourceKey};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::{Api, cluster, dead_letters, events, gateway, guard, logs, resources, top, trace};
use crate::http::{Body, response};

/// What a route gives.
pub type Outcome = Result<Response<Body>, Problem>;

/// Answers a request of somebody who may make it.
pub async fn answer<C: Client>(api: &Api<C>, request: Request<Bytes>, caller: &Caller) -> Response<Body> {
    let outcome = match guard::same_site(request.headers(), &api.hosts, api.scheme) {
        Ok(()) if ControlPlane::<C>::has(request.uri().path()) => Ok(objects(api, request, caller).await),
        Ok(()) => route(api, &request).await,
        Err(problem) => Err(problem),
    };
    let mut response = outcome.unwrap_or_else(|problem| problem.into_response().map(Body::from));
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What clients of Kubernetes ask.
async fn objects<C: Client>(api: &Api<C>, request: Request<Bytes>, caller: &Caller) -> Response<Body> {
    api.control_plane.answer(request, caller).await.map(|body| match body {
        pelton_control_plane::Body::Whole(bytes) => Body::from(bytes),
        pelton_control_plane::Body::Stream(pieces) => Body::pieces(pieces.map(Ok)),
    })
}

async fn route<C: Client>(api: &Api<C>, request: &Request<Bytes>) -> Outcome {
    refuse_what_is_not_here(request)?;
    let path = request.uri().path();
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or("").split('/').collect();
    let query = request.uri().query().unwrap_or("");
    let method = request.method();
    match segments.as_slice() {
        ["v1", "cluster"] => match *method {
            Method::GET => cluster::show(api).await,
            _ => not_allowed("GET"),
        },
        ["v1", "cluster", "changes"] => match *method {
            Method::POST => cluster::change(api, &body(request)?).await,
            _ => not_allowed("POST"),
        },
        ["v1", "triggers", namespace, name, "rewind"] => match *method {
            Method::POST => resources::rewind(api, namespace, name, body(request)?).await,
            _ => not_allowed("POST"),
        },
        ["v1", "triggers", namespace, name, "warning"] => match *method {
            Method::PUT => resources::warn(api, namespace, name, Some(body(request)?)).await,
            Method::DELETE => resources::warn(api, namespace, name, None).await,
            _ => not_allowed("PUT, DELETE"),
        },
        ["v1", "dead-letters"] => match *method {
            Method::GET => dead_letters::list(api, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "dead-letters", "redrive"] => match *method {
            Method::POST => dead_letters::redrive(api, &body(request)?).await,
            _ => not_allowed("POST"),
        },
        ["v1", "dead-letters", "discard"] => match *method {
            Method::POST => dead_letters::discard(api, &body(request)?).await,
            _ => not_allowed("POST"),
        },
        // A Trigger that is gone has no name, only a uid.
        ["v1", "dead-letters", uid, group, offset] => match *method {
            Method::GET => dead_letters::show(api, uid, &format!("{group}/{offset}")).await,
            _ => not_allowed("GET"),
        },
        ["v1", "dead-letters", namespace, trigger, group, offset] => match *method {
            Method::GET => {
                dead_letters::show(api, &format!("{namespace}/{trigger}"), &format!("{group}/{offset}")).await
            }
            _ => not_allowed("GET"),
        },
        ["v1", "events", namespace, broker] => match *method {
            Method::GET => events::list(api, namespace, broker, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "events", namespace, broker, "tail"] => match *method {
            Method::GET => events::tail(api, namespace, broker, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "events", namespace, broker, "matches"] => match *method {
            Method::GET => events::matches(api, namespace, broker, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "triggers", namespace, name, "matches"] => match *method {
            Method::GET => events::matches_of_trigger(api, namespace, name, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "event", group, offset] => match *method {
            Method::GET => events::show(api, &format!("{group}/{offset}"), query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "trace"] => match *method {
            Method::GET => trace::show(api, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", "top"] => match *method {
            Method::GET => top::show(api, query).await,
            _ => not_allowed("GET"),
        },
        ["v1", plural @ ("services" | "revisions"), namespace, name, what @ ("logs" | "instances")] => {
            let kind = if *plural == "services" { Kind::Service } else { Kind::Revision };
            let key = ResourceKey::new(kind, *namespace, *name);
            match (method, *what) {
                (&Method::GET, "logs") => logs::show(api, key, query).await,
                (&Method::GET, _) => gateway::instances(api, &key),
                _ => not_allowed("GET"),
            }
        }
        _ => nothing_here(path),
    }
}

/// What must not be passed over: nobody acts as somebody else, and a change that is only to be tried is not made.
fn refuse_what_is_not_here(request: &Request<Bytes>) -> Result<(), Problem> {
    if request.headers().keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Err(Problem::new(StatusCode::FORBIDDEN, ApiError::no_impersonation().to_string()));
    }
    let is_dry_run = |pair: &str| percent_decode_str(pair.split('=').next().unwrap_or_default()).eq(*b"dryRun");
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read && request.uri().query().unwrap_or_default().split('&').any(is_dry_run) {
        return Err(Problem::bad_request("dryRun: it cannot be had below /v1, and nothing was done"));
    }
    Ok(())
}

fn nothing_here(path: &str) -> Outcome {
    Err(Problem::not_found(format!("there is no {path:?} here")))
}

fn not_allowed(allow: &'static str) -> Outcome {
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("allowed here: {allow}")).into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    Ok(response.map(Body::from))
}

/// The body as text, when its declared type allows it to be read.
fn text(request: &Request<Bytes>) -> Result<&str, Problem> {
    guard::declared_type(request.headers())?;
    std::str::from_utf8(request.body()).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

fn body<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Problem> {
    let text = text(request)?;
    serde_json::from_str(text).map_err(|error| Problem::bad_request(format!("the body cannot be used: {error}")))
}

/// 200 with a value.
pub fn ok<T: Serialize>(value: &T) -> Outcome {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be written")
    })?;
    Ok(response(StatusCode::OK, "application/json", body).map(Body::from))
}

/// The value of one member of a query. Percent-coding is undone.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
    // Bytes that are no UTF-8 are replaced, and what is no code stays.
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// The members of a query whose names begin with `prefix`, by the rest of their names. Percent-coding is undone.
pub fn query_values(query: &str, prefix: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, value)| Some((decoded(name.strip_prefix(prefix)?), decoded(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_refused_and_not_passed_over() {
        let code = |method: &str, path: &str, header: &'static str| {
            let request = Request::builder().method(method).uri(path).header(header, "x").body(Bytes::new()).unwrap();
            refuse_what_is_not_here(&request).err().map(|problem| problem.into_response().status().as_u16())
        };
        for (method, path, header, want) in [
            ("POST", "/v1/dead-letters/discard?dryRun=All", "x", Some(400)),
            ("POST", "/v1/cluster/changes?a=b&dry%52un=All", "x", Some(400)),
            ("DELETE", "/v1/triggers/shop/t/warning?dryRun", "x", Some(400)),
            ("POST", "/v1/dead-letters/discard?dryRunner=All", "x", None),
            ("GET", "/v1/cluster?dryRun=All", "x", None),
            ("GET", "/v1/cluster", "impersonate-user", Some(403)),
            ("POST", "/v1/dead-letters/discard", "impersonate-extra-scopes", Some(403)),
        ] {
            assert_eq!(code(method, path, header), want, "{method} {path} {header}");
        }
    }

    #[test]
    fn query_members_are_found_and_decoded() {
        let query = "trigger=default%2Ft1&limit=5&x=%zz%+f%";
        let x = Some("%zz%+f%");
        for (name, want) in [("trigger", Some("default/t1")), ("limit", Some("5")), ("x", x), ("y", None)] {
            assert_eq!(query_value(query, name).as_deref(), want, "{name}");
        }
    }
}
