//! Liveness and startup probes (spec/serving.md 1.4).

use std::path::Path;

use super::service::{Client, get, metric, node_with, pid, service};
use super::support::{Start, wait_for, wait_until};

const HOST: &str = "hello.default.localhost";

/// With more lines of its container.
fn with(manifest: &str, lines: &str) -> String {
    let with = manifest.replace("        - command:", &format!("        - {lines}\n          command:"));
    assert_ne!(with, manifest);
    with
}

#[test]
fn an_instance_that_is_not_alive_is_ended_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let liveness = "livenessProbe: {httpGet: {path: /healthz}, periodSeconds: 1, failureThreshold: 2}";
    let node = node_with(folder.path(), &with(&service("hello", &[], &[], ""), liveness));
    let first = pid(&node, HOST);
    assert_eq!(get(&node, HOST, "/sicken").status(), 200);
    let second = wait_for("another instance", || {
        let now = pid(&node, HOST);
        if now == first { Err(format!("{now} still answers")) } else { Ok(now) }
    });
    wait_until("the first to be gone", || !Path::new(&format!("/proc/{first}")).exists());
    assert!(metric(&node, "pelton_gateway_failed_instances_total") >= 1.0);
    assert_eq!(get(&node, HOST, "/healthz").status(), 200);
    assert_eq!(pid(&node, HOST), second, "which is well");
}

/// It cannot answer while it is paused, which is nobody's fault.
#[test]
fn an_instance_that_is_paused_is_not_asked_whether_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let liveness = "livenessProbe: {httpGet: {path: /healthz}, periodSeconds: 1, failureThreshold: 1}";
    let rests = [("pelton.dev/idle-pause", "50ms")];
    let node = node_with(folder.path(), &with(&service("hello", &[], &rests, ""), liveness));
    let first = pid(&node, HOST);
    for _ in 0..3 {
        wait_until("it to be paused", || metric(&node, "pelton_gateway_paused_instances") == 1.0);
        // More than a period and the time that an answer has.
        let began = std::time::Instant::now();
        wait_until("two periods to pass", || began.elapsed().as_millis() >= 2_200);
        assert_eq!(pid(&node, HOST), first);
    }
    assert_eq!(metric(&node, "pelton_gateway_failed_instances_total"), 0.0);
}

#[test]
fn a_startup_probe_holds_requests_back_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("up");
    let startup = format!(
        "startupProbe: {{httpGet: {{path: '/exists?{}'}}, periodSeconds: 1, failureThreshold: 600}}",
        file.display()
    );
    std::fs::write(&file, "").unwrap();
    let ends = [("pelton.dev/idle-stop", "200ms")];
    let node = node_with(folder.path(), &with(&service("hello", &[], &ends, ""), &startup));
    wait_until("it to be at zero", || {
        metric(&node, "kn_revision_pods_count") == 0.0 && metric(&node, "kn_revision_pods_terminating_count") == 0.0
    });
    std::fs::remove_file(&file).unwrap();
    let mut client = Client::of(&node, HOST);
    client.send("GET", "/", "", b"").unwrap();
    wait_until("an instance to run", || metric(&node, "kn_revision_pods_not_ready_count") == 1.0);
    assert_eq!(metric(&node, "kn_revision_pods_count"), 0.0);
    std::fs::write(&file, "").unwrap();
    assert_eq!(client.answer().unwrap().status(), 200);
}

#[test]
fn an_instance_that_does_not_come_up_in_its_time_is_ended_and_the_condition_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let startup = "startupProbe: {httpGet: {path: '/exists?/no/such/file'}, periodSeconds: 1, failureThreshold: 1}";
    let manifest = with(&service("hello", &[], &[], ""), startup);
    let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "error"]).node();
    wait_for("a condition to say why", || {
        let text = node.resource("services", "hello")["status"]["conditions"].to_string();
        if text.contains("startup probe: HTTP status 503") { Ok(()) } else { Err(text) }
    });
}
