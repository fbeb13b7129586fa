//! `pelton cluster dev`: three nodes on one machine, as a developer starts them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/pelton.rs"]
mod command;
mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use command::{Running, pelton, run};
use rustix::process::{Pid, Signal, kill_process};
use support::event::TYPE_A;
use support::http::call;
use support::sink::answer;
use support::{Connection, Recorder, Sink, TestEvent, trigger, wait_for, wait_until};

/// A node, as the ready file tells of it.
#[derive(Debug, Clone)]
struct DevNode {
    name: String,
    pid: Pid,
    ingress: SocketAddr,
    api: SocketAddr,
    metrics: SocketAddr,
}

/// `pelton cluster dev` with what is needed to ask it.
struct Dev {
    running: Running,
    folder: PathBuf,
}

impl Dev {
    #[track_caller]
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut command = pelton();
        command.args(["cluster", "dev", "--nodes", "3", "--data"]).arg(folder.join("data"));
        command.arg("--ready-file").arg(folder.join("ready.json")).args(more);
        Self { running: Running::start(&mut command), folder: folder.to_owned() }
    }

    /// What the ready file says, once it is there.
    #[track_caller]
    fn nodes(&self) -> Vec<DevNode> {
        let text = wait_for("the ready file", || {
            std::fs::read(self.folder.join("ready.json")).map_err(|error| error.to_string())
        });
        let ready: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let members: Vec<_> = ready.as_object().unwrap().keys().collect();
        assert_eq!(members, ["nodes"]);
        ready["nodes"].as_array().unwrap().iter().map(node).collect()
    }
}

#[track_caller]
fn node(json: &serde_json::Value) -> DevNode {
    let mut members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["api", "gateway", "ingress", "metrics", "name", "peer", "pid"]);
    let address = |member: &str| json[member].as_str().unwrap().parse().unwrap();
    DevNode {
        name: json["name"].as_str().unwrap().to_owned(),
        pid: Pid::from_raw(json["pid"].as_i64().unwrap() as i32).unwrap(),
        ingress: address("ingress"),
        api: address("api"),
        metrics: address("metrics"),
    }
}

/// Posts an event until the node takes it.
#[track_caller]
fn post(node: &DevNode, number: u64) {
    let event = TestEvent::sized(number, TYPE_A, 100);
    wait_for(&format!("event {number} to be taken by {}", node.name), || {
        let answer = Connection::open(node.ingress).and_then(|mut connection| connection.post(&event));
        match answer {
            Ok(answer) if answer.status() == 202 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn is_there(pid: Pid) -> bool {
    // A process that has ended and was not waited for is there for the system, but does nothing any more.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

#[test]
fn three_nodes_go_on_without_one_that_comes_back_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let sink = Sink::start(move |request, stream| {
        recording.noted(&request);
        answer(stream, 200, "", b"")
    });
    let resources = folder.path().join("resources.yaml");
    std::fs::write(&resources, trigger("all", &sink.url(), "")).unwrap();
    let dev = Dev::start(folder.path(), &["-f", &resources.display().to_string()]);
    let nodes = dev.nodes();
    assert_eq!(nodes.len(), 3);
    let (code, stdout, stderr) = run(pelton().arg("status").env("PELTON_API", format!("http://{}", nodes[0].api)));
    assert_eq!(code, 0, "each group has its replicas before the cluster is called ready: {stdout}{stderr}");
    for (number, node) in nodes.iter().enumerate() {
        assert_eq!(call(node.metrics, "GET", "/readyz", "", b"").status(), 200, "{}", node.name);
        post(node, number as u64);
    }
    wait_until("events of all nodes to be delivered", || (0..3).all(|number| recorder.has(number)));

    kill_process(nodes[1].pid, Signal::KILL).unwrap();
    wait_until("the node to be gone", || !is_there(nodes[1].pid));
    for (number, node) in [(10, &nodes[0]), (11, &nodes[2]), (12, &nodes[0]), (13, &nodes[2])] {
        post(node, number);
    }
    wait_until("events of two nodes to be delivered", || (10..14).all(|number| recorder.has(number)));
    assert!(!is_there(nodes[1].pid), "nobody has asked for the node");

    let data = dev.folder.join("data").display().to_string();
    let resumed = Running::start(pelton().args(["cluster", "dev", "--resume", &data, "--node", &nodes[1].name]));
    resumed.line_with("is ready");
    // Where it was before.
    post(&nodes[1], 20);
    wait_until("an event of the node that is back to be delivered", || recorder.has(20));
    assert_eq!(recorder.wrong(), Vec::<String>::new());

    // The others hear of it a moment after it is ready.
    let stdout = wait_for("the cluster to be whole again", || {
        let (code, stdout, stderr) = run(pelton().arg("status").env("PELTON_API", format!("http://{}", nodes[0].api)));
        if code == 0 { Ok(stdout) } else { Err(format!("{code}: {stdout}{stderr}")) }
    });
    for node in &nodes {
        assert!(stdout.contains(&node.name), "{} is not in: {stdout}", node.name);
    }
    for running in [resumed, dev.running] {
        let status = running.stop();
        assert!(status.success(), "{status}");
    }
    for node in &nodes {
        assert!(!is_there(node.pid), "{} is still there", node.name);
    }
}

/// With `--api-auth` each node has a kubeconfig that works at every node.
#[test]
fn a_cluster_that_asks_who_one_is_tells_its_user_how_to_come_in() {
    let folder = tempfile::tempdir().unwrap();
    let resources = folder.path().join("resources.yaml");
    std::fs::write(&resources, trigger("all", "http://127.0.0.1:9/", "")).unwrap();
    let dev = Dev::start(folder.path(), &["--api-auth", "-f", &resources.display().to_string()]);
    let line = dev.running.line_with("export PELTON_KUBECONFIG=");
    let kubeconfig = line.trim().strip_prefix("export PELTON_KUBECONFIG=").unwrap();
    let text = wait_for("the ready file", || {
        std::fs::read(folder.path().join("ready.json")).map_err(|error| error.to_string())
    });
    let ready: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let nodes = ready["nodes"].as_array().unwrap();
    assert_eq!(nodes[0]["kubeconfig"], kubeconfig);
    for node in nodes {
        let asked = |line: &str| {
            let api = format!("https://{}", node["api"].as_str().unwrap());
            let mut command = pelton();
            run(command.args(line.split(' ')).args(["--api", &api, "--kubeconfig", kubeconfig]))
        };
        assert_eq!(asked("get trigger -o name").1, "trigger.eventing.knative.dev/all\n", "{node}");
        assert_eq!(asked("status").0, 0, "{node}");
        let nobody = pelton().args(["status", "--api", &format!("https://{}", node["api"].as_str().unwrap())]).output();
        assert!(!nobody.unwrap().status.success(), "{node}");
    }
    // A node that comes back asks as before.
    let pid = Pid::from_raw(nodes[1]["pid"].as_i64().unwrap() as i32).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    wait_until("the node to be gone", || !is_there(pid));
    let data = dev.folder.join("data").display().to_string();
    let resumed = Running::start(pelton().args(["cluster", "dev", "--resume", &data, "--node", "b"]));
    resumed.line_with("export PELTON_KUBECONFIG=");
    assert!(resumed.stop().success());
    assert!(dev.running.stop().success());
}
