//! WebSockets (RFC 6455): both ends by hand, and how long one lives.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::service::{Client, get, metric, node_with, service};
use super::support::{wait_for, wait_until};

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// Reads a frame: its first byte, and what it carries without the mask. Short ones only.
fn read_frame(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head)?;
    if head[1] & 0x7f > 125 {
        return Err(ErrorKind::Unsupported.into());
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        from.read_exact(&mut mask)?;
    }
    let mut carried = vec![0; usize::from(head[1] & 0x7f)];
    from.read_exact(&mut carried)?;
    carried.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((head[0], carried))
}

/// A frame as a client sends it (masked), or as a server does.
fn frame(first: u8, carried: &[u8], is_client: bool) -> Vec<u8> {
    let mut out = vec![first, carried.len() as u8 | if is_client { 0x80 } else { 0 }];
    let mask = if is_client { [1, 2, 3, 4] } else { [0; 4] };
    if is_client {
        out.extend_from_slice(&mask);
    }
    out.extend(carried.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn code_of(carried: &[u8]) -> u16 {
    carried.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
}

/// The consumer's side: says back what is said, and tells with which code the other side said goodbye.
pub fn serve(
    mut read: BufReader<TcpStream>,
    mut write: TcpStream,
    goodbye: impl FnOnce(String) -> io::Result<()>,
) -> io::Result<()> {
    write.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")?;
    loop {
        let (first, carried) = read_frame(&mut read)?;
        write.write_all(&frame(first, &carried, false))?;
        if first == CLOSE {
            return goodbye(format!("close {}", code_of(&carried)));
        }
    }
}

/// A client's side.
pub struct WebSocket(TcpStream);

impl WebSocket {
    /// Changes the protocol of a new connection.
    #[track_caller]
    pub fn open(mut client: Client, host: &str) -> Self {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
        client.connection().write(head.as_bytes()).unwrap();
        let mut stream = client.connection().writer();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket\r\n"), "{head}");
        Self(stream)
    }

    /// Says something, which must come back.
    #[track_caller]
    fn says(&mut self, text: &str) {
        self.0.write_all(&frame(TEXT, text.as_bytes(), true)).unwrap();
        assert_eq!(read_frame(&mut self.0).unwrap(), (TEXT, text.as_bytes().to_vec()));
    }
}

/// spec/serving.md 10, "Acceptance checks" (knative/serving#16638): a WebSocket lives through two scale-downs, whatever is
/// decided meanwhile, and past all timeouts of a request.
#[test]
fn a_websocket_lives_through_two_scale_downs() {
    const HOST: &str = "ws.default.localhost";
    let folder = tempfile::tempdir().unwrap();
    let quick = [
        ("autoscaling.knative.dev/window", "6s"),
        ("autoscaling.knative.dev/target", "2"),
        ("autoscaling.knative.dev/max-scale", "3"),
        ("pelton.dev/idle-pause", "100ms"),
    ];
    let more = "      timeoutSeconds: 5\n      responseStartTimeoutSeconds: 2\n      idleTimeoutSeconds: 2\n";
    let node = node_with(folder.path(), &service("ws", &[], &quick, more));
    let mut socket = WebSocket::open(Client::of(&node, HOST), HOST);
    socket.says("hello");
    for round in 0..2 {
        let gate = folder.path().join(format!("gate-{round}"));
        let mut busy = std::collections::VecDeque::new();
        wait_for("more instances", || {
            // Each lasts no longer than a request may, so there are always new ones.
            let mut client = Client::of(&node, HOST);
            client.send("GET", &format!("/hold?{}", gate.display()), "", b"").unwrap();
            busy.push_back(client);
            if busy.len() > 30 {
                busy.pop_front();
            }
            let count = metric(&node, "kn_revision_pods_count");
            if count >= 3.0 { Ok(()) } else { Err(format!("{count} instances")) }
        });
        socket.says("while there are three");
        std::fs::write(&gate, "").unwrap();
        drop(busy);
        wait_until("one instance to be left", || metric(&node, "kn_revision_pods_count") == 1.0);
        socket.says("while there is one");
    }
    assert_eq!(get(&node, HOST, "/").status(), 200);
    socket.says("to the end");
}

/// Both ends are told why, between two frames, and the gateway does not wait for long.
#[test]
fn a_websocket_is_closed_with_1001_when_the_gateway_stops() {
    const HOST: &str = "ws.default.localhost";
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let node = node_with(folder.path(), &service("ws", &["record", record.to_str().unwrap()], &[], ""));
    let mut socket = WebSocket::open(Client::of(&node, HOST), HOST);
    socket.says("hello");
    node.process.signal(rustix::process::Signal::TERM);
    let (first, carried) = read_frame(&mut socket.0).unwrap();
    assert_eq!((first, code_of(&carried)), (CLOSE, 1001));
    socket.0.write_all(&frame(CLOSE, &carried, true)).unwrap();
    assert_eq!(read_frame(&mut socket.0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    drop(socket);
    assert_eq!(node.process.wait().code(), Some(0), "{}", node.process.said());
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "close 1001\n");
}

/// RFC 8441: over HTTP/2, to an instance that knows HTTP/1.1 alone; beside other requests of the same connection.
#[test]
fn a_websocket_over_http2_reaches_an_instance_of_http1() {
    const HOST: &str = "ws.default.localhost";
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let idle = [("pelton.dev/idle-pause", "100ms")];
    let more = "      timeoutSeconds: 2\n";
    let node = node_with(folder.path(), &service("ws", &["record", record.to_str().unwrap()], &idle, more));
    super::streams::block_on(async {
        let mut sender = super::streams::connect(&node).await;
        let plain = |path: &str| http::Request::get(format!("http://{HOST}{path}")).body(Default::default()).unwrap();
        // After an answer the client knows what the gateway allows.
        assert_eq!(sender.send_request(plain("/")).await.unwrap().status(), 200);
        let mut asks = plain("/chat");
        *asks.method_mut() = http::Method::CONNECT;
        asks.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        let mut agrees = sender.send_request(asks).await.unwrap();
        assert_eq!(agrees.status(), 200);
        let stream = hyper::upgrade::on(&mut agrees).await.unwrap();
        let mut stream = TokioIo::new(stream);
        for text in ["hello", "still there"] {
            stream.write_all(&frame(TEXT, text.as_bytes(), true)).await.unwrap();
            let mut back = vec![0; 2 + text.len()];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, frame(TEXT, text.as_bytes(), false));
            // Longer than a request may take, with others meanwhile.
            let began = std::time::Instant::now();
            while began.elapsed().as_millis() < 2_500 {
                assert_eq!(sender.send_request(plain("/")).await.unwrap().status(), 200);
            }
        }
        stream.write_all(&frame(CLOSE, &1000_u16.to_be_bytes(), true)).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, frame(CLOSE, &1000_u16.to_be_bytes(), false));
        // An instance that does not want to is not taken at its word.
        let mut asks = plain("/");
        *asks.method_mut() = http::Method::CONNECT;
        asks.extensions_mut().insert(hyper::ext::Protocol::from_static("unknown"));
        assert_eq!(sender.send_request(asks).await.unwrap().status(), 502);
        assert_eq!(sender.send_request(plain("/")).await.unwrap().status(), 200);
    });
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "close 1000\n");
}
