//! Three nodes: the one that leads the registry is killed while it is watched.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::{Running, pelton, run};
use crate::informer::Watch;
use crate::support::http::{Connection, Message};
use crate::support::{skipped, wait_for, wait_until};
use crate::tools;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const SELECTED: &str = "labelSelector=watched%3Dyes";
const JSON: &str = "content-type: application/json\r\n";
const MERGE: &str = "content-type: application/merge-patch+json\r\n";
/// How many objects are written.
const OBJECTS: usize = 30;
/// After so many of them the node is killed.
const KILL_AFTER: usize = 10;

struct Node {
    pid: Pid,
    api: SocketAddr,
}

/// An event of a watch: its type, the object's name, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    ty: String,
    name: String,
    version: u64,
}

impl Event {
    fn of(json: &Value) -> Self {
        let metadata = &json["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&metadata["resourceVersion"]).parse().unwrap_or(0);
        Self { ty: text(&json["type"]), name: text(&metadata["name"]), version }
    }
}

/// The nodes, the leader of the registry first.
#[track_caller]
fn nodes(ready: &Path) -> Vec<Node> {
    let text = wait_for("the ready file", || std::fs::read(ready).map_err(|error| error.to_string()));
    let ready: Value = serde_json::from_slice(&text).unwrap();
    let mut nodes = ready["nodes"].as_array().unwrap().clone();
    let api = nodes[0]["api"].as_str().unwrap().to_owned();
    let leader = wait_for("the leader of the registry", || {
        let (_, stdout, stderr) =
            run(pelton().args(["status", "-o", "json"]).env("PELTON_API", format!("http://{api}")));
        let status: Value = serde_json::from_str(&stdout).map_err(|_| stderr)?;
        let mut groups = status["groups"].as_array().into_iter().flatten();
        let registry = groups.find(|group| group["group"] == "registry" || group["name"] == "registry");
        registry.and_then(|group| Some(group["leader"].as_str()?.to_owned())).ok_or(stdout)
    });
    nodes.sort_by_key(|node| node["name"] != leader.as_str());
    let of = |node: &Value| Node {
        pid: Pid::from_raw(node["pid"].as_i64().unwrap() as i32).unwrap(),
        api: node["api"].as_str().unwrap().parse().unwrap(),
    };
    nodes.iter().map(of).collect()
}

/// A request that is repeated until it is known to be done. What was done without an answer is found done.
#[track_caller]
fn done(api: SocketAddr, method: &str, path: &str, headers: &str, body: &str, done_before: u16) {
    wait_for(&format!("{method} {path}"), || {
        let answer = Connection::open(api).and_then(|mut it| it.call(method, path, headers, body.as_bytes()));
        let answer: Message = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            200..300 => Ok(()),
            status if status == done_before => Ok(()),
            503 | 504 => Err(answer.text()),
            status => panic!("{method} {path}: {status} {}", answer.text()),
        }
    });
}

/// Creates every object, changes it, and deletes every third.
fn write_all(api: [SocketAddr; 2], written: &AtomicUsize) {
    for number in 0..OBJECTS {
        let (name, api) = (name(number), api[number % 2]);
        let body = format!("{{\"metadata\":{{\"name\":\"{name}\",\"labels\":{{\"watched\":\"yes\"}}}}}}");
        done(api, "POST", PATH, JSON, &body, 409);
        done(api, "PATCH", &format!("{PATH}/{name}"), MERGE, "{\"data\":{\"a\":\"b\"}}", 200);
        if number % 3 == 0 {
            done(api, "DELETE", &format!("{PATH}/{name}"), "", "", 404);
        }
        written.store(number + 1, Ordering::Release);
    }
}

fn name(number: usize) -> String {
    format!("object-{number:03}")
}

/// What a watch must tell of [`write_all`].
fn told() -> Vec<(String, String)> {
    let of = |number: usize| {
        let types: &[&str] =
            if number.is_multiple_of(3) { &["ADDED", "MODIFIED", "DELETED"] } else { &["ADDED", "MODIFIED"] };
        types.iter().map(move |ty| ((*ty).to_owned(), name(number)))
    };
    (0..OBJECTS).flat_map(of).collect()
}

/// Watches as an informer does: when a connection is lost, goes on at the next node from the last version that it
/// knows. Gives the events, and how often it went on.
fn inform(nodes: &[SocketAddr], from: u64, until: usize) -> (Vec<Event>, usize) {
    let (mut events, mut version, mut at) = (Vec::<Event>::new(), from, 0);
    let mut moves = 0;
    while events.len() < until {
        let query = format!("{PATH}?watch=true&allowWatchBookmarks=true&{SELECTED}&resourceVersion={version}");
        let mut watch = wait_for("a watch", || {
            Watch::open(nodes[at % nodes.len()], &query).map_err(|error| {
                at += 1;
                error.to_string()
            })
        });
        while events.len() < until {
            let Ok(Some(json)) = watch.next() else { break };
            let event = Event::of(&json);
            assert_ne!(event.ty, "ERROR", "{json}");
            assert!(event.version > version || event.ty == "BOOKMARK", "{json} after {version}");
            version = event.version;
            if event.ty != "BOOKMARK" {
                events.push(event);
            }
        }
        moves += usize::from(events.len() < until);
        at += 1;
    }
    (events, moves)
}

#[test]
fn a_watch_goes_on_at_another_node() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let mut command = pelton();
    command.args(["cluster", "dev", "--nodes", "3", "--data"]).arg(folder.path().join("data"));
    let dev = Running::start(command.arg("--ready-file").arg(&ready));
    let nodes = nodes(&ready);
    let [leader, others @ ..] = &nodes[..] else { panic!("there are no nodes") };
    let others: [SocketAddr; 2] = [others[0].api, others[1].api];

    let sentinel = "{\"metadata\":{\"name\":\"sentinel\",\"labels\":{\"watched\":\"yes\"}}}";
    done(leader.api, "POST", PATH, JSON, sentinel, 409);
    let list = Connection::open(leader.api).and_then(|mut it| it.call("GET", PATH, "", b"")).unwrap();
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    let from = list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let shown = tools::installed_kubectl().map(|kubectl| {
        let mut command = std::process::Command::new(kubectl);
        command.args(["-s", &format!("http://{}", leader.api), "get", "cm", "-l", "watched=yes", "-w", "-o", "name"]);
        Running::start(command.env("HOME", folder.path()).env("KUBECONFIG", folder.path().join("none")))
    });

    if let Ok(shown) = &shown {
        shown.line_with("sentinel");
    }

    let (written, want) = (AtomicUsize::new(0), told());
    let until = want.len();
    let (moved, stayed) = std::thread::scope(|threads| {
        let moving = threads.spawn(|| inform(&[leader.api, others[0], others[1]], from, until));
        let staying = threads.spawn(|| inform(&[others[1]], from, until));
        let writing = threads.spawn(|| write_all(others, &written));
        wait_until("some objects", || written.load(Ordering::Acquire) >= KILL_AFTER);
        if let Ok(shown) = &shown {
            shown.line_with(&name(0));
        }
        kill_process(leader.pid, Signal::KILL).unwrap();
        writing.join().unwrap();
        (moving.join().unwrap(), staying.join().unwrap())
    });
    for ((events, moves), moves_wanted) in [(&moved, 1), (&stayed, 0)] {
        let events: Vec<_> = events.iter().map(|event| (event.ty.clone(), event.name.clone())).collect();
        assert_eq!(events, want, "nothing is missing, and nothing comes twice");
        assert_eq!(*moves, moves_wanted);
    }
    assert_eq!(moved.0, stayed.0, "versions are the same on all nodes");
    match shown {
        // It says what it has seen, and ends with its server.
        Ok(shown) => assert!(shown.wait().success()),
        Err(why) => skipped("get -w of a node that is killed", &why),
    }
    assert!(dev.stop().success());
}
