//! What the stub answers. spec/kube-api.md, 3 to 7.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::State;
use super::store::{Kind, Selector, merge};

pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A call, taken apart.
struct Call<'a> {
    kind: Kind,
    namespace: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
    query: HashMap<String, String>,
}

impl Call<'_> {
    fn says(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    fn selector(&self) -> Selector {
        Selector::parse(self.says("labelSelector"))
    }
}

pub async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let Some(kind) = Kind::of_path(&path) else {
        return status(404, "NotFound", "the server could not find the requested resource");
    };
    let begin = path.iter().position(|part| *part == "namespaces").unwrap();
    let query = url_query(head.uri.query().unwrap_or_default());
    let call = Call {
        kind,
        namespace: path[begin + 1],
        name: path.get(begin + 3).copied(),
        subresource: path.get(begin + 4).copied(),
        query,
    };
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (&head.method, call.name, call.subresource) {
        (&Method::GET, None, None) if matches!(call.says("watch"), "true" | "1") => watch(state, &call),
        (&Method::GET, None, None) => list(&state, &call),
        (&Method::GET, Some(name), Some("log")) => log(&state, &call, name),
        (&Method::PATCH, Some(name), Some("scale")) => scale(&state, &call, name, &body),
        (&Method::PATCH, Some(name), None) => patch(&state, &call, name, content_type, body),
        (&Method::DELETE, Some(name), None) => {
            match state.delete(kind, call.namespace, name, body["gracePeriodSeconds"].as_u64()) {
                Some(object) if kind == Kind::Pods => answered(200, &object),
                Some(_) => answered(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
                None => not_found(kind, name),
            }
        }
        (&Method::DELETE, None, None) => {
            let all = state.store.lock().list(kind, Some(call.namespace), &call.selector());
            for object in &all {
                let name = object["metadata"]["name"].as_str().unwrap();
                state.delete(kind, call.namespace, name, body["gracePeriodSeconds"].as_u64());
            }
            answered(200, &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": all}))
        }
        _ => status(405, "MethodNotAllowed", "not here"),
    }
}

fn url_query(query: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

fn answered(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).boxed_unsync();
    let code = StatusCode::from_u16(code).unwrap();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    answered(code, &status_value(code, reason, message))
}

fn status_value(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Failure", "code": code, "reason": reason, "message": message,
    })
}

fn not_found(kind: Kind, name: &str) -> Answer {
    let what = kind.names().1.to_lowercase();
    status(404, "NotFound", &format!("{what}s \"{name}\" not found"))
}

fn list(state: &State, call: &Call<'_>) -> Answer {
    let store = state.store.lock();
    let items = store.list(call.kind, Some(call.namespace), &call.selector());
    let (api_version, kind) = call.kind.names();
    let version = store.version.to_string();
    let metadata = json!({"resourceVersion": version});
    answered(
        200,
        &json!({
            "kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata, "items": items,
        }),
    )
}

/// A body that is written bit by bit. What is sent after whoever reads is gone fails.
fn streamed() -> (mpsc::Sender<Vec<u8>>, Answer) {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(16);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(piece))), receiver))
    });
    let body = StreamBody::new(pieces.boxed()).boxed_unsync();
    (sender, Response::builder().header("content-type", "application/json").body(body).unwrap())
}

fn watch(state: Arc<State>, call: &Call<'_>) -> Answer {
    let (kind, namespace, selector) = (call.kind, call.namespace.to_owned(), call.selector());
    let mut version: u64 = call.says("resourceVersion").parse().unwrap();
    let lasts = Duration::from_secs(call.says("timeoutSeconds").parse().unwrap_or(300));
    let takes_bookmarks = call.says("allowWatchBookmarks") == "true";
    let (sender, answer) = streamed();
    let mut changed = state.changed.subscribe();
    let line = |what: &str, object: &Value| format!("{}\n", json!({"type": what, "object": object})).into_bytes();
    tokio::spawn(async move {
        let end = tokio::time::sleep(lasts);
        tokio::pin!(end);
        loop {
            changed.borrow_and_update();
            let events = state.store.lock().after(version);
            let Some(events) = events else {
                let _ = sender.send(line("ERROR", &status_value(410, "Expired", "too old resource version"))).await;
                return;
            };
            for event in events {
                version = event.version;
                if event.is_of(kind, &namespace, &selector)
                    && sender.send(line(event.what, &event.object)).await.is_err()
                {
                    return;
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = sender.closed() => return,
                () = &mut end => {
                    if takes_bookmarks {
                        let (api_version, kind) = kind.names();
                        let metadata = json!({"resourceVersion": version.to_string()});
                        let mark = json!({"kind": kind, "apiVersion": api_version, "metadata": metadata});
                        let _ = sender.send(line("BOOKMARK", &mark)).await;
                    }
                    return;
                }
            }
        }
    });
    answer
}

fn scale(state: &State, call: &Call<'_>, name: &str, body: &Value) -> Answer {
    {
        let mut faults = state.faults.lock();
        faults.scaled.push(body["spec"]["replicas"].as_u64().unwrap());
        if faults.scale_conflicts > 0 {
            faults.scale_conflicts -= 1;
            return status(409, "Conflict", "Operation cannot be fulfilled: the object has been modified");
        }
    }
    let Some(mut deployment) = state.store.lock().get(call.kind, call.namespace, name) else {
        return not_found(call.kind, name);
    };
    deployment["spec"]["replicas"] = body["spec"]["replicas"].clone();
    let deployment = state.put(call.kind, call.namespace, deployment);
    let metadata = json!({
        "name": name, "namespace": call.namespace, "resourceVersion": deployment["metadata"]["resourceVersion"],
    });
    let replicas = &deployment["spec"]["replicas"];
    answered(
        200,
        &json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": {"replicas": replicas}, "status": {"replicas": replicas},
        }),
    )
}

fn patch(state: &State, call: &Call<'_>, name: &str, content_type: &str, body: Value) -> Answer {
    let before = state.store.lock().get(call.kind, call.namespace, name);
    match (content_type, before) {
        ("application/apply-patch+yaml", _) if call.says("fieldManager").is_empty() => {
            status(422, "Invalid", "fieldManager is required for apply patch")
        }
        ("application/apply-patch+yaml", None) => {
            if !super::NAMESPACES.contains(&call.namespace) {
                return status(404, "NotFound", &format!("namespaces \"{}\" not found", call.namespace));
            }
            answered(201, &state.put(call.kind, call.namespace, body))
        }
        ("application/apply-patch+yaml" | "application/merge-patch+json", Some(mut object)) => {
            merge(&mut object, &body);
            answered(200, &state.put(call.kind, call.namespace, object))
        }
        ("application/merge-patch+json", None) => not_found(call.kind, name),
        _ => status(415, "UnsupportedMediaType", "accepted media types include: application/apply-patch+yaml"),
    }
}

fn log(state: &Arc<State>, call: &Call<'_>, name: &str) -> Answer {
    let Some(lines) = state.kubelet.log(call.namespace, name) else {
        return not_found(call.kind, name);
    };
    let since: Option<jiff::Timestamp> = call.says("sinceTime").parse().ok();
    let is_stamped = call.says("timestamps") == "true";
    let (sender, answer) = streamed();
    tokio::spawn(async move {
        let mut next = 0;
        while let Some(line) = lines.wait_for(next).await {
            next += 1;
            if since.is_some_and(|since| line.at < since) {
                continue;
            }
            let stamp = if is_stamped { format!("{} ", line.at) } else { String::new() };
            if sender.send([stamp.as_bytes(), &line.text].concat()).await.is_err() {
                return;
            }
        }
    });
    answer
}
