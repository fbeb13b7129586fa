//! Commands that do not do what a service should.

use super::service::{Client, get, of_command, service};
use super::support::{Node, Start, wait_for};

fn start(folder: &std::path::Path, manifest: &str) -> Node {
    Start::new(folder).manifest(manifest).args(&["--log", "error"]).node()
}

/// What the Service's `Ready` says once it says no, or why requests wait.
#[track_caller]
fn wait_for_message(node: &Node, name: &str, word: &str) {
    wait_for("a condition to say why", || {
        let service = node.resource("services", name);
        let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let said = conditions.iter().any(|c| c["message"].as_str().is_some_and(|message| message.contains(word)));
        if said { Ok(()) } else { Err(format!("{service:#}")) }
    });
}

#[test]
fn a_command_that_does_not_exist_is_named_by_the_condition_and_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &of_command("nothing", &["/no/such/program".to_owned()], &[], &[], ""));
    wait_for_message(&node, "nothing", "/no/such/program");
    let answer = get(&node, "nothing.default.localhost", "/");
    assert_eq!(answer.status(), 503, "{}", answer.text());
}

#[test]
fn a_program_that_ends_at_once_is_shown_with_what_it_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), &service("crash", &["crash"], &[], ""));
    wait_for_message(&node, "crash", "no database here");
}

#[test]
fn a_request_to_a_program_that_never_listens_is_refused_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = service(
        "silent",
        &["silent"],
        &[("pelton.dev/activation-timeout", "1s"), ("autoscaling.knative.dev/initial-scale", "1")],
        "",
    );
    let node = start(folder.path(), &manifest);
    wait_for("the route to be known", || {
        let answer = get(&node, "silent.default.localhost", "/");
        if answer.status() == 503 { Ok(()) } else { Err(format!("{}: {}", answer.status(), answer.text())) }
    });
}

#[test]
fn services_that_cannot_be_are_refused_with_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path(), "");
    let good = service("hello", &[], &[], "");
    for (from, to, want) in [
        ("command:", "image: example.com/hello\n          comand:", "comand"),
        ("      containers:", "      containerConcurrency: 1001\n      containers:", "containerConcurrency"),
        ("labels: {of: test}", "annotations: {autoscaling.knative.dev/min-scale: '-1'}", "min-scale"),
        ("labels: {of: test}", "annotations: {pelton.dev/runtime: vm}", "pelton.dev/runtime"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        let answer = super::support::resources::store(node.api, &bad).unwrap_err();
        assert!((400..500).contains(&answer.status()), "{want}: {}", answer.text());
        assert!(answer.text().contains(want), "{want}: {}", answer.text());
    }
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let node = super::service::node_with(folder.path(), &service("hello", &[], &[], ""));
    let mut client = Client::of(&node, "hello.default.localhost");
    client.send("GET", "/slow?600000", "", b"").unwrap();
    super::support::wait_until("the request to be on its way", || {
        super::service::metric(&node, "kn_revision_request_active") == 1.0
    });
    drop(client);
    super::support::wait_until("its slot to be free", || {
        super::service::metric(&node, "kn_revision_request_active") == 0.0
    });
}
