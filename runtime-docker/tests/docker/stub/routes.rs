//! Which request means what.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{Answer, empty, error, json, streamed, text};
use super::container::Container;
use super::{Fault, State};

/// What it speaks.
const VERSION: (u32, u32) = (1, 43);

type Query = BTreeMap<String, String>;

/// Answers a request. An error cuts the connection.
pub async fn handle(state: Arc<State>, request: Request<Incoming>) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = match unversioned(head.uri.path()) {
        Ok(path) => path.to_owned(),
        Err(too_new) => return Ok(error(400, too_new)),
    };
    let call = format!("{} {path}", head.method);
    state.calls.lock().push(call.clone());
    let fault = state.take_fault(&call);
    match &fault {
        Some(Fault::Garbage) => return Ok(text(200, "<html>It works!</html>")),
        Some(Fault::Refused(status, message)) => return Ok(error(*status, message)),
        Some(Fault::CutOff) | None => {}
    }
    let query = query(head.uri.query().unwrap_or_default());
    let answer = route(&state, &head.method, &path, &query, &body).await;
    if fault.is_some() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(answer) }
}

/// The path without the version before it, which must be one that is spoken here.
fn unversioned(path: &str) -> Result<&str, String> {
    let Some((version, _)) = path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) else { return Ok(path) };
    let (major, minor) = version.split_once('.').unwrap();
    if (major.parse::<u32>().unwrap(), minor.parse::<u32>().unwrap()) > VERSION {
        let (major, minor) = VERSION;
        return Err(format!("client version {version} is too new. Maximum supported API version is {major}.{minor}"));
    }
    Ok(&path[2 + version.len()..])
}

fn query(text: &str) -> Query {
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

async fn route(state: &Arc<State>, method: &Method, path: &str, query: &Query, body: &[u8]) -> Answer {
    let parameter = |name: &str| query.get(name).map_or("", String::as_str);
    let parts: Vec<&str> = path[1..].split('/').collect();
    match (method.as_str(), &*parts) {
        ("GET", ["_ping"]) => {
            let mut answer = text(200, "OK");
            answer.headers_mut().insert("api-version", format!("{}.{}", VERSION.0, VERSION.1).parse().unwrap());
            answer
        }
        ("GET", ["info"]) => json(200, &state.info.lock()),
        ("POST", ["images", "create"]) => state.images.create(parameter("fromImage"), parameter("tag")),
        ("GET", ["images", name @ .., "json"]) => state.images.inspect(&name.join("/")),
        ("GET", ["containers", "json"]) => list(state, parameter("filters")),
        ("POST", ["containers", "create"]) => create(state, parameter("name"), body),
        (_, ["containers", name, rest @ ..]) => match state.find(name) {
            None => error(404, format_args!("No such container: {name}")),
            Some(container) => of_container(state, &container, method, rest, query).await,
        },
        _ => error(404, "page not found"),
    }
}

async fn of_container(
    state: &Arc<State>,
    container: &Arc<Container>,
    method: &Method,
    rest: &[&str],
    query: &Query,
) -> Answer {
    match (method.as_str(), rest) {
        ("GET", ["json"]) => json(200, &container.inspect()),
        ("POST", ["start"]) => container.start(),
        ("POST", ["stop"]) => container.stop(query["t"].parse().unwrap()).await,
        ("POST", ["kill"]) => container.kill(),
        ("POST", ["pause"]) => container.pause(),
        ("POST", ["unpause"]) => container.unpause(),
        ("POST", ["wait"]) => wait(container.clone()),
        ("GET", ["logs"]) => logs(container.clone(), query.get("tail").is_some_and(|tail| tail == "0")),
        ("DELETE", []) => {
            if container.status().word() == "running" && query.get("force").is_none_or(|force| force != "true") {
                return error(409, format_args!("cannot remove container: {}: container is running", container.name));
            }
            if !container.end().await {
                return error(409, format_args!("removal of container {} is already in progress", container.name));
            }
            state.containers.lock().remove(&container.id);
            empty(204)
        }
        _ => error(404, "page not found"),
    }
}

/// `ContainerList`: all of them, by labels.
fn list(state: &State, filters: &str) -> Answer {
    let filters: Value = serde_json::from_str(if filters.is_empty() { "{}" } else { filters }).unwrap();
    let wanted = filters["label"].as_array().cloned().unwrap_or_default();
    let has = |container: &Container, label: &Value| {
        let (name, value) = label.as_str().unwrap().split_once('=').unwrap();
        container.config["Labels"][name] == value
    };
    let containers = state.containers.lock();
    let found = containers.values().filter(|container| wanted.iter().all(|label| has(container, label)));
    let found = found.map(|container| {
        json!({
            "Id": container.id,
            "Names": [format!("/{}", container.name)],
            "Labels": container.config["Labels"],
            "State": container.status().word(),
        })
    });
    json(200, &found.collect::<Value>())
}

/// `ContainerCreate`.
fn create(state: &State, name: &str, body: &[u8]) -> Answer {
    let Ok(config) = serde_json::from_slice::<Value>(body) else { return error(400, "invalid JSON") };
    let image = config["Image"].as_str().unwrap_or_default();
    if !state.images.has(image) {
        return error(404, format_args!("No such image: {image}"));
    }
    if config["HostConfig"]["Memory"].as_u64().is_some_and(|bytes| bytes < 6 * 1024 * 1024) {
        return error(400, "Minimum memory limit allowed is 6MB");
    }
    if state.find(name).is_some() {
        return error(409, format_args!("Conflict. The container name \"/{name}\" is already in use by container"));
    }
    let id = state.new_id();
    let container = Arc::new(Container::new(id.clone(), name.to_owned(), config));
    state.containers.lock().insert(id.clone(), container);
    json(201, &json!({ "Id": id, "Warnings": [] }))
}

/// `ContainerWait`: the head comes at once.
fn wait(container: Arc<Container>) -> Answer {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        let code = container.over().await;
        let _ = sender.send(json!({ "StatusCode": code }).to_string().into()).await;
    });
    streamed(pieces)
}

/// `ContainerLogs`.
fn logs(container: Arc<Container>, from_now: bool) -> Answer {
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move { container.output.follow(from_now, sender).await });
    streamed(pieces)
}
