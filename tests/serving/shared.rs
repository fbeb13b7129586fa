//! Gateways of a cluster: three nodes that run the same Services, and share the instances among them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use rustix::process::{Pid, Signal, kill_process};

use super::command::{Running, pelton};
use super::service::{Client, metric_in, service};
use super::streams;
use super::support::http::{Message, call};
use super::support::resources::path;
use super::support::{Connection, TestEvent, wait_for, wait_until};

const HOST: &str = "hello.default.localhost";

/// A node of the cluster.
struct Member {
    pid: Pid,
    gateway: SocketAddr,
    ingress: SocketAddr,
    api: SocketAddr,
    metrics: SocketAddr,
}

/// `pelton cluster dev` with Services.
struct Cluster {
    nodes: Vec<Member>,
    _running: Running,
}

impl Cluster {
    /// Three nodes that run `manifest`, in which the Service `hello` is, once that is ready.
    #[track_caller]
    fn start(folder: &Path, manifest: &str) -> Self {
        let file = folder.join("services.yaml");
        std::fs::write(&file, manifest).unwrap();
        let ready: PathBuf = folder.join("ready.json");
        let mut command = pelton();
        command.args(["cluster", "dev", "--nodes", "3", "--data"]).arg(folder.join("data"));
        command.arg("--ready-file").arg(&ready).arg("-f").arg(file);
        let running = Running::start(&mut command);
        let text = wait_for("the ready file", || std::fs::read(&ready).map_err(|error| error.to_string()));
        let said: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let nodes = said["nodes"].as_array().unwrap().iter().map(|node| {
            let address = |member: &str| node[member].as_str().unwrap().parse().unwrap();
            Member {
                pid: Pid::from_raw(node["pid"].as_i64().unwrap() as i32).unwrap(),
                gateway: address("gateway"),
                ingress: address("ingress"),
                api: address("api"),
                metrics: address("metrics"),
            }
        });
        let cluster = Self { nodes: nodes.collect(), _running: running };
        wait_for("the service to be ready", || {
            cluster.nodes.iter().try_for_each(|node| {
                let text = call(node.api, "GET", &path("services", "hello"), "", b"").text();
                let service: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
                if is_ready { Ok(()) } else { Err(text) }
            })
        });
        cluster
    }

    /// The value of a metric, summed over its series and the nodes.
    fn sum(&self, name: &str) -> f64 {
        self.nodes.iter().map(|node| metric_in(&call(node.metrics, "GET", "/metrics", "", b"").text(), name)).sum()
    }

    /// Instances that each node that still answers has.
    fn instances(&self) -> Vec<u32> {
        let counted = self.nodes.iter().filter_map(|node| {
            let answer = Connection::open(node.metrics).ok()?.call("GET", "/metrics", "", b"").ok()?;
            Some(metric_in(&answer.text(), "kn_revision_pods_count") as u32)
        });
        counted.collect()
    }
}

#[track_caller]
fn get(node: &Member, path: &str) -> Message {
    Client::at(node.gateway, HOST).get(path)
}

/// Whichever gateway a request comes to, one instance is enough for a few requests; and nobody from outside is taken for a
/// gateway.
#[test]
fn few_requests_have_one_instance_whichever_gateways_they_come_to() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), &service("hello", &[], &[], ""));
    wait_until("the same instance to answer at every gateway", || {
        // A gateway may be a moment behind the API of its node.
        let pids: Vec<_> = cluster.nodes.iter().map(|node| get(node, "/pid")).collect();
        let pids = pids.iter().map(|answer| (answer.status(), answer.text()));
        let pids: BTreeSet<_> = pids.collect();
        pids.len() == 1 && pids.iter().all(|(status, _)| *status == 200)
    });
    assert_eq!(cluster.instances().iter().sum::<u32>(), 1);

    let guess = "pelton-gateway-pass: guess\r\npelton-gateway-revision: guess\r\n";
    for node in &cluster.nodes {
        let answer = Client::at(node.gateway, HOST).call("GET", "/what", guess, b"").unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = answer.text().to_lowercase();
        assert!(!seen.contains("pelton-gateway"), "{seen}");
        let hops = seen.matches("x-forwarded-for").count();
        assert_eq!(hops, 1, "a request that was passed on has come from its client: {seen}");
        let echo = Client::at(node.gateway, HOST).call("POST", "/echo", "", b"a body").unwrap();
        assert_eq!((echo.status(), echo.text().as_str()), (200, "a body"));
    }
}

/// All requests come to one gateway, and instances are where there is room for them.
#[test]
fn what_one_instance_cannot_do_is_done_by_those_of_other_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = service("hello", &[], &[("pelton.dev/idle-stop", "3s")], "      containerConcurrency: 1\n");
    let cluster = Cluster::start(folder.path(), &manifest);
    wait_until("instances on every node", || {
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let mut client = Client::at(cluster.nodes[0].gateway, HOST);
                client.send("GET", "/slow-pid?300", "", b"").unwrap();
                client
            })
            .collect();
        let answers: Vec<_> = clients.into_iter().map(|mut client| client.answer().unwrap()).collect();
        let is_behind = answers.iter().any(|answer| answer.text().contains("no revision"));
        assert!(is_behind || answers.iter().all(|answer| answer.status() == 200), "{answers:?}");
        let pids: BTreeSet<_> = answers.iter().map(Message::text).collect();
        pids.len() >= 4 && cluster.instances().iter().all(|count| *count > 0)
    });
    wait_until("all of them to be gone", || cluster.instances().iter().sum::<u32>() == 0);
}

/// What always is there is spread, and the loss of a node with an instance costs no safe request.
#[test]
fn a_node_that_is_killed_costs_no_safe_request() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = service("hello", &[], &[("autoscaling.knative.dev/min-scale", "3")], "");
    let cluster = Cluster::start(folder.path(), &manifest);
    wait_until("an instance on each node", || cluster.instances() == [1, 1, 1]);
    kill_process(cluster.nodes[2].pid, Signal::KILL).unwrap();
    for _ in 0..50 {
        for node in &cluster.nodes[..2] {
            let answer = get(node, "/pid");
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    }
}

/// The one instance was on the node that is lost.
#[test]
fn another_node_starts_what_the_lost_one_had() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), &service("hello", &[], &[], ""));
    wait_until("one instance", || {
        get(&cluster.nodes[2], "/pid").status() == 200 && cluster.instances().iter().sum::<u32>() == 1
    });
    let at = cluster.instances().iter().position(|count| *count == 1).unwrap();
    kill_process(cluster.nodes[at].pid, Signal::KILL).unwrap();
    for (_, node) in cluster.nodes.iter().enumerate().filter(|(other, _)| *other != at) {
        let answer = get(node, "/pid");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

/// A gateway that comes back is another one: nobody passes requests to the one that it was, itself the least.
#[test]
fn a_node_that_is_started_again_serves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = service("hello", &[], &[("autoscaling.knative.dev/min-scale", "3")], "");
    let cluster = Cluster::start(folder.path(), &manifest);
    wait_until("an instance on each node", || cluster.instances() == [1, 1, 1]);
    kill_process(cluster.nodes[1].pid, Signal::KILL).unwrap();
    wait_until("the node to be gone", || Connection::open(cluster.nodes[1].gateway).is_err());
    let data = folder.path().join("data").display().to_string();
    let resumed = Running::start(pelton().args(["cluster", "dev", "--resume", &data, "--node", "b"]));
    resumed.line_with("is ready");
    for node in &cluster.nodes {
        let answer = get(node, "/pid");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    wait_until("an instance on each node again", || cluster.instances() == [1, 1, 1]);
    drop(resumed);
}

/// Whichever gateway a call comes to, its instance is on one node.
#[test]
fn what_speaks_http2_is_reached_over_another_gateway_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), &streams::h2c("hello"));
    wait_until("one instance", || cluster.instances().iter().sum::<u32>() == 1);
    for node in &cluster.nodes {
        streams::block_on(async {
            let mut sender = streams::connect_to(node.gateway).await;
            let answer = streams::call(&mut sender, "Unary", "hello").await.into_body().collect().await.unwrap();
            assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        });
    }
    assert_eq!(cluster.instances().iter().sum::<u32>(), 1);
}

/// Nothing is decided anew meanwhile that would wake whoever has the instance.
#[test]
fn an_instance_is_paused_each_time_that_it_has_been_idle() {
    let folder = tempfile::tempdir().unwrap();
    let annotations = [("pelton.dev/idle-pause", "300ms"), ("autoscaling.knative.dev/min-scale", "1")];
    let cluster = Cluster::start(folder.path(), &service("hello", &[], &annotations, ""));
    for turn in 0..3 {
        wait_until("the instance to be paused", || cluster.sum("pelton_gateway_paused_instances") == 1.0);
        let answer = get(&cluster.nodes[turn], "/pid");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

/// The one instance is one node's, events wait for it on all of them, and three take longer than an attempt may.
#[test]
fn events_that_wait_for_an_instance_of_another_node_use_no_attempt() {
    const EVENTS: u64 = 12;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["takes", "1500", "record", record.to_str().unwrap()];
    let annotations = [("autoscaling.knative.dev/max-scale", "1")];
    let manifest = service("hello", &arguments, &annotations, "      containerConcurrency: 1\n");
    let trigger = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: all}\nspec:\n  broker: default\n  \
                   delivery: {retry: 0, timeout: PT4S}\n  subscriber:\n    \
                   ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: hello}\n---\n";
    let cluster = Cluster::start(folder.path(), &format!("{manifest}{trigger}"));
    let mut producers: Vec<_> = cluster.nodes.iter().map(|node| Connection::open(node.ingress).unwrap()).collect();
    for number in 0..EVENTS {
        let producer = &mut producers[number as usize % 3];
        wait_until("an event to be taken", || producer.post(&TestEvent::numbered(number)).unwrap().status() == 202);
    }
    wait_for("all events to be done", || {
        let done =
            ["pelton_trigger_delivered_total", "pelton_trigger_dead_letters_total"].map(|name| cluster.sum(name));
        if done.iter().sum::<f64>() >= EVENTS as f64 { Ok(()) } else { Err(format!("{done:?}")) }
    });
    assert_eq!(cluster.sum("pelton_trigger_dead_letters_total"), 0.0);
    // A group that changes its leader meanwhile may deliver one again.
    let ids = std::fs::read_to_string(&record).unwrap();
    assert_eq!(ids.lines().collect::<BTreeSet<_>>().len() as u64, EVENTS);
}

#[test]
fn events_taken_in_anywhere_reach_the_service_once_each() {
    const EVENTS: u64 = 150;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["slow-start", "500", "record", record.to_str().unwrap()];
    let trigger = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: all}\nspec:\n  broker: default\n  \
                   subscriber:\n    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: hello}\n---\n";
    let cluster = Cluster::start(folder.path(), &format!("{}{trigger}", service("hello", &arguments, &[], "")));
    let mut producers: Vec<_> = cluster.nodes.iter().map(|node| Connection::open(node.ingress).unwrap()).collect();
    for number in 0..EVENTS {
        let producer = &mut producers[number as usize % 3];
        wait_until("an event to be taken", || producer.post(&TestEvent::numbered(number)).unwrap().status() == 202);
    }
    let mut ids = wait_for("all events to be delivered", || {
        let ids: Vec<String> =
            std::fs::read_to_string(&record).unwrap_or_default().lines().map(str::to_owned).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() as u64 >= EVENTS { Ok(ids) } else { Err(ids.len().to_string()) }
    });
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!((all as u64, ids.len() as u64), (EVENTS, EVENTS), "each once");
}
