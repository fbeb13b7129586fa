//! Requests from outside.

use std::io::{Read as _, Write as _};

use super::service::{Client, get, metric, node_with, pid, service};
use super::support::{wait_for, wait_until};

const IDLE: &[(&str, &str)] = &[("pelton.dev/idle-pause", "200ms")];

#[test]
fn a_request_gets_its_answer_from_a_service_that_was_paused_and_from_one_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], IDLE, ""));
    let before = pid(&node, "hello.default.localhost");
    wait_until("the instance to be paused", || metric(&node, "pelton_gateway_paused_instances") == 1.0);
    let cold = get(&node, "hello.default.localhost", "/");
    assert_eq!((cold.status(), cold.text().as_str()), (200, "hello-00001"));
    assert_eq!(cold.header("pelton-cold-start"), Some("true"));
    assert!(cold.header("pelton-waited-ms").is_some());
    let mut client = Client::of(&node, "hello.default.localhost");
    let warm = client.get("/");
    assert_eq!((warm.status(), warm.header("pelton-cold-start")), (200, Some("false")));
    assert_eq!(client.get("/pid").text(), before, "the same process, resumed");
    let old = client.get("/old");
    assert_eq!(
        (old.first.as_str(), old.text().as_str()),
        ("HTTP/1.1 200 OK", "old"),
        "of an instance that speaks HTTP/1.0"
    );
    assert_eq!(client.get("/pid").text(), before, "by the same connection");
}

#[test]
fn every_name_of_a_service_leads_to_it_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    for (host, want) in [
        ("hello.default.localhost", 200),
        ("HELLO.default.localhost.:8081", 200),
        ("hello.default", 200),
        ("hello.default.svc", 200),
        ("hello.default.svc.cluster.local", 200),
        ("other.default.localhost", 404),
        ("hello.other.localhost", 404),
        ("localhost", 404),
        ("hello.default.localhost.example.com", 404),
    ] {
        assert_eq!(get(&node, host, "/").status(), want, "{host}");
    }
}

/// spec/serving.md 1.1, 1.3 and 1.6, from inside.
#[test]
fn the_runtime_contract_holds_from_inside() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let mut client = Client::of(&node, "hello.default.localhost");
    let headers = "x-custom: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
                   connection: x-hop\r\nx-hop: 1\r\nk-proxy-request: activator\r\n";
    let answer = client.call("GET", "/what?a=%20b", headers, b"").unwrap();
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["first"], "GET /what?a=%20b HTTP/1.1", "the path is as it came");
    let header = |name: &str| {
        let all = told["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == name);
        all.map(|pair| pair[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(header("host"), ["hello.default.localhost"]);
    assert_eq!(header("x-custom"), ["a"]);
    assert_eq!(header("traceparent"), ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]);
    assert_eq!(header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header("x-forwarded-proto"), ["http"]);
    assert_eq!(header("forwarded"), ["for=127.0.0.1;host=hello.default.localhost;proto=http"]);
    assert!(header("x-hop").is_empty() && header("k-proxy-request").is_empty(), "{told:#}");
    let variable = |name: &str| told["environment"][name].as_str().map(str::to_owned);
    assert_eq!(variable("K_SERVICE").as_deref(), Some("hello"));
    assert_eq!(variable("K_CONFIGURATION").as_deref(), Some("hello"));
    assert_eq!(variable("K_REVISION").as_deref(), Some("hello-00001"));
    assert!(variable("PORT").is_some_and(|port| port.parse::<u16>().is_ok()));
    assert_eq!(variable("CARGO_MANIFEST_DIR"), None, "nothing of the gateway's own environment");
    assert_eq!(told["stdin"], 0);
}

#[test]
fn an_answer_that_takes_too_long_is_cut_so_that_nobody_takes_it_for_whole() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = [
        service("reset", &[], &[], "      timeoutSeconds: 1\n"),
        service("truncate", &[], &[("pelton.dev/timeout-mode", "truncate")], "      timeoutSeconds: 1\n"),
    ];
    let node = node_with(folder.path(), &manifest.concat());
    for name in ["reset", "truncate"] {
        let late = get(&node, &format!("{name}.default.localhost"), "/slow?60000");
        assert_eq!(late.status(), 504, "{name}: {}", late.text());
    }
    let mut client = Client::of(&node, "reset.default.localhost");
    client.send("GET", "/begin?60000", "", b"").unwrap();
    assert!(client.answer().is_err(), "the end of the chunks does not come");
    let truncated = get(&node, "truncate.default.localhost", "/begin?60000");
    assert_eq!((truncated.status(), truncated.text().as_str()), (200, "begin"));
}

#[test]
fn one_at_a_time_means_one_at_a_time_and_beyond_the_queue_is_503() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(
        folder.path(),
        &service("one", &[], &[("autoscaling.knative.dev/max-scale", "1")], "      containerConcurrency: 1\n"),
    );
    let mut busy = Client::of(&node, "one.default.localhost");
    busy.send("GET", "/slow?5000", "", b"").unwrap();
    wait_until("the request to be on its way", || metric(&node, "kn_revision_request_active") == 1.0);
    let mut next = Client::of(&node, "one.default.localhost");
    next.send("GET", "/", "", b"").unwrap();
    wait_until("the next to wait", || metric(&node, "kn_revision_request_queued") == 1.0);
    assert_eq!(busy.answer().unwrap().text(), "at last");
    let served = next.answer().unwrap();
    assert_eq!((served.status(), served.header("pelton-cold-start")), (200, Some("false")));
    assert!(served.header("pelton-waited-ms").is_some(), "it waited, and not for a start");
}

#[test]
fn a_changed_protocol_passes_whatever_the_two_ends_say_and_outlives_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("echo", &[], IDLE, "      timeoutSeconds: 1\n"));
    let mut client = Client::of(&node, "echo.default.localhost");
    client
        .connection()
        .write(b"GET / HTTP/1.1\r\nhost: echo.default.localhost\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n")
        .unwrap();
    let mut stream = client.connection().writer();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: lines\r\n"), "{head}");
    let mut said = |line: &str| {
        stream.write_all(line.as_bytes()).unwrap();
        let mut back = vec![0; line.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), line);
    };
    said("hello\n");
    // Longer than the request may take, and than an instance without requests would run.
    let began = std::time::Instant::now();
    wait_for("two seconds to pass", || if began.elapsed().as_secs() >= 2 { Ok(()) } else { Err(String::new()) });
    said("still there\n");
    assert_eq!(metric(&node, "pelton_gateway_paused_instances"), 0.0);
}
