//! Services that are changed, split and deleted.

use std::collections::BTreeMap;

use super::service::{get, node_with, service, wait_ready};
use super::support::resources::collection;
use super::support::{wait_for, wait_until};

#[test]
fn a_changed_service_gets_a_new_revision_and_no_request_is_lost_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    assert_eq!(get(&node, "hello.default.localhost", "/").text(), "hello-00001");
    node.store(&service("hello", &["slow-start", "300"], &[], ""));
    wait_for("the new revision to answer", || {
        let answer = get(&node, "hello.default.localhost", "/");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        if answer.text() == "hello-00002" { Ok(()) } else { Err(answer.text()) }
    });
    wait_ready(&node, "hello");
}

#[test]
fn traffic_is_split_exactly_and_a_tag_has_a_host_and_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let first = service("hello", &[], &[], "");
    let node = node_with(folder.path(), &first);
    let split = "  traffic:\n    - {revisionName: hello-00001, percent: 80, tag: old}\n    - {latestRevision: true, percent: 20}\n";
    let second = service("hello", &["second"], &[], "").replace("  template:", &format!("{split}  template:"));
    node.store(&second);
    wait_for("both revisions to get traffic", || {
        let answer = get(&node, "hello.default.localhost", "/");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        if answer.text() == "hello-00002" { Ok(()) } else { Err(answer.text()) }
    });
    wait_ready(&node, "hello");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..100 {
        *counts.entry(get(&node, "hello.default.localhost", "/").text()).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([("hello-00001".to_owned(), 80), ("hello-00002".to_owned(), 20)]));
    for _ in 0..20 {
        assert_eq!(get(&node, "old-hello.default.localhost", "/").text(), "hello-00001");
    }
    let mut client = super::service::Client::of(&node, "hello.default.localhost");
    for _ in 0..20 {
        let answer = client.call("GET", "/", "knative-serving-tag: old\r\n", b"").unwrap();
        assert_eq!(answer.text(), "hello-00001");
    }
}

#[test]
fn a_deleted_service_is_gone_with_its_instances() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let pid = super::service::pid(&node, "hello.default.localhost");
    node.delete("services", "hello");
    wait_until("the host to mean nothing", || get(&node, "hello.default.localhost", "/").status() == 404);
    wait_until("the instance to be gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    for plural in ["services", "configurations", "revisions", "routes"] {
        let left = node.get(&collection(plural, "default"));
        assert_eq!(left["items"].as_array().map(Vec::len), Some(0), "{left:#}");
    }
}

#[test]
fn no_instance_outlives_its_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let pid = super::service::pid(&node, "hello.default.localhost");
    node.process.signal(rustix::process::Signal::KILL);
    wait_until("the instance to be gone", || {
        // A process that nobody waits for is a zombie until init has taken it.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
}
