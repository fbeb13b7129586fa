//! The consumers of `examples/`, each run by the built binary: from nothing to a delivered event and its reply, and back to
//! zero. One whose interpreter or compiler is not here is skipped, with a word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::http::call;
use support::skip::has;
use support::{Node, Start, skipped, wait_for};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Where an example is run from: what must be made is made in `folder`.
fn made(language: &str, folder: &Path) -> PathBuf {
    if language != "rust" {
        return examples();
    }
    let made = folder.join("rust");
    std::fs::create_dir(&made).unwrap();
    let source = examples().join("rust/consumer.rs");
    let built = Command::new("rustc").arg("-O").arg("-o").arg(made.join("consumer")).arg(source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.to_owned()
}

/// A node with the example as its `service.yaml` says, put to where it is here as examples/README.md does.
fn node_with(language: &str, folder: &Path) -> Node {
    let text = std::fs::read_to_string(examples().join(language).join("service.yaml")).unwrap();
    let place = made(language, folder).display().to_string();
    assert!(text.contains("/srv/examples/"), "{text}");
    let node = Start::new(folder).manifest(&text.replace("/srv/examples", &place)).args(&["--log", "warn"]).node();
    for plural in ["services", "triggers"] {
        wait_for("the example to be ready", || {
            let it = node.resource(plural, &format!("{language}-consumer"));
            let conditions = it["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is_ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            if is_ready { Ok(()) } else { Err(format!("{it:#}")) }
        });
    }
    node
}

/// Waits until no process of the consumer is left, nor one begun.
fn wait_for_zero(node: &Node, language: &str) {
    wait_for("nothing to run", || {
        let instances = node.get(&format!("/v1/services/default/{language}-consumer/instances"));
        let revision = &instances["items"][0];
        let is_none = ["running", "paused", "starting", "stopping"].iter().all(|state| revision[state] == 0);
        if is_none { Ok(()) } else { Err(format!("{instances:#}")) }
    });
}

/// What the consumer printed so far: the stream and the text of each line.
fn printed(node: &Node, language: &str) -> Vec<(String, String)> {
    let answer = call(node.api, "GET", &format!("/v1/services/default/{language}-consumer/logs"), "", b"");
    let records = answer.text();
    let records = records.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    records.filter(|record| record["type"] == "line").map(|it| (text(&it["stream"]), text(&it["text"]))).collect()
}

fn goes_from_zero_to_an_answer_and_back(language: &str, program: &str) {
    if let Err(why) = has(program) {
        return skipped(&format!("the example in {language}"), &why);
    }
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(language, folder.path());
    wait_for_zero(&node, language);
    let headers = "ce-specversion: 1.0\r\nce-id: a-1\r\nce-source: /shop\r\nce-type: com.example.order.placed\r\n\
                   content-type: application/json\r\n";
    let answer = call(node.ingress, "POST", "/default/default", headers, br#"{"item":"wheel"}"#);
    assert_eq!(answer.status(), 202, "{}", answer.text());
    // The order, and the event that it was answered with, which the Trigger wants as well.
    let order = r#"com.example.order.placed a-1 {"item":"wheel"}"#;
    wait_for("the order and its confirmation", || {
        let lines = printed(&node, language);
        let is_confirmed = |text: &str| {
            let data = text.strip_prefix("com.example.order.confirmed a-1-confirmed ");
            let data = data.and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
            data.is_some_and(|data| data["order"]["item"] == "wheel" && data["by"] == language)
        };
        let both = lines.iter().any(|(_, text)| text == order) && lines.iter().any(|(_, text)| is_confirmed(text));
        if both { Ok(()) } else { Err(format!("{lines:#?}")) }
    });
    wait_for_zero(&node, language);
    assert_eq!(node.metric("pelton_trigger_retries_total"), 0.0);
    let lines = printed(&node, language);
    assert_eq!(lines.iter().filter(|(_, text)| text == order).count(), 1, "{lines:#?}");
    assert!(lines.iter().all(|(stream, _)| stream == "stdout"), "it ended without a word of complaint: {lines:#?}");
    node.process.stop();
}

/// How a consumer ends that gets SIGTERM when `until` has returned.
fn ends_when_told(program: &Path, arguments: &[PathBuf], until: impl Fn(u32)) -> ExitStatus {
    let mut command = Command::new(program);
    command.args(arguments).env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::null());
    let mut consumer = Running(command.spawn().unwrap());
    until(consumer.0.id());
    kill_process(Pid::from_child(&consumer.0), Signal::TERM).unwrap();
    wait_for("the consumer to end", || consumer.0.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()))
}

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The port at which a process listens, once it does (proc(5): the state of such a socket is 0A).
fn port_of(pid: u32) -> u16 {
    wait_for("the consumer to listen", || {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(|error| error.to_string())?;
        let links = links.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        let own: Vec<_> = links.map(|link| link.display().to_string()).collect();
        let port = table.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_ours = fields.len() > 9 && fields[3] == "0A" && own.contains(&format!("socket:[{}]", fields[9]));
            u16::from_str_radix(fields[1].rsplit_once(':')?.1, 16).ok().filter(|_| is_ours)
        });
        port.ok_or_else(|| "not yet".to_owned())
    })
}

/// SIGTERM ends a consumer from its first moment on; once it serves, one that finishes what it has begun ends by itself.
fn ends_on_sigterm(language: &str, program: &str, file: &str) {
    if let Err(why) = has(program) {
        return skipped(&format!("SIGTERM for the example in {language}"), &why);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = made(language, folder.path()).join(language).join(file);
    let (program, arguments) =
        if language == "rust" { (file, Vec::new()) } else { (PathBuf::from(program), vec![file]) };
    let by_signal = |status: ExitStatus| status.signal() == Some(Signal::TERM.as_raw());
    let at_once = ends_when_told(&program, &arguments, |_| {});
    let listening = ends_when_told(&program, &arguments, |pid| {
        port_of(pid);
    });
    for status in [at_once, listening] {
        assert!(status.success() || by_signal(status), "{language}: {status}");
    }
    let serving = ends_when_told(&program, &arguments, |pid| {
        let headers = "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: other\r\n";
        assert_eq!(call(([127, 0, 0, 1], port_of(pid)).into(), "POST", "/", headers, b"").status(), 204);
    });
    // Nothing in Rust's standard library takes a signal.
    assert!(serving.success() || (language == "rust" && by_signal(serving)), "{language}: {serving}");
}

#[test]
fn rust_goes_from_zero_to_an_answer_and_back() {
    goes_from_zero_to_an_answer_and_back("rust", "rustc");
}

#[test]
fn python_goes_from_zero_to_an_answer_and_back() {
    goes_from_zero_to_an_answer_and_back("python", "python3");
}

#[test]
fn node_goes_from_zero_to_an_answer_and_back() {
    goes_from_zero_to_an_answer_and_back("node", "node");
}

#[test]
fn a_consumer_ends_on_sigterm_from_its_first_moment_on() {
    for (language, program, file) in
        [("rust", "rustc", "consumer"), ("python", "python3", "consumer.py"), ("node", "node", "consumer.js")]
    {
        ends_on_sigterm(language, program, file);
    }
}
