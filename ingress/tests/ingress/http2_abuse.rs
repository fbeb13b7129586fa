//! The floods that HTTP/2 servers have fallen to, frame by frame. The connection that sends one is closed with
//! ENHANCE_YOUR_CALM, at a bound, or has each frame answered and stops when it does not read the answers; others are
//! served meanwhile and after.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pelton_ingress::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{FakeLog, Producer, ask, event, serve, soon, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
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

/// A field of 4,000 bytes that is put into the table once, and then named in one byte, 60,000 times a block: 240 MB.
fn hpack_bomb(round: u32) -> Vec<u8> {
    let mut block = event_headers();
    if round == 0 {
        block.extend([0x40, 1, b'b', 0x7f, 0xa1, 0x1e]);
        block.resize(block.len() + 4_000, b'x');
    }
    // The newest entry of the dynamic table: index 62.
    block.resize(block.len() + 60_000, 0x80 | 62);
    frame(HEADERS, END_HEADERS, 2 * round + 1, &block)
}

/// CVE-2019-9512: pings, each of which asks for an answer.
fn ping_flood(_round: u32) -> Vec<u8> {
    frame(PING, 0, 0, b"12345678")
}

/// CVE-2019-9515: settings that each ask for an acknowledgement, which nobody reads.
fn settings_flood(_round: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, b"")
}

/// Sends rounds until the server has had enough, or so many; the error code of its GOAWAY, if there was one.
async fn run(address: SocketAddr, attack: Attack, rounds: u32) -> Option<u32> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let sender = tokio::spawn(async move {
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, b""));
        write.write_all(&hello).await.unwrap();
        let mut round = 0;
        while round < rounds {
            let burst: Vec<u8> = (round..round + BURST).flat_map(attack).collect();
            round += BURST;
            if write.write_all(&burst).await.is_err() {
                return;
            }
        }
        // That was all: the end of our side ends the connection.
        let _ = write.shutdown().await;
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

const BURST: u32 = 100;

/// Rounds of an attack that must have been stopped before.
const NEVER: u32 = 10_000_000;

/// Requests of others that are answered while an attack goes on, and attacks that end meanwhile, at least.
const GOOD_REQUESTS: usize = 200;
const ATTACKS: u32 = 5;

/// What becomes of an attack.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The connection is closed with ENHANCE_YOUR_CALM.
    Calm,
    /// So many rounds are answered, each at its own price, and nothing is held.
    Answered(u32),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_end_the_connection_that_sends_them_and_no_other() {
    let (log, ingress) = start();
    let mut other = Producer::connect(ingress.local_addr()).await;
    for (name, attack, end) in [
        ("rapid reset", rapid_reset as Attack, End::Calm),
        ("made you reset", made_you_reset, End::Calm),
        ("continuation flood", continuation_flood, End::Calm),
        ("empty data flood", empty_data_flood, End::Calm),
        ("HPACK bomb", hpack_bomb, End::Calm),
        ("ping flood", ping_flood, End::Answered(20_000)),
        ("settings flood", settings_flood, End::Answered(20_000)),
    ] {
        let (stop, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (stopping, ending, address) = (Arc::clone(&stop), Arc::clone(&ended), ingress.local_addr());
        // One attack after the other, so that there is one all the time.
        let attacker = tokio::spawn(async move {
            let mut codes = Vec::new();
            while !stopping.load(Ordering::Acquire) {
                codes.push(match end {
                    End::Calm => run(address, attack, NEVER).await,
                    End::Answered(rounds) => run(address, attack, rounds).await,
                });
                ending.fetch_add(1, Ordering::AcqRel);
            }
            codes
        });
        let mut good = 0;
        while (good < GOOD_REQUESTS || ended.load(Ordering::Acquire) < ATTACKS) && !attacker.is_finished() {
            assert_eq!(other.ask(event("x")).await.status, 202, "{name}: a connection that is there");
            assert_eq!(ask(&ingress, event("x")).await.status, 202, "{name}: a new connection");
            good += 2;
        }
        stop.store(true, Ordering::Release);
        let codes = attacker.await.unwrap();
        eprintln!("{name}: {good} requests of others answered beside {} attacks", codes.len());
        match end {
            End::Calm => assert!(codes.iter().all(|code| *code == Some(ENHANCE_YOUR_CALM)), "{name}: {codes:?}"),
            End::Answered(_) => {
                assert!(codes.iter().all(|code| code.is_none_or(|code| code == 0)), "{name}: {codes:?}")
            }
        }
    }
    assert!(log.calls().iter().all(|call| call.events.len() == 1));
    assert_eq!(other.ask(event("x")).await.status, 202);
}

/// A peer that asks for answers and reads none is not answered without end: its own sending stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_that_ask_for_answers_are_stopped_by_them() {
    let log = FakeLog::new(&["default/default"]);
    let options = Options { write_stall: Duration::from_millis(100), ..Options::default() };
    let ingress = serve(&log, options);
    for attack in [settings_flood as Attack, ping_flood] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(ingress.local_addr()).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        let burst: Vec<u8> = (0..1_000).flat_map(attack).collect();
        soon("the cut", async { while stream.write_all(&burst).await.is_ok() {} }).await;
        assert_eq!(ask(&ingress, event("x")).await.status, 202);
    }
}
