//! Services for the docker runtime, as far as they go without an engine. With one: `runtime-docker/tests`.

use super::service::{get, service, wait_ready};
use super::support::{Start, wait_for};

const SERVICE: &str = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: contained}\nspec:\n  template:\n    \
    metadata: {annotations: {pelton.dev/runtime: docker}}\n    spec: {containers: [{image: hello}]}\n---\n";

/// A gateway without an engine starts, runs what needs none, says of the others who is missing, and stops in time.
#[test]
fn a_service_whose_engine_is_away_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = format!("{}{SERVICE}", service("hello", &[], &[], ""));
    let socket = folder.path().join("none.sock").display().to_string();
    let node = Start::new(folder.path()).manifest(&manifest).args(&["--docker-host", &socket, "--log", "warn"]).node();
    wait_ready(&node, "hello");
    assert_eq!(get(&node, "hello.default.localhost", "/").text(), "hello-00001");
    wait_for("the service to say why it does not run", || {
        let service = node.resource("services", "contained");
        let conditions = service["status"]["conditions"].to_string();
        let is_told = conditions.contains(&format!("no engine can be reached at {socket}"));
        if is_told { Ok(()) } else { Err(format!("{service:#}")) }
    });
    node.process.stop();
}
