//! The floods that HTTP/2 servers have fallen to, frame by frame. The connection that sends one is closed with a GOAWAY
//! or cut, at a bound, and others are served meanwhile and after.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Producer, event, soon, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(body);
    frame
}

/// HPACK (RFC 7541) of a POST of a good event, without a dynamic table and without Huffman.
fn event_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x01, 1, b'x', 0x04, 16];
    block.extend(b"/default/default");
    for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// Frames of the nth round, which opens stream 2n+1.
type Attack = fn(u32) -> Vec<u8>;

/// CVE-2023-44487: open a stream and reset it at once.
fn rapid_reset(round: u32) -> Vec<u8> {
    let stream = 2 * round + 1;
    let mut frames = frame(HEADERS, END_HEADERS, stream, &event_headers());
    frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    frames
}

/// CVE-2025-8671: open a stream and make the server reset it, here by a window update beyond the largest window.
fn made_you_reset(round: u32) -> Vec<u8> {
    let stream = 2 * round + 1;
    let mut frames = frame(HEADERS, END_HEADERS, stream, &event_headers());
    frames.extend(frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()));
    frames
}

/// RUSTSEC-2024-0332: a header block that never ends.
fn continuation_flood(round: u32) -> Vec<u8> {
    match round {
        0 => frame(HEADERS, 0, 1, &event_headers()),
        _ => {
            let mut field = vec![0, 1, b'a', 0x7f, 0x81, 0x07];
            field.resize(6 + 1024, b'x');
            frame(CONTINUATION, 0, 1, &field)
        }
    }
}

/// RUSTSEC-2026-0258: DATA frames without data.
fn empty_data_flood(round: u32) -> Vec<u8> {
    match round {
        0 => frame(HEADERS, END_HEADERS, 1, &event_headers()),
        _ => frame(DATA, 0, 1, b""),
    }
}

/// CVE-2019-9515: settings that each ask for an acknowledgement, which nobody reads.
fn settings_flood(_round: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

/// Sends rounds until the server has had enough; the error code of its GOAWAY, if one was seen.
async fn run(address: std::net::SocketAddr, attack: Attack) -> Option<u32> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let sender = tokio::spawn(async move {
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, b""));
        write.write_all(&hello).await.unwrap();
        let mut round = 0;
        loop {
            let burst: Vec<u8> = (round..round + 100).flat_map(attack).collect();
            round += 100;
            if write.write_all(&burst).await.is_err() {
                return;
            }
            assert!(round < 10_000_000, "ten million rounds and still open");
        }
    });
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", read.read_to_end(&mut answer)).await;
    soon("the end of sending", sender).await.unwrap();
    let mut rest = &answer[..];
    while let [l2, l1, l0, kind, _flags, _, _, _, _, body @ ..] = rest {
        let length = usize::from(*l2) << 16 | usize::from(*l1) << 8 | usize::from(*l0);
        let Some((frame, after)) = body.split_at_checked(length) else { break };
        if *kind == GOAWAY {
            return Some(u32::from_be_bytes(frame[4..8].try_into().unwrap()));
        }
        rest = after;
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_end_the_connection_that_sends_them_and_no_other() {
    let (log, ingress) = start();
    let mut other = Producer::connect(ingress.local_addr()).await;
    for (name, attack) in [
        ("rapid reset", rapid_reset as Attack),
        ("made you reset", made_you_reset),
        ("continuation flood", continuation_flood),
        ("empty data flood", empty_data_flood),
    ] {
        let attacker = tokio::spawn(run(ingress.local_addr(), attack));
        while !attacker.is_finished() {
            assert_eq!(other.ask(event("x")).await.status, 202, "{name}");
        }
        // A reset of the connection may have swallowed the GOAWAY; when it came, it says why.
        let code = attacker.await.unwrap();
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{name}: {code:?}");
    }
    assert!(log.calls().iter().all(|call| call.events.len() == 1));
    assert_eq!(other.ask(event("x")).await.status, 202);
}

/// A peer that asks for acknowledgements and reads none is not answered without end: its own sending stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settings_flood_is_stopped_by_its_own_answers() {
    let log = crate::support::FakeLog::new(&["default/default"]);
    let options = pelton_ingress::Options {
        write_stall: std::time::Duration::from_millis(100),
        ..pelton_ingress::Options::default()
    };
    let ingress = crate::support::serve(&log, options);
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(ingress.local_addr()).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let burst: Vec<u8> = (0..1_000).flat_map(settings_flood).collect();
    soon("the cut", async { while stream.write_all(&burst).await.is_ok() {} }).await;
    assert_eq!(Producer::connect(ingress.local_addr()).await.ask(event("x")).await.status, 202);
}
