//! What strangers send: the process lives, stays within its bounds, and goes on serving the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io;
use std::process::Command;

use support::event::TYPE_C;
use support::http::call;
use support::node::quiet_node;
use support::resources::collection;
use support::sink::answer;
use support::wait::DEADLINE;
use support::{Connection, Dice, Node, Sink, Start, trigger, wait_for, wait_until};

const STRUCTURED: &str = "content-type: application/cloudevents+json\r\n";

fn post(node: &Node, headers: &str, body: &[u8]) -> support::http::Message {
    call(node.ingress, "POST", "/default/default", headers, body)
}

/// Bytes that are no HTTP, or hardly: each connection ends or is answered with 4xx or 5xx, on every listener.
#[test]
fn garbage_on_every_listener_ends_its_connection_and_nothing_else() {
    let (_folder, _sink, node) = quiet_node();
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
    node.within_memory("garbage");
}

/// S3: header bombs.
#[test]
fn too_many_and_too_large_headers_are_refused() {
    let (_folder, _sink, node) = quiet_node();
    // So little that it is read to its end: nothing resets the connection before the answer was seen.
    let one_too_many: String = (0..100).map(|number| format!("x-{number}: a\r\n")).collect();
    for (name, listener) in node.listeners() {
        assert_eq!(
            call(listener, "POST", "/default/default", &one_too_many, b"").status(),
            431,
            "102 headers on {name}"
        );
    }
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
    node.within_memory("header bombs");
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// S7: depth, in events and in manifests, and references that grow.
#[test]
fn deep_json_and_growing_yaml_are_refused() {
    let (_folder, _sink, node) = quiet_node();
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
    let triggers = collection("triggers", "default");
    for (what, body) in rows {
        let answer = call(node.api, "POST", &triggers, "content-type: application/yaml\r\n", body.as_bytes());
        assert!((400..500).contains(&answer.status()), "{what}: {} {}", answer.status(), &answer.text()[..80]);
        node.is_well(what);
    }
    node.within_memory("deep documents");
}

/// S13: what producers choose is no label.
#[test]
fn a_hundred_thousand_types_make_no_new_series() {
    let (_folder, _sink, node) = quiet_node();
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
    node.within_memory("100,000 types");
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
    let triggers = collection("triggers", "default");
    let answer = call(node.api, "POST", &triggers, "content-type: application/yaml\r\n", bad.as_bytes());
    assert!((400..500).contains(&answer.status()), "{}", answer.text());
    is_harmless("the answer of the API", &answer.body);
    wait_until("the dead letters", || !node.dead_letters("all").is_empty());

    let api = format!("http://{}", node.api);
    let letter = node.dead_letters("all").pop().unwrap();
    let position = letter["position"].as_str().unwrap();
    // No argument of a process can have a NUL in it.
    let word = NASTY.trim_end_matches('\0');
    for (words, code) in [
        (&["deadletters", "list"][..], 0),
        (&["deadletters", "show", "--trigger", "all", "--position", position], 0),
        (&["get", "triggers"], 0),
        (&["send", "--id", word, "--type", "t"], 2),
        (&["send", "--id", "\u{202e}txt.exe", "--type", "t"], 0),
        (&["send", word, "--type", "t"], 2),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pelton")).args(words).env("PELTON_API", &api).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        assert!(!shown.is_empty(), "{words:?} says something");
        is_harmless(&format!("{words:?}"), &shown);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&shown));
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
