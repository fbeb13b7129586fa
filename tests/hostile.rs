//! What strangers send: the process lives, stays within its bounds, and goes on serving the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::event::{TYPE_A, TYPE_C};
use support::http::call;
use support::sink::answer;
use support::wait::DEADLINE;
use support::{Connection, Dice, Node, Sink, Start, TestEvent, skipped, trigger, wait_for, wait_until};

/// Most memory that the process may ever have used. A held byte of a request costs about three; the ingress holds
/// 32 MiB, the log's tail cache 64 MiB, the dispatcher's cache 16 MiB.
const MEMORY_CAP_KIB: u64 = 320 * 1024;

const STRUCTURED: &str = "content-type: application/cloudevents+json\r\n";

/// A node with one Trigger whose subscriber takes everything.
fn node(args: &[&str]) -> (tempfile::TempDir, Sink, Node) {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Sink::accepting());
    let start = Start::new(folder.path()).manifest(&trigger("all", &sink.url(), "")).args(args);
    let node = start.node();
    (folder, sink, node)
}

#[track_caller]
fn within_memory(node: &Node, after: &str) {
    let peak = node.memory_kib("VmHWM");
    eprintln!("hostile: after {after} the process had used at most {} MiB", peak / 1024);
    assert!(peak < MEMORY_CAP_KIB, "after {after}: {} MiB", peak / 1024);
}

fn post(node: &Node, headers: &str, body: &[u8]) -> support::http::Message {
    call(node.ingress, "POST", "/default/default", headers, body)
}

/// Bytes that are no HTTP, or hardly: each connection ends or is answered with 4xx or 5xx, on every listener.
#[test]
fn garbage_on_every_listener_ends_its_connection_and_nothing_else() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let mut dice = Dice::from_env("garbage");
    let mut rows: Vec<(&str, Vec<u8>)> = vec![
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("NULs", vec![0; 10_000]),
        ("a preface of HTTP/2 and then noise", [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &dice.bytes(4096)].concat()),
        ("half a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM".to_vec()),
        ("an endless line", vec![b'A'; 2 * 1024 * 1024]),
        ("a negative length", b"POST /default/default HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec()),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec()),
        ("a length of 2^64", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 18446744073709551616\r\n\r\n".to_vec()),
        (
            "a bad chunk",
            b"POST /default/default HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec(),
        ),
        (
            "a huge chunk",
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        ),
        ("CR in a header", b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n".to_vec()),
        ("NUL in a header", b"GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_vec()),
    ];
    for _ in 0..20 {
        let len = 1 + dice.below(8_192) as usize;
        rows.push(("noise", dice.bytes(len)));
    }
    for (name, listener) in node.listeners() {
        for (what, bytes) in &rows {
            let mut connection = Connection::open(listener).unwrap();
            // It may be refused before all of it is sent.
            let _ = connection.write(bytes);
            connection.finish();
            assert!(connection.ends_within(DEADLINE), "{what} on {name}");
        }
        node.is_well(&format!("garbage on {name}"));
    }
    within_memory(&node, "garbage");
}

/// S2: clients that send a byte now and then, or nothing. The others are served meanwhile, and those are cut.
#[test]
fn slow_clients_keep_nobody_waiting_and_are_cut() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let mut slow = Vec::new();
    for (name, listener) in node.listeners() {
        // More than the listener for metrics serves at a time, fewer than that for the API.
        for place in 0..100 {
            let Ok(mut connection) = Connection::open(listener) else { continue };
            let begun: &[u8] = match place % 3 {
                0 => b"",
                1 => b"POST /default/default HTTP/1.1\r\nhost: x\r\nce-id",
                _ => b"POST /default/default HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nabc",
            };
            connection.write(begun).unwrap();
            slow.push((name, place, connection));
        }
    }
    let mut ordinary = Connection::open(node.ingress).unwrap();
    for number in 0..200 {
        assert_eq!(ordinary.post(&TestEvent::sized(number, TYPE_A, 1000)).unwrap().status(), 202);
    }
    for (name, place, connection) in &mut slow {
        assert!(connection.ends_within(DEADLINE), "connection {place} on {name} is never cut");
    }
    node.is_well("slow clients");
    within_memory(&node, "slow clients");
}

/// S3: header bombs.
#[test]
fn too_many_and_too_large_headers_are_refused() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let many: String = (0..10_000).map(|number| format!("x-{number}: a\r\n")).collect();
    let some: String = (0..90).map(|number| format!("x-{number}: {}\r\n", "v".repeat(12 * 1024))).collect();
    let one = format!("x-large: {}\r\n", "v".repeat(1024 * 1024));
    for (what, headers) in [("10,000 headers", &many), ("90 headers of 12 KiB", &some), ("a header of 1 MiB", &one)] {
        for (name, listener) in node.listeners() {
            let request = format!("POST /default/default HTTP/1.1\r\nhost: {listener}\r\n{headers}\r\n");
            let mut connection = Connection::open(listener).unwrap();
            let sent = connection.write(request.as_bytes());
            // Where the answer comes before the request is over, the rest of it may reset the connection.
            match connection.answer() {
                Ok(answer) => assert_eq!(answer.status(), 431, "{what} on {name}"),
                Err(error) => assert!(is_reset(&error), "{what} on {name}: {error}; sent: {sent:?}"),
            }
        }
        node.is_well(what);
    }
    within_memory(&node, "header bombs");
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// S1: bodies that are announced as huge, or never end.
#[test]
fn a_huge_body_is_refused_without_being_read() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let paths = [("ingress", "/default/default"), ("api", "/v1/apply"), ("metrics", "/metrics")];
    for ((name, listener), (_, path)) in node.listeners().into_iter().zip(paths) {
        let event = TestEvent::sized(1, TYPE_A, 0).headers();
        let declared = format!("POST {path} HTTP/1.1\r\nhost: {listener}\r\n{event}content-length: 1073741824\r\n\r\n");
        let mut connection = Connection::open(listener).unwrap();
        connection.write(declared.as_bytes()).unwrap();
        assert_eq!(connection.answer().unwrap().status(), 413, "1 GiB announced on {name}");

        let chunked = format!("POST {path} HTTP/1.1\r\nhost: {listener}\r\n{event}transfer-encoding: chunked\r\n\r\n");
        let mut connection = Connection::open(listener).unwrap();
        connection.write(chunked.as_bytes()).unwrap();
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
        let mut taken: u64 = 0;
        while connection.write(&chunk).is_ok() {
            taken += 0x10000;
            assert!(taken < 256 << 20, "{name} reads for ever");
        }
        node.is_well(&format!("a huge body on {name}"));
    }
    within_memory(&node, "huge bodies");
}

/// S7: depth, in events and in manifests, and references that grow.
#[test]
fn deep_json_and_growing_yaml_are_refused() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let event = |data: String| {
        format!("{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"{TYPE_C}\",\"data\":{data}}}")
    };
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let rows = [
        ("data at the depth allowed", event(nested(1024)), 202),
        ("data one deeper", event(nested(1025)), 400),
        ("data 400,000 deep", event(nested(400_000)), 400),
        ("arrays that never close", "[".repeat(900_000), 400),
        ("objects that never close", "{\"a\":".repeat(150_000), 400),
    ];
    for (what, body, want) in rows {
        assert_eq!(post(&node, STRUCTURED, body.as_bytes()).status(), want, "{what}");
    }
    let laughs: String = ('b'..='z')
        .zip('a'..='y')
        .map(|(next, known)| format!("{next}: &{next} [{}]\n", vec![format!("*{known}"); 10].join(",")))
        .collect();
    let rows = [
        ("nested JSON", nested(1_000_000)),
        ("nested YAML", format!("a: {}", "{a: ".repeat(500_000))),
        ("nested block YAML", (0..3_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("a billion laughs", format!("a: &a [x]\n{laughs}")),
        ("a hundred thousand documents", "---\na: b\n".repeat(100_000)),
    ];
    for (what, body) in rows {
        let answer = call(node.api, "POST", "/v1/apply", "content-type: application/yaml\r\n", body.as_bytes());
        assert!((400..500).contains(&answer.status()), "{what}: {} {}", answer.status(), &answer.text()[..80]);
        node.is_well(what);
    }
    within_memory(&node, "deep documents");
}

/// S13: what producers choose is no label.
#[test]
fn a_hundred_thousand_types_make_no_new_series() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let series = || {
        let text = node.metrics_text();
        let of = |line: &str| line.rsplit_once(' ').map(|(series, _)| series.to_owned());
        text.lines().filter(|line| !line.starts_with('#')).filter_map(of).collect::<std::collections::BTreeSet<_>>()
    };
    let send = |batch: usize| {
        let events = (0..1000).map(|nth| {
            format!(
                "{{\"specversion\":\"1.0\",\"id\":\"{nth}\",\"source\":\"/source/{batch}/{nth}\",\
                 \"type\":\"com.example.{batch}.{nth}\",\"ext{nth}\":\"{nth}\"}}"
            )
        });
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        let answer = post(&node, "content-type: application/cloudevents-batch+json\r\n", body.as_bytes());
        assert_eq!(answer.status(), 202, "{}", answer.text());
    };
    let delivered = |count: f64| {
        wait_for("the events to be delivered", || match node.metric("pelton_trigger_delivered_total") {
            so_far if so_far >= count => Ok(()),
            so_far => Err(format!("{so_far} of {count}")),
        });
    };
    send(0);
    delivered(1000.0);
    // A refusal, so that its series is there, too.
    assert_eq!(post(&node, STRUCTURED, b"{}").status(), 400);
    let before = series();
    (1..100).for_each(send);
    delivered(3000.0);
    let after = series();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "new series: {:?}", &new[..new.len().min(10)]);
    within_memory(&node, "100,000 types");
}

/// S11: what others send never reaches a terminal or a log as it is.
#[test]
fn control_characters_never_reach_the_log_or_a_terminal() {
    const NASTY: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nERROR forged: line\u{202e}txt\u{0}";
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::start(|_, stream| answer(stream, 400, "", NASTY.as_bytes()));
    let start = Start::new(folder.path()).manifest(&trigger("all", &sink.url(), ""));
    let node = start.args(&["--log", "debug,openraft=info"]).node();
    let escaped: String = NASTY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let json = |name: &str| {
        let value = serde_json::to_string(NASTY).unwrap();
        format!("{{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\",\"type\":\"t\",\"{name}\":{value}}}")
    };
    for name in ["id", "source", "type", "subject", "anextension", "datacontenttype", "time"] {
        let base = [("id", "i"), ("source", "/s"), ("type", "t"), ("specversion", "1.0")];
        let mut headers: String =
            base.iter().filter(|(known, _)| *known != name).map(|(n, v)| format!("ce-{n}: {v}\r\n")).collect();
        headers += &format!("ce-{name}: {escaped}\r\n");
        let status = post(&node, &headers, b"x").status();
        assert!(status == 400 || (name == "datacontenttype" && status == 202), "{name}: {status}");
        assert_eq!(post(&node, STRUCTURED, json(name).as_bytes()).status(), 400, "{name} in JSON");
    }
    // Right-to-left marks are ordinary characters of CloudEvents, so this one is taken, and refused by the subscriber.
    let headers = "ce-specversion: 1.0\r\nce-id: %E2%80%AEtxt.exe\r\nce-source: /s\r\nce-type: t\r\n";
    assert_eq!(post(&node, headers, b"\x1b[2J").status(), 202);
    for (_, listener) in node.listeners() {
        let _ = call(listener, "GET", &format!("/{escaped}/{escaped}?x={escaped}"), "user-agent: \x1b[2J\r\n", b"");
        let mut raw = Connection::open(listener).unwrap();
        let _ = raw.write(format!("GET /{NASTY} HTTP/1.1\r\n\r\n").as_bytes());
        raw.finish();
        assert!(raw.ends_within(DEADLINE));
    }
    let bad = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: \"\\e[2J{x}\"}\n";
    let answer = call(node.api, "POST", "/v1/apply", "content-type: application/yaml\r\n", bad.as_bytes());
    assert!((400..500).contains(&answer.status()), "{}", answer.text());
    is_harmless("the answer of the API", &answer.body);
    wait_until("the dead letters", || !node.dead_letters("all").is_empty());

    let api = format!("http://{}", node.api);
    for words in [&["deadletters", "list"][..], &["get", "triggers"], &["send", "--id", NASTY, "--type", "t"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_pelton")).args(words).args(["--api", &api]).output();
        let Ok(output) = output else { continue };
        let shown = [output.stdout, output.stderr].concat();
        assert!(!shown.is_empty(), "{words:?} says something");
        is_harmless(&format!("{words:?}"), &shown);
    }
    node.process.stop();
    let said = node.process.said();
    assert!(said.contains("kept as a dead letter"), "there is something to be looked at: {said}");
    is_harmless("the log", said.as_bytes());
    assert!(!said.lines().any(|line| line.starts_with("ERROR forged")), "{said}");
}

#[track_caller]
fn is_harmless(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        let bad = line.chars().find(|c| (c.is_control() && *c != '\t') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{what}: {line:?}");
    }
}

/// F29: more large bodies at once than there is room for.
#[test]
fn five_hundred_of_the_largest_bodies_at_once_stay_within_memory() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let event = TestEvent::sized(1, TYPE_C, (1 << 20) - 1024);
    let answers = Arc::<Mutex<BTreeMap<u16, usize>>>::default();
    let gate = Arc::new(std::sync::Barrier::new(500));
    let threads: Vec<_> = (0..500)
        .map(|_| {
            let (ingress, answers, gate, event) =
                (node.ingress, Arc::clone(&answers), Arc::clone(&gate), event.clone());
            let send = move || {
                let connection = Connection::open(ingress);
                gate.wait();
                let answer = connection.and_then(|mut connection| connection.post(&event));
                // A refusal may come while the body is still being sent; the rest of it may then cut the answer off.
                let status = answer.map_or(0, |answer| answer.status());
                *answers.lock().entry(status).or_default() += 1;
            };
            std::thread::Builder::new().stack_size(256 * 1024).spawn(send).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let answers = answers.lock().clone();
    eprintln!("hostile: 500 bodies of 1 MiB at once: {answers:?}");
    assert!(answers.get(&202).is_some_and(|taken| *taken > 0), "{answers:?}");
    assert!(answers.keys().all(|status| [0, 202, 429, 503].contains(status)), "{answers:?}");
    assert!(answers.get(&0).is_none_or(|broken| *broken < 50), "{answers:?}");
    node.is_well("500 large bodies");
    within_memory(&node, "500 large bodies");
}

/// S1 on the listener whose bodies may be largest: many manifests that never end.
#[test]
fn many_large_manifests_at_once_stay_within_memory() {
    let (_folder, _sink, node) = node(&["--log", "warn"]);
    let mut held = Vec::new();
    let piece = vec![b' '; 1 << 20];
    for _ in 0..40 {
        let mut connection = Connection::open(node.api).unwrap();
        let head = format!(
            "POST /v1/apply HTTP/1.1\r\nhost: {}\r\ncontent-type: application/yaml\r\ncontent-length: 16777216\r\n\r\n",
            node.api
        );
        let mut sent = connection.write(head.as_bytes());
        for _ in 0..15 {
            sent = sent.and_then(|()| connection.write(&piece));
        }
        held.push((connection, sent));
    }
    drop(held);
    node.is_well("40 manifests of 16 MiB");
    within_memory(&node, "40 manifests of 16 MiB");
}

/// F30: no descriptor left. What is connected is served, and the rest is once there is one.
#[test]
fn without_descriptors_it_lives_and_recovers() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skipped("a process with few descriptors", "there is no prlimit here");
    }
    let wanted = room_for_descriptors(2_500);
    let folder = tempfile::tempdir().unwrap();
    let node =
        Start::new(folder.path()).args(&["--log", "warn"]).wrapped(&["prlimit", "--nofile=128:128", "--"]).node();
    let mut early = Connection::open(node.ingress).unwrap();
    let mut post = |number: u64| {
        let answer = early.post(&TestEvent::sized(number, TYPE_C, 100));
        let status = answer.as_ref().map_or(0, support::http::Message::status);
        assert_eq!(status, 202, "event {number}: {answer:?}; {}", node.process.said());
    };
    post(0);
    let mut crowd = Vec::new();
    for (place, (_, listener)) in (0..wanted.min(2_000)).zip(node.listeners().into_iter().cycle()) {
        // A full backlog drops the first packet of a connection, and the system tries again only after a second.
        let Ok(stream) = connect_at_once(listener) else { continue };
        crowd.push(stream);
        if place % 100 == 0 {
            post(place);
        }
    }
    eprintln!("hostile: {} connections against 128 descriptors", crowd.len());
    post(9_999);
    assert_eq!(node.process.ended(), None);
    drop(crowd);
    node.is_well("2,000 connections");
    node.process.stop();
}

fn connect_at_once(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.write_all(b"POST ")?;
    Ok(stream)
}

/// Raises this process's own limit; gives how many descriptors may be used.
fn room_for_descriptors(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(wanted + 500, |maximum| maximum.min(wanted + 500));
    if limit.current.is_some_and(|current| current < raised) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(wanted + 500).saturating_sub(500)
}
