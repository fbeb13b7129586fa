//! Answers that take their time: gRPC over HTTP/2, server-sent events, and what becomes of them when the gateway stops.

use std::io::{self, BufRead as _, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::consumer_h2c::message;
use super::service::{Client, get, metric, node_with, service};
use super::support::{Node, wait_until};

const HOST: &str = "hello.default.localhost";

/// A Service that speaks HTTP/2.
pub fn h2c(name: &str) -> String {
    let manifest = service(name, &["h2c"], &[], "");
    let with_port = manifest.replace("        - command:", "        - ports: [{name: h2c}]\n          command:");
    assert_ne!(manifest, with_port);
    with_port
}

fn add_line(file: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A connection of HTTP/2 to the gateway, driven by a task.
pub async fn connect(node: &Node) -> http2::SendRequest<Full<Bytes>> {
    connect_to(node.gateway.unwrap()).await
}

/// The same to a gateway that listens there.
pub async fn connect_to(gateway: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A call of gRPC, whose answer began well.
pub async fn call(sender: &mut http2::SendRequest<Full<Bytes>>, method: &str, asked: &str) -> Response<Incoming> {
    let request = Request::post(format!("http://{HOST}/test.Test/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message(asked.as_bytes())))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    answer
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let within = super::support::wait::DEADLINE;
    runtime.block_on(async { tokio::time::timeout(within, work).await.expect("it took too long") })
}

/// spec/serving.md 1.2 (6).
#[test]
fn grpc_passes_with_its_trailers_and_messages_come_as_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &h2c("hello"));
    block_on(async {
        let mut sender = connect(&node).await;
        let answer = call(&mut sender, "Unary", "hello").await.into_body().collect().await.unwrap();
        let trailers = answer.trailers().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-from"]),
            (&"0".parse().unwrap(), &"the consumer".parse().unwrap())
        );
        assert_eq!(answer.to_bytes(), message(b"hello"));

        let lines = folder.path().join("lines");
        add_line(&lines, "first");
        let mut answer = call(&mut sender, "Lines", lines.to_str().unwrap()).await.into_body();
        for (line, next) in [("first", "second"), ("second", "third"), ("third", "end")] {
            let mut piece = Vec::new();
            while piece.len() < 5 + line.len() {
                piece.extend_from_slice(&answer.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            assert_eq!(piece, message(line.as_bytes()));
            // The next is not there before this one was read.
            add_line(&lines, next);
        }
        let trailers = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");

        let failed = call(&mut sender, "Nothing", "").await;
        assert_eq!(failed.headers()["grpc-status"], "12");
        assert!(failed.into_body().collect().await.unwrap().to_bytes().is_empty());
    });
}

/// A client of HTTP/1.1 and one that has HTTP/2 reach either kind of consumer.
#[test]
fn versions_of_http_are_those_of_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &[h2c("new"), service("hello", &[], &[], "")].concat());
    let mut old = Client::of(&node, "new.default.localhost");
    let answer = old.call("POST", "/test.Test/Unary", "te: trailers\r\n", &message(b"x")).unwrap();
    assert_eq!((answer.status(), answer.body), (200, message(b"x").to_vec()));
    block_on(async {
        let mut sender = connect(&node).await;
        let request = Request::post(format!("http://{HOST}/echo")).body(Full::from("body")).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "body");
    });
}

#[test]
fn server_sent_events_come_as_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let events = folder.path().join("events");
    let mut client = Client::of(&node, HOST);
    client.send("GET", &format!("/sse?{}", events.display()), "accept: text/event-stream\r\n", b"").unwrap();
    let mut answer = io::BufReader::new(client.connection().writer());
    add_line(&events, "first");
    for (event, next) in [("first", "second"), ("second", "third"), ("third", "end")] {
        let mut line = String::new();
        while line.trim_end() != format!("data: {event}") {
            line.clear();
            assert_ne!(answer.read_line(&mut line).unwrap(), 0, "it ended before {event}");
        }
        add_line(&events, next);
    }
    // The end of the last chunk: the connection itself goes on.
    let mut line = String::new();
    while line.trim_end() != "0" {
        line.clear();
        assert_ne!(answer.read_line(&mut line).unwrap(), 0, "it broke off");
        assert!(!line.starts_with("data:"), "{line:?}");
    }
}

/// The least of HTTP/2 (RFC 9113): what a library would hide.
struct RawH2(TcpStream);

#[derive(Debug)]
struct RawFrame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

impl RawH2 {
    fn connect(node: &Node) -> Self {
        let mut stream = TcpStream::connect(node.gateway.unwrap()).unwrap();
        stream.set_read_timeout(Some(super::support::wait::DEADLINE)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut raw = Self(stream);
        raw.send(4, 0, 0, b"");
        raw
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat()).unwrap();
    }

    /// A GET: literals that no table knows (RFC 7541, section 6.2.2).
    fn get(&mut self, stream: u32, path: &str) {
        let mut block = Vec::new();
        for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", HOST), (":path", path)] {
            block.push(0);
            for text in [name, value] {
                assert!(text.len() < 127, "a longer one is written in another way");
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, 4 | END_STREAM, stream, &block);
    }

    /// The next frame, with a PING answered on the way; `None` at the end.
    fn frame(&mut self) -> Option<RawFrame> {
        loop {
            let frame = self.any_frame()?;
            if frame.kind != PING || frame.flags & ACK != 0 {
                return Some(frame);
            }
            self.send(PING, ACK, 0, &frame.payload);
        }
    }

    fn any_frame(&mut self) -> Option<RawFrame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(RawFrame { kind: head[3], flags: head[4], stream, payload })
    }
}

/// Clients of HTTP/2 are told, and what they have asked before is answered.
#[test]
fn an_http2_client_is_told_to_go_away_when_the_gateway_stops_and_its_request_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let gate = folder.path().join("gate");
    let mut raw = RawH2::connect(&node);
    raw.get(1, &format!("/hold?{}", gate.display()));
    wait_until("the request to be on its way", || metric(&node, "kn_revision_request_active") == 1.0);
    node.process.signal(rustix::process::Signal::TERM);
    let mut before = Vec::new();
    let goaway = loop {
        match raw.frame().expect("GOAWAY before the end") {
            frame if frame.kind == GOAWAY => break frame,
            frame => before.push(frame),
        }
    };
    assert_eq!((goaway.stream, &goaway.payload[4..8]), (0, &[0; 4][..]), "NO_ERROR");
    assert!(before.iter().all(|frame| frame.kind != HEADERS && frame.kind != DATA), "{before:?}");
    std::fs::write(&gate, "").unwrap();
    let mut answer = Vec::new();
    let mut has_ended = false;
    while let Some(frame) = raw.frame() {
        if frame.stream == 1 {
            has_ended |= frame.flags & END_STREAM != 0;
            if frame.kind == DATA {
                answer.extend(frame.payload);
            }
        }
    }
    assert!(has_ended && !answer.is_empty(), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(node.process.wait().code(), Some(0), "{}", node.process.said());
}

/// The same for HTTP/1.1: the answer says that it is the last.
#[test]
fn a_request_is_answered_when_the_gateway_stops_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let gate = folder.path().join("gate");
    let (mut client, mut idle) = (Client::of(&node, HOST), Client::of(&node, HOST));
    assert_eq!(idle.get("/").status(), 200);
    assert_eq!(get(&node, HOST, "/").status(), 200);
    // Those before count until their answers are written, and must not be taken for this one: what was not read yet when the
    // gateway stops is not answered.
    wait_until("no request to be on its way", || metric(&node, "kn_revision_request_active") == 0.0);
    client.send("GET", &format!("/hold?{}", gate.display()), "", b"").unwrap();
    wait_until("the request to be on its way", || metric(&node, "kn_revision_request_active") == 1.0);
    node.process.signal(rustix::process::Signal::TERM);
    assert!(idle.connection().ends_within(super::support::wait::DEADLINE));
    std::fs::write(&gate, "").unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    assert_eq!(node.process.wait().code(), Some(0), "{}", node.process.said());
}

/// A client that takes nothing of its answer has no place at the instance any more once the time of its request is up.
#[test]
fn a_stream_that_stands_still_gives_its_place_back_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let one = [("autoscaling.knative.dev/max-scale", "1")];
    let spec = "      containerConcurrency: 1\n      timeoutSeconds: 2\n";
    let node = node_with(folder.path(), &service("hello", &[], &one, spec));
    let answer = block_on(async {
        let stream = tokio::net::TcpStream::connect(node.gateway.unwrap()).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) =
            builder.initial_stream_window_size(1_024).handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = Full::new(Bytes::from(vec![b'x'; 1024 * 1024]));
        let echoed =
            sender.send_request(Request::post(format!("http://{HOST}/echo")).body(body).unwrap()).await.unwrap();
        assert_eq!(echoed.status(), 200);
        let gateway = node.gateway.unwrap();
        // The only place is taken until then.
        let other = tokio::task::spawn_blocking(move || Client::at(gateway, HOST).get("/pid")).await.unwrap();
        assert!(echoed.into_body().collect().await.is_err(), "it is not taken for whole");
        other
    });
    assert_eq!(answer.status(), 200, "{}", answer.text());
}
