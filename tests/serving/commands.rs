//! What the commands tell of services: what they printed, what they are doing, what is wrong with them.

use std::path::Path;

use super::command::{Running, pelton, run};
use super::service::{Client, node_with, of_command, service};
use super::support::{Node, Start, wait_for};

/// Runs a command on a node: its exit code, what it printed, and what it said.
fn on(node: &Node, words: &[&str]) -> (i32, String, String) {
    run(pelton().args(words).env("PELTON_API", format!("http://{}", node.api)))
}

#[track_caller]
fn ok(node: &Node, words: &[&str]) -> String {
    let (code, stdout, stderr) = on(node, words);
    assert_eq!(code, 0, "pelton {words:?}: {stdout}{stderr}");
    stdout
}

fn follow(node: &Node, words: &[&str]) -> Running {
    let mut command = pelton();
    Running::start(command.arg("logs").arg("-f").args(words).env("PELTON_API", format!("http://{}", node.api)))
}

/// A Service that runs `pelton display`, which prints each event and, when it begins, where it waits for them.
fn display(name: &str, annotations: &[(&str, &str)]) -> String {
    let command = [env!("CARGO_BIN_EXE_pelton"), "display"].map(str::to_owned);
    of_command(name, &command, &[], annotations, "")
}

/// Has the service print an event of that type.
#[track_caller]
fn deliver(node: &Node, service: &str, ty: &str) {
    let headers = format!("ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: {ty}\r\n");
    let mut client = Client::of(node, &format!("{service}.default.localhost"));
    assert_eq!(client.call("POST", "/", &headers, b"").unwrap().status(), 200);
}

/// Waits until no instance of the service is left, nor one begun.
fn wait_for_zero(node: &Node, service: &str) {
    wait_for("nothing to run", || {
        let instances = node.get(&format!("/v1/services/default/{service}/instances"));
        let revision = &instances["items"][0];
        let is_none = ["running", "paused", "starting", "stopping"].iter().all(|state| revision[state] == 0);
        if is_none { Ok(()) } else { Err(format!("{instances:#}")) }
    });
}

/// The records of `pelton logs -o json`.
#[track_caller]
fn records(node: &Node, words: &[&str]) -> Vec<serde_json::Value> {
    let text = ok(node, &[&["logs", "-o", "json"], words].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn logs_are_read_while_nothing_runs_and_after_a_restart_of_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &display("talker", &[("pelton.dev/idle-stop", "200ms")]));
    deliver(&node, "talker", "said.first");
    wait_for_zero(&node, "talker");
    wait_for("the event to be printed", || {
        let text = ok(&node, &["logs", "talker"]);
        let line = text.lines().find(|line| line.contains("said.first"));
        let line = line.ok_or_else(|| text.clone())?;
        assert!(line.contains(" talker-00001/") && line.contains(" stdout "), "{line}");
        // The last that is printed of an event is an empty line.
        if text.trim_end().ends_with(" stdout") { Ok(()) } else { Err(text) }
    });
    let before = records(&node, &["talker"]);
    assert_eq!(before[0]["revision"], "talker-00001", "{before:?}");
    assert!(before[0]["text"].as_str().unwrap().starts_with("Waiting for events"), "{before:?}");
    assert_eq!(records(&node, &["--tail", "1", "talker"]), before[before.len() - 1..]);
    assert_eq!(records(&node, &["--revision", "talker-00001", "--since", "1h"]), before);
    node.process.stop();

    let node = Start::new(folder.path()).args(&["--log", "warn"]).node();
    assert_eq!(records(&node, &["default/talker"]), before);
    deliver(&node, "talker", "said.second");
    wait_for("the lines of the second life", || {
        let now = records(&node, &["talker"]);
        assert_eq!(now[..before.len()], before, "what was there stays");
        let is_there =
            now.iter().any(|record| record["text"].as_str().is_some_and(|text| text.contains("said.second")));
        if is_there { Ok(()) } else { Err(format!("{now:#?}")) }
    });
}

#[test]
fn logs_are_followed_through_starts_until_the_service_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &display("talker", &[("pelton.dev/idle-stop", "200ms")]));
    let followed = follow(&node, &["talker"]);
    followed.line_with("Waiting for events");
    deliver(&node, "talker", "said.first");
    assert!(followed.line_with("said.first").contains("talker-00001/"));
    wait_for_zero(&node, "talker");
    deliver(&node, "talker", "said.second");
    followed.line_with("Waiting for events");
    followed.line_with("said.second");
    let stopped = follow(&node, &["talker", "--tail", "100"]);
    stopped.line_with("said.second");
    let other = follow(&node, &["--revision", "talker-00001", "-o", "json"]);
    other.line_with("said.second");
    node.delete("services", "talker");
    assert_eq!(followed.wait().code(), Some(0));
    assert_eq!(other.wait().code(), Some(0));
    assert_eq!(stopped.wait().code(), Some(0));
}

/// A reader does not hold up a stop, and is told that it is not the end of the logs.
#[test]
fn who_follows_a_node_that_stops_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &display("talker", &[]));
    let followed = follow(&node, &["talker"]);
    followed.line_with("Waiting for events");
    node.process.stop();
    assert_eq!(followed.wait().code(), Some(3));
}

#[test]
fn why_there_are_no_logs_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = of_command("nothing", &["/no/such/program".to_owned()], &[], &[], "");
    let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "error"]).node();
    for (words, want) in [
        (&["logs", "hello"][..], "Service default/hello does not exist"),
        (&["logs", "nothing", "-n", "shop"], "Service shop/nothing does not exist"),
        (&["logs", "--revision", "hello-00001"], "Revision default/hello-00001 does not exist"),
        (&["logs", "nothing", "--tail", "100001"], "tail"),
        (&["service", "describe", "hello"], "services.serving.knative.dev \"hello\" not found"),
        (&["route", "describe", "shop/hello"], "routes.serving.knative.dev \"hello\" not found"),
    ] {
        let (code, stdout, stderr) = on(&node, words);
        assert!(code == 1 && stderr.contains(want), "pelton {words:?}: {code} {stdout}{stderr}");
    }
    wait_for("the reason to be known", || {
        let (code, stdout, stderr) = on(&node, &["logs", "nothing"]);
        assert!(code == 1 && stderr.contains("has not run yet"), "{code} {stdout}{stderr}");
        if stderr.contains("/no/such/program") { Ok(()) } else { Err(stderr) }
    });
}

/// A node without the role has no gateway: it says that, and not that there is nothing.
#[test]
fn a_node_without_a_gateway_has_no_logs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let manifest = folder.path().join("resources.yaml");
    std::fs::write(&manifest, display("talker", &[])).unwrap();
    let mut command = pelton();
    command
        .args(["server", "--name", "a", "--role", "broker,ingress,dispatcher", "--log", "error", "--data"])
        .arg(folder.path().join("data"));
    command.arg("-f").arg(&manifest).arg("--ready-file").arg(&ready);
    for listen in ["--ingress-listen", "--api-listen", "--metrics-listen", "--peer-listen"] {
        command.args([listen, "127.0.0.1:0"]);
    }
    let server = Running::start(&mut command);
    server.line_with("is ready");
    let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    let api = format!("http://{}", ready["api"].as_str().unwrap());
    let ask = |words: &[&str]| run(pelton().args(words).env("PELTON_API", &api));
    let (code, stdout, stderr) = ask(&["logs", "talker"]);
    assert!(code == 1 && stderr.contains("this node has no gateway"), "{code} {stdout}{stderr}");
    let (code, stdout, stderr) = ask(&["service", "describe", "talker"]);
    assert!(code == 0 && stdout.contains("no Service runs on the node that was asked"), "{code} {stdout}{stderr}");
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn services_revisions_and_routes_are_listed_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[("pelton.dev/idle-pause", "200ms")], ""));
    for (words, want) in [
        (&["service", "list"][..], &["hello", "True", "hello-00001", "http://hello.default.localhost"][..]),
        (&["service", "list", "-o", "wide"], &["process", "hello-00001=100%"]),
        (&["revision", "list", "--service", "hello"], &["hello-00001", "True"]),
        (&["route", "list"], &["hello", "hello-00001=100%"]),
        (&["route", "describe", "hello"], &["Route default/hello", "hello-00001   100%", "AllTrafficAssigned"]),
        (&["route", "describe", "hello", "-o", "yaml"], &["percent: 100", "revisionName: hello-00001"]),
        (&["service", "list", "-n", "default", "-o", "json"], &["\"kind\": \"List\"", "hello-00001"]),
    ] {
        let text = ok(&node, words);
        for want in want {
            assert!(text.contains(want), "pelton {words:?}: {want:?} is not in {text}");
        }
    }
    for words in [&["revision", "list", "--service", "other"][..], &["service", "list", "-n", "other"]] {
        let (code, stdout, stderr) = on(&node, words);
        assert!(
            code == 0 && stdout.is_empty() && stderr.contains("No resources found"),
            "pelton {words:?}: {stdout}{stderr}"
        );
    }
    wait_for("the instance to be paused", || {
        let text = ok(&node, &["service", "describe", "hello"]);
        let row =
            text.lines().find(|line| line.trim_start().starts_with("hello-00001   100%") && line.contains(" ago"));
        let row = row.ok_or_else(|| text.clone())?;
        if row.contains(" paused ") { Ok(()) } else { Err(text) }
    });
    let json: serde_json::Value =
        serde_json::from_str(&ok(&node, &["service", "describe", "hello", "-o", "json"])).unwrap();
    assert_eq!(json["service"]["status"]["latestReadyRevisionName"], "hello-00001", "{json:#}");
    let instances = &json["revisions"][0]["instances"];
    assert_eq!((&instances["paused"], &instances["running"]), (&1.into(), &0.into()), "{json:#}");
    let yaml = ok(&node, &["service", "describe", "hello", "-o", "yaml"]);
    assert!(yaml.contains("runsHere: true"), "{yaml}");
}

/// The conditions say why, and the last lines that it printed are shown as it printed them.
#[test]
fn a_crash_loop_is_described_with_what_was_printed_last() {
    let folder = tempfile::tempdir().unwrap();
    let node = start_crashing(folder.path());
    wait_for("the crash loop to be described", || {
        let text = ok(&node, &["service", "describe", "crash"]);
        for want in ["CrashLoop", "ended by itself with code 3", "Last lines of crash-00001", "  no database here\n"] {
            if !text.contains(want) {
                return Err(format!("{want:?} is not in {text}"));
            }
        }
        Ok(())
    });
    let logs = ok(&node, &["logs", "crash"]);
    assert!(logs.lines().any(|line| line.contains(" stderr ") && line.ends_with("no database here")), "{logs}");
}

fn start_crashing(folder: &Path) -> Node {
    Start::new(folder).manifest(&service("crash", &["crash"], &[], "")).args(&["--log", "error"]).node()
}
