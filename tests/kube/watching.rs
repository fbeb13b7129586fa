//! `kubectl get -w`.

use crate::command::Running;
use crate::informer::Watch;
use crate::scene::{config_map, with_every_kubectl};
use crate::support::http::call;
use crate::support::{Node, Start};

const EVENTS: &str = "-w --output-watch-events --no-headers";

/// The first two words of the next line that has `name` in it.
#[track_caller]
fn event(watch: &Running, name: &str) -> String {
    let line = watch.line_with(name);
    line.split_whitespace().next().expect("the line is not empty").to_owned()
}

#[test]
fn changes_are_shown_as_they_come() {
    with_every_kubectl("get -w", |scene| {
        scene.ok("create cm here --from-literal=a=b");
        let all = Running::start(&mut scene.command(&format!("get cm {EVENTS}")));
        assert_eq!(event(&all, "here"), "ADDED");
        let one = Running::start(&mut scene.command(&format!("get cm here {EVENTS}")));
        assert_eq!(event(&one, "here"), "ADDED");
        let selected = Running::start(&mut scene.command(&format!("get cm -l in=yes {EVENTS}")));
        let only = Running::start(&mut scene.command(&format!("get cm here {EVENTS} --watch-only")));

        scene.ok("create cm other --from-literal=a=b");
        assert_eq!(event(&all, "other"), "ADDED");
        // What enters a selection was added to it, and what leaves it was deleted from it.
        scene.ok("label cm here in=yes");
        assert_eq!(event(&all, "here"), "MODIFIED");
        assert_eq!(event(&selected, "here"), "ADDED");
        scene.ok("label cm here in-");
        assert_eq!(event(&all, "here"), "MODIFIED");
        assert_eq!(event(&selected, "here"), "DELETED");
        scene.ok("delete cm other here");
        assert_eq!(event(&all, "other"), "DELETED");
        assert_eq!(event(&all, "here"), "DELETED");
        // Nothing of the other one was told to those that ask for one.
        assert_eq!(event(&one, ""), "MODIFIED");
        assert_eq!(event(&one, ""), "MODIFIED");
        assert_eq!(event(&one, ""), "DELETED");
        only.line_with("DELETED");
    });
}

#[test]
fn a_watch_ends_with_its_time_and_with_the_server() {
    with_every_kubectl("the end of get -w", |scene| {
        let said = scene.say("get broker -w --request-timeout=2s --no-headers");
        assert!(said.stdout.starts_with("default "), "{said:?}");
        let api = scene.up.address("api").parse().unwrap();
        let path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1&allowWatchBookmarks=true";
        let mut watch = Watch::open(api, path).unwrap();
        assert_eq!(watch.next().unwrap().unwrap()["type"], "BOOKMARK");
        assert_eq!(watch.next().unwrap(), None);

        let running = Running::start(&mut scene.command("get broker -w"));
        running.line_with("default");
        // It has listed. That it watches as well is known when it shows a change.
        scene.ok("label broker default a=b");
        running.line_with("default");
        scene.up.running.ask_to_stop();
        let status = running.wait();
        assert!(status.success(), "{status}");
    });
}

/// A change that changes nothing is none.
#[test]
fn nothing_is_told_of_no_change() {
    with_every_kubectl("get -w without changes", |scene| {
        scene.file("c.yaml", &config_map("c", "", "data: {a: b}\n"));
        scene.ok("apply -f c.yaml");
        let watch = Running::start(&mut scene.command(&format!("get cm {EVENTS}")));
        assert_eq!(event(&watch, "c"), "ADDED");
        for line in [
            "apply -f c.yaml",
            "replace -f c.yaml",
            "apply -f c.yaml",
            "patch cm c -p '{\"data\":{\"a\":\"b\"}}'",
            "label cm c none-",
            "delete cm c --dry-run=server",
        ] {
            scene.ok(line);
        }
        scene.ok("delete cm c");
        let seen: Vec<_> =
            std::iter::repeat_with(|| event(&watch, "c")).take_while(|event| event != "DELETED").collect();
        // `replace` takes the annotation of `apply` away, and the next `apply` puts it back.
        assert_eq!(seen, ["MODIFIED", "MODIFIED"]);
    });
}

/// What changed before the server was started is not known any more, and whoever asks for it is told to list anew.
#[test]
fn a_watch_from_before_a_restart_is_told_to_list_anew() {
    let folder = tempfile::tempdir().unwrap();
    let start = Start::new(folder.path());
    let path = "/api/v1/namespaces/default/configmaps";
    let make = |node: &Node, name: &str| {
        let body = format!("{{\"metadata\": {{\"name\": {name:?}}}}}");
        let answer = call(node.api, "POST", path, "content-type: application/json\r\n", body.as_bytes());
        let made: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        made["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    };
    let node = start.node();
    let (old, newest) = (make(&node, "one"), make(&node, "two"));
    node.process.stop();
    let node = start.node();
    let first = |from: &str| {
        let watch = format!("{path}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={from}");
        Watch::open(node.api, &watch).unwrap().next().unwrap().unwrap()
    };
    let told = first(&old);
    assert_eq!((&told["type"], &told["object"]["code"]), (&"ERROR".into(), &410.into()), "{told}");
    assert_eq!(told["object"]["reason"], "Expired");
    assert_ne!(first(&newest)["type"], "DELETED", "nothing was taken away");
    let listed = call(node.api, "GET", path, "", b"");
    let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let from = listed["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch = Watch::open(node.api, &format!("{path}?watch=true&resourceVersion={from}")).unwrap();
    make(&node, "three");
    assert_eq!(watch.next().unwrap().unwrap()["object"]["metadata"]["name"], "three");
}
