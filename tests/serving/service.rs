//! Services as YAML, and how a test asks for them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::support::http::Message;
use super::support::{Connection, Node, Start, wait_for};

/// A Service of the namespace `default` that runs this test's own consumer. `annotations` are those of its template, one a
/// line; `more` are further lines of its revision's spec.
pub fn service(name: &str, arguments: &[&str], annotations: &[(&str, &str)], more: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let words = ["--exact", "consumer::serve", "--nocapture", "--test-threads=1"];
    let command: Vec<String> = std::iter::once(program.display().to_string()).chain(words.map(str::to_owned)).collect();
    of_command(name, &command, &[("CONSUMER", &arguments.join(" "))], annotations, more)
}

/// A Service that runs any command.
pub fn of_command(
    name: &str,
    command: &[String],
    environment: &[(&str, &str)],
    annotations: &[(&str, &str)],
    more: &str,
) -> String {
    let annotations: String = annotations.iter().map(|(key, value)| format!("        {key}: {value:?}\n")).collect();
    let annotations = if annotations.is_empty() { String::new() } else { format!("      annotations:\n{annotations}") };
    let environment: String =
        environment.iter().map(|(name, value)| format!("            - {{name: {name}, value: {value:?}}}\n")).collect();
    let environment = if environment.is_empty() { String::new() } else { format!("          env:\n{environment}") };
    format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  template:\n    metadata:\n      \
         labels: {{of: test}}\n{annotations}    spec:\n{more}      containers:\n        - command: {command:?}\n{environment}---\n"
    )
}

/// A process that runs these resources, with every Service in them ready.
pub fn node_with(folder: &Path, manifest: &str) -> Node {
    let node = Start::new(folder).manifest(manifest).args(&["--log", "warn"]).node();
    for line in manifest.lines().filter_map(|line| line.strip_prefix("metadata: {name: ")) {
        let name = line.trim_end_matches('}');
        if manifest.contains(&format!("kind: Service\nmetadata: {{name: {name}}}")) {
            wait_ready(&node, name);
        }
    }
    node
}

/// Waits until a Service is ready.
#[track_caller]
pub fn wait_ready(node: &Node, name: &str) {
    wait_for("a service to be ready", || {
        let service = node.resource("services", name);
        let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if ready { Ok(()) } else { Err(format!("{service:#}")) }
    });
}

/// A connection to the gateway, for one host.
pub struct Client {
    connection: Connection,
    host: String,
}

impl Client {
    pub fn of(node: &Node, host: &str) -> Self {
        Self::at(node.gateway.unwrap(), host)
    }

    /// At a gateway that listens there.
    pub fn at(gateway: SocketAddr, host: &str) -> Self {
        Self { connection: Connection::open(gateway).unwrap(), host: host.to_owned() }
    }

    /// Sends a request, whose only `Host` is that of the client.
    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.connection.write(&[head.as_bytes(), body].concat())
    }

    pub fn answer(&mut self) -> io::Result<Message> {
        self.connection.answer()
    }

    pub fn call(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Message> {
        self.send(method, path, headers, body)?;
        self.answer()
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Message {
        self.call("GET", path, "", b"").unwrap()
    }

    /// The connection itself.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// One request by a connection of its own.
#[track_caller]
pub fn get(node: &Node, host: &str, path: &str) -> Message {
    Client::of(node, host).get(path)
}

/// Instances of a Service's revision as its status counts them, and its process ids as the consumer tells them.
#[track_caller]
pub fn pid(node: &Node, host: &str) -> String {
    let answer = get(node, host, "/pid");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.text()
}

/// The value of a metric, summed over its series.
#[track_caller]
pub fn metric(node: &Node, name: &str) -> f64 {
    metric_in(&node.metrics_text(), name)
}

/// The value of a metric in what a node shows, summed over its series.
pub fn metric_in(text: &str, name: &str) -> f64 {
    let is_of = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']);
    text.lines().filter(is_of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
