//! The commands as a user runs them: real processes, real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/pelton.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use support::{Running, Up, pelton, run};

/// An address at which nobody listens.
fn closed() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The status and body of a `GET`.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// Each row: what is typed, the exit code, and what standard error has to say.
#[test]
fn commands_end_with_the_documented_codes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pelton.yaml");
    std::fs::write(&file, "workers: none\nretention-byte: 1GiB\n").unwrap();
    let bad = folder.path().join("bad.yaml");
    std::fs::write(&bad, "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nspec: {borker: x}\n").unwrap();
    let (file, bad, api) = (file.display().to_string(), bad.display().to_string(), format!("http://{}", closed()));
    let nowhere = folder.path().join("nowhere").display().to_string();
    let rows: &[(&[&str], i32, &[&str])] = &[
        (&["version"], 0, &[]),
        (&["--help"], 0, &[]),
        (&["fly"], 2, &["fly"]),
        (
            &["up", "--config", &file, "--log-format", "xml"],
            2,
            &["3 mistakes", "workers", "retention-byte", "log-format"],
        ),
        (&["up", "--config", &nowhere], 2, &["nowhere"]),
        (&["up", "-f", &bad, "--data", &nowhere], 2, &["bad.yaml", "borker"]),
        (&["up", "--join", "127.0.0.1:7400"], 2, &["join", "belongs to `pelton server`"]),
        (
            &["server", "--name", "A", "--peer-listen", "10.0.0.1:1", "--replicas", "9"],
            2,
            &["3 mistakes", "peer-insecure"],
        ),
        (
            &["server", "--name", "a", "--peer-ca", &nowhere, "--peer-cert", &nowhere, "--peer-key", &nowhere],
            2,
            &["nowhere"],
        ),
        (&["cluster", "dev", "--resume", &nowhere, "--node", "a"], 2, &["there is no cluster in", "nowhere"]),
        (&["status", "--api", &api], 3, &["is `pelton up` running at"]),
        (&["ready", "--metrics", &api], 3, &["cannot connect"]),
        (&["cert", "node", "a", "--host", "127.0.0.1", "--dir", &nowhere], 1, &["pelton cert ca"]),
        (&["get", "brokers", "--api", &api], 3, &["is `pelton up` running at"]),
        (&["get", "brokers", "--api", "ftp://x"], 2, &["only http"]),
        (&["apply", "-f", &bad, "--api", &api], 2, &["bad.yaml", "Trigger has no metadata.name"]),
        (&["apply", "-f", &nowhere, "--api", &api], 2, &["nowhere"]),
        (&["send", "--type", "t", "--api", &api], 3, &["is `pelton up` running at"]),
        (&["send", &api, "--type", "t"], 3, &["cannot connect"]),
        (&["send", &api, "--type", "t", "-x", "Bad_Name=1"], 2, &["no event"]),
        (&["log", "verify", &nowhere], 1, &["nowhere"]),
    ];
    for (words, code, want) in rows {
        let (got, stdout, stderr) = run(pelton().args(*words));
        assert_eq!(got, *code, "pelton {words:?}: {stdout}{stderr}");
        for word in *want {
            assert!(stderr.contains(word), "pelton {words:?}: {word:?} is not in {stderr}");
        }
    }
    assert!(!folder.path().join("nowhere").exists(), "nothing is made before the mistakes are told");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) = run(pelton()
        .args([
            "up",
            "--ingress-listen",
            "127.0.0.1:0",
            "--gateway-listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--api-listen",
            &address,
        ])
        .arg("--data")
        .arg(folder.path().join("data")));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("api-listen") && stderr.contains(&address), "{stderr}");
    assert!(!folder.path().join("data").exists(), "a taken port is told before the log is opened");
}

fn every_metric_is_described(text: &str) {
    let named = |prefix: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    };
    let (types, helps) = (named("# TYPE "), named("# HELP "));
    assert!(types.iter().any(|name| name == "process_resident_memory_bytes"), "{text}");
    let bare: Vec<_> = types.iter().filter(|name| !helps.contains(name)).collect();
    assert!(bare.is_empty(), "these metrics have no description: {bare:?}");
}

/// A request whose last byte is still to come.
fn half_a_request(up: &Up) -> TcpStream {
    let mut stream = TcpStream::connect(up.address("ingress")).unwrap();
    let head = "POST /default/default HTTP/1.1\r\nHost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n\
                ce-type: t\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // The server asks for the body: so it has read the head, and this is a request that was begun.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));
    stream.write_all(b"hell").unwrap();
    stream
}

fn wait_until_stopping(up: &Up) {
    let mut answers = std::iter::repeat_with(|| get(up.address("metrics"), "/readyz"));
    let (status, body) = answers.find(|(status, _)| *status != 200).expect("it is asked for ever");
    assert_eq!((status, body.as_str()), (503, "stopping\n"));
}

#[test]
fn a_stop_finishes_what_was_begun() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let mut stream = half_a_request(&up);
    up.running.ask_to_stop();
    wait_until_stopping(&up);
    stream.write_all(b"o").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(up.running.wait().code(), Some(0));
}

/// A node that only takes events in has nobody to give them to yet: it says so, and can be stopped.
#[test]
fn a_node_without_a_cluster_says_what_it_waits_for() {
    let (metrics, nobody) = (closed(), closed().to_string());
    let mut command = pelton();
    command.args(["server", "--name", "i", "--role", "ingress", "--join", &nobody, "--log", "warn"]);
    command.args(["--ingress-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
    let running = Running::start(command.args(["--metrics-listen", &metrics.to_string()]));
    let url = format!("http://{metrics}");
    let mut answers = std::iter::repeat_with(|| run(pelton().args(["ready", "--metrics", &url])));
    let (_, _, said) = answers.find(|(code, _, said)| *code == 1 && !said.contains("starting")).unwrap();
    assert!(said.contains("waiting for a node of a cluster") && said.contains(&nobody), "{said}");
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let _stream = half_a_request(&up);
    up.running.ask_to_stop();
    wait_until_stopping(&up);
    up.running.ask_to_stop();
    assert_eq!(up.running.wait().code(), Some(130));
}

#[test]
fn one_data_folder_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let _up = Up::start(folder.path(), &[]);
    let mut second = pelton();
    second.arg("up").arg("--data").arg(folder.path().join("data"));
    for listen in ["--ingress-listen", "--gateway-listen", "--api-listen", "--metrics-listen"] {
        second.args([listen, "127.0.0.1:0"]);
    }
    let (code, _, stderr) = run(&mut second);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("data"), "{stderr}");
}

#[test]
fn a_session_from_up_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    assert_eq!(get(up.address("metrics"), "/readyz").0, 200);
    assert_eq!(get(up.address("metrics"), "/healthz").0, 200);
    let brokers = up.ok(&["get", "brokers"]);
    assert!(brokers.contains("default") && brokers.contains("True"), "{brokers}");

    let status = up.ok(&["status"]);
    assert!(status.starts_with("1 node, all is well") && status.contains("registry"), "{status}");
    let metrics = format!("http://{}", up.address("metrics"));
    assert_eq!(up.ok(&["ready", "--metrics", &metrics]), "ready\n");

    let display = Running::start(pelton().args(["display", "--listen", "127.0.0.1:0", "--fail-first", "1"]));
    let url = display.line_with("Waiting for events").split_whitespace().last().unwrap().to_owned();
    let manifest = folder.path().join("trigger.yaml");
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: shown}\n\
                spec: {broker: default, filters: [{prefix: {type: cli.}}], subscriber: {uri: 'URL'},\n\
                delivery: {retry: 3, backoffPolicy: linear, backoffDelay: PT0.1S}}\n";
    std::fs::write(&manifest, text.replace("URL", &url)).unwrap();
    let applied = up.ok(&["apply", "-f", &manifest.display().to_string()]);
    assert_eq!(applied, "trigger.eventing.knative.dev/shown created\n");
    let listed = up.ok(&["get", "triggers", "-o", "wide"]);
    assert!(listed.contains("shown") && listed.contains(&url) && listed.contains("prefix"), "{listed}");
    // Its status would be another a moment later, and with it the version that the text is of.
    up.ok(&["wait", "--for=condition=Ready", "trigger/shown"]);
    let yaml = up.ok(&["get", "triggers", "-o", "yaml"]);
    let again = folder.path().join("again.yaml");
    std::fs::write(&again, yaml).unwrap();
    let again = up.ok(&["apply", "-f", &again.display().to_string()]);
    assert_eq!(again, "trigger.eventing.knative.dev/shown unchanged\n");

    let sent =
        up.ok(&["send", "--type", "cli.first", "--id", "a-1", "--data", r#"{"n":1.50}"#, "-x", "partitionkey=k"]);
    assert!(sent.starts_with("202"), "{sent}");
    // The display answers the first attempt with 500, so that the second line is the retry.
    assert!(display.line_with("cli.first").contains("500"));
    assert!(display.line_with("cli.first").contains("200"));
    display.line_with("1.50");

    up.ok(&["trigger", "pause", "shown"]);
    assert!(up.ok(&["get", "triggers", "-o", "wide"]).contains("true"));
    let many = up.ok(&["send", "--type", "cli.second", "--id", "b", "--count", "3", "--structured"]);
    assert!(many.starts_with("3 of 3 accepted"), "{many}");
    up.ok(&["trigger", "resume", "shown"]);
    for _ in 0..3 {
        display.line_with("cli.second");
    }
    up.ok(&["trigger", "rewind", "shown", "--to", "earliest"]);
    display.line_with("cli.first");

    assert_eq!(up.ok(&["deadletters", "list", "-o", "json"]).trim(), "[]");
    let (code, _, stderr) = run(&mut up.command(&["deadletters", "show", "--trigger", "shown", "--position", "1/0"]));
    assert_eq!(code, 1, "{stderr}");
    every_metric_is_described(&get(up.address("metrics"), "/metrics").1);
    up.ok(&["delete", "trigger", "shown"]);
    let (code, _, stderr) = run(&mut up.command(&["delete", "trigger", "shown"]));
    assert!(code == 1 && stderr.contains("(NotFound)"), "{stderr}");

    let Up { running, .. } = up;
    assert_eq!(running.stop().code(), Some(0));
    assert!(!folder.path().join("ready.json").exists(), "the file goes with the process");
    let (code, stdout, stderr) = run(pelton().args(["log", "verify"]).arg(folder.path().join("data")));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.ends_with("whole\n"), "{stdout}");
    assert_eq!(display.stop().code(), Some(0));
}

/// Everything running, a subscriber, and a Trigger `t` for it that gives up after two attempts.
fn up_with_display(folder: &Path, more: &[&str]) -> (Up, Running) {
    let manifest = folder.join("t.yaml");
    let display = Running::start(pelton().args(["display", "--listen", "127.0.0.1:0"]).args(more));
    let url = display.line_with("Waiting for events").split_whitespace().last().unwrap().to_owned();
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n\
                spec: {broker: default, subscriber: {uri: 'URL'}, delivery: {retry: 1, backoffDelay: PT0.01S}}\n";
    std::fs::write(&manifest, text.replace("URL", &url)).unwrap();
    (Up::start(folder, &["-f", &manifest.display().to_string()]), display)
}

/// The dead letters, once there are some or none. Progress is stored within a tenth of a second.
fn letters(up: &Up, some: bool) -> serde_json::Value {
    let lists = std::iter::repeat_with(|| up.ok(&["deadletters", "list", "-o", "json"]));
    let parsed = lists.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
    let is_it = |list: &serde_json::Value| list.as_array().unwrap().is_empty() != some;
    parsed.take(1000).find(is_it).expect("the list changes")
}

#[test]
fn a_dead_letter_that_is_sent_again_is_delivered_and_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (up, display) = up_with_display(folder.path(), &["--fail-first", "2"]);
    up.ok(&["send", "--type", "second.chance", "--id", "x", "--data", "hello again"]);
    for _ in 0..2 {
        assert!(display.line_with("second.chance").contains("500"));
    }
    let kept = letters(&up, true);
    let position = kept[0]["position"].as_str().unwrap();
    assert_eq!(up.ok(&["deadletters", "redrive", "--trigger", "t", "--position", position]), "1 sent again\n");
    assert!(display.line_with("second.chance").contains("200"));
    display.line_with("hello again");
    letters(&up, false);
    let again = run(&mut up.command(&["deadletters", "redrive", "--trigger", "t", "--position", position]));
    assert_eq!(again.0, 1, "it is gone: {again:?}");
}

/// Below the durable mark nothing is cut: it is named, and nothing is opened over it.
#[test]
fn a_flipped_byte_of_the_log_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    for word in ["find-this-one", "and-this-after-it", "and-one-more"] {
        up.ok(&["send", "--type", "t", "--data", word]);
    }
    let Up { running, .. } = up;
    assert_eq!(running.stop().code(), Some(0));
    let data = folder.path().join("data");
    let flip = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        let at = bytes.windows(13).position(|window| window == b"find-this-one")?;
        bytes[at] ^= 1;
        std::fs::write(file, bytes).unwrap();
        Some(file.file_name()?.to_str()?.to_owned())
    };
    let files = std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut flipped = files.filter(|file| file.is_file()).filter_map(|file| flip(&file));
    let segment = flipped.next().expect("the data is in a file of the log");

    let (code, stdout, stderr) = run(pelton().args(["log", "verify"]).arg(&data));
    assert_eq!(code, 1, "{stdout}{stderr}");
    assert!(stderr.contains("the log is damaged"), "{stderr}");
    assert!(!stdout.contains("whole\n"), "{stdout}");
    let finding = stdout.lines().find(|line| line.starts_with("WOULD NOT OPEN") || line.starts_with("DAMAGED"));
    assert!(finding.is_some_and(|line| line.contains(&segment)), "{segment} is not named: {stdout}");

    let mut again = pelton();
    again.arg("up").arg("--data").arg(&data);
    for listen in ["--ingress-listen", "--gateway-listen", "--api-listen", "--metrics-listen"] {
        again.args([listen, "127.0.0.1:0"]);
    }
    let (code, _, stderr) = run(&mut again);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(&segment), "{segment} is not named: {stderr}");
}

#[test]
fn dead_letters_are_listed_shown_and_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let (up, display) = up_with_display(folder.path(), &["--status", "503"]);
    let ingress = format!("http://{}/default/default", up.address("ingress"));
    up.ok(&["send", &ingress, "--type", "lost.letter", "--id", "x\u{202e}y", "--data", "hello"]);
    display.line_with("lost.letter");
    display.line_with("lost.letter");
    let letters = letters(&up, true);
    assert_eq!(letters[0]["type"], "lost.letter", "{letters}");
    assert_eq!((letters[0]["attempts"].as_u64(), letters[0]["code"].as_u64()), (Some(2), Some(503)));
    let table = up.ok(&["deadletters", "list", "--trigger", "default/t"]);
    assert!(table.contains("retries-exhausted") && !table.contains('\u{202e}'), "{table}");
    let position = letters[0]["position"].as_str().unwrap();
    let shown = up.ok(&["deadletters", "show", "--trigger", "t", "--position", position]);
    assert!(shown.contains("hello") && shown.contains("503"), "{shown}");
    assert_eq!(up.ok(&["deadletters", "discard", "--trigger", "t", "--position", position]), "1 discarded\n");
    assert_eq!(up.ok(&["deadletters", "redrive", "--all"]), "0 sent again\n");
}

#[test]
fn resources_are_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("b.yaml");
    std::fs::write(&manifest, "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: kept}\n").unwrap();
    let up = Up::start(folder.path(), &["-f", &manifest.display().to_string()]);
    let uid = |up: &Up| -> serde_json::Value {
        let list: serde_json::Value = serde_json::from_str(&up.ok(&["get", "brokers", "-o", "json"])).unwrap();
        let items = list["items"].as_array().unwrap();
        items.iter().find(|item| item["metadata"]["name"] == "kept").unwrap()["metadata"]["uid"].clone()
    };
    let before = uid(&up);
    let Up { running, .. } = up;
    assert_eq!(running.stop().code(), Some(0));
    let up = Up::start(folder.path(), &[]);
    assert_eq!(uid(&up), before);
}
