//! A node with Triggers whose subscribers answer in every way, and events for them.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::command::{pelton, run};
use crate::support::http::{Message, call};
use crate::support::sink::answer;
use crate::support::{Node, Sink, Start, trigger, wait_for};

/// Retries that are over in a moment.
const QUICK: &str = "  delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT0.02S}\n";

pub struct Scene {
    pub node: Node,
    _sink: Sink,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A Trigger for each type `to-NAME`; what its subscriber does is in [`handle`].
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let failed = Arc::<Mutex<BTreeMap<String, u32>>>::default();
        let sink = Sink::start(move |request, stream| handle(&request, stream, &failed));
        let filter = |name: &str| format!("  filters: [{{exact: {{type: to-{name}}}}}]\n{QUICK}");
        let mut manifest = String::new();
        for name in ["ok", "flaky", "broken", "wrong", "reply", "slow"] {
            manifest += &trigger(name, &format!("{}{name}", sink.url()), &filter(name));
        }
        let rests = trigger("rests", &format!("{}ok", sink.url()), &filter("rests"));
        manifest += &rests.replace("{name: rests}", "{name: rests, annotations: {pelton.dev/paused: 'true'}}");
        // One whose next attempt is an hour away.
        let patient = "  filters: [{exact: {type: to-patient}}]\n  delivery: {retry: 2, backoffPolicy: linear, backoffDelay: PT1H}\n";
        let patient = trigger("patient", &format!("{}broken", sink.url()), patient);
        manifest += &patient.replace("{name: patient}", "{name: patient, annotations: {pelton.dev/backoff-max: PT2H}}");
        let to_sink = format!(
            "  filters: [{{exact: {{type: to-sink}}}}]\n  delivery: {{retry: 0, deadLetterSink: {{uri: '{}ok'}}}}\n",
            sink.url()
        );
        manifest += &trigger("sink", &format!("{}broken", sink.url()), &to_sink);
        manifest += "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\n---\n\
                     apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: lonely}\n";
        let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "warn"]).node();
        Self { node, _sink: sink, folder }
    }

    /// Sends an event; it is acknowledged.
    #[track_caller]
    pub fn send(&self, id: &str, ty: &str) {
        self.send_to("default", id, ty, "");
    }

    /// The same, with further header lines, to some Broker.
    #[track_caller]
    pub fn send_to(&self, broker: &str, id: &str, ty: &str, headers: &str) {
        let headers = format!(
            "ce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /tests/events\r\nce-type: {ty}\r\n\
             content-type: application/json\r\n{headers}"
        );
        let answer = call(self.node.ingress, "POST", &format!("/default/{broker}"), &headers, b"{\"secret\":1}");
        assert_eq!(answer.status(), 202, "{}", answer.text());
    }

    /// Runs a command; gives its exit code and what it said.
    pub fn run(&self, words: &[&str]) -> (i32, String, String) {
        run(pelton().args(words).env("PELTON_API", self.api()).current_dir(self.folder.path()))
    }

    pub fn api(&self) -> String {
        format!("http://{}", self.node.api)
    }

    /// Runs a command that must succeed; gives its standard output.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(words);
        assert_eq!(code, 0, "pelton {words:?}: {stdout}{stderr}");
        stdout
    }

    /// What a command prints as JSON.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.ok(words)).unwrap()
    }

    /// What a Trigger did with an event, once it is in that state.
    #[track_caller]
    pub fn traced(&self, id: &str, name: &str, state: &str) -> (Value, Value) {
        wait_for(&format!("event {id} to be {state}"), || {
            let trace = self.json(&["trace", "/tests/events", id, "-o", "json"]);
            let copy = trace["copies"][0].clone();
            let triggers = copy["triggers"].as_array().cloned().unwrap_or_default();
            let trigger =
                triggers.into_iter().find(|it| it["trigger"] == format!("default/{name}")).unwrap_or_default();
            if trigger["state"] == state { Ok((copy, trigger)) } else { Err(format!("{trigger:#}")) }
        })
    }
}

fn handle(request: &Message, stream: &mut TcpStream, failed: &Mutex<BTreeMap<String, u32>>) -> io::Result<bool> {
    let id = request.header("ce-id").unwrap_or("?").to_owned();
    let path = request.first.split(' ').nth(1).unwrap_or("");
    match path {
        "/flaky" => {
            let times = {
                let mut failed = failed.lock();
                let times = failed.entry(id).or_default();
                *times += 1;
                *times
            };
            answer(stream, if times <= 2 { 503 } else { 202 }, "", b"")
        }
        "/broken" => answer(stream, 500, "", b""),
        "/wrong" => answer(stream, 400, "", b"no"),
        "/reply" => {
            let headers = format!(
                "ce-specversion: 1.0\r\nce-id: reply-to-{id}\r\nce-source: /tests/events\r\nce-type: to-ok\r\n"
            );
            answer(stream, 200, &headers, b"")
        }
        _ => answer(stream, 202, "", b""),
    }
}
