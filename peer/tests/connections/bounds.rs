//! What is cut, and what survives it.

use std::io;
use std::time::Duration;

use pelton_peer::{ChannelOptions, PeerAddress, Security, ServeOptions, channel, limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::support::{HELD, MEMORY_ADDRESS, MemoryNetwork, Node, PANIC, client, named, sized, tcp_channel};

const BUFFER_BYTES: usize = 64 * 1024;

/// Longer than any bound of the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The preface of a client of HTTP/2, and its settings: none.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A ping, RFC 9113, 6.7.
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0.......!";

fn address() -> PeerAddress {
    MEMORY_ADDRESS.parse().unwrap()
}

/// A call that works: the node is as well as before.
async fn is_well(network: &std::sync::Arc<MemoryNetwork>) {
    let channel = channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default());
    client(channel).hello(named("a")).await.unwrap();
}

/// How long it takes until the other side closes, reading whatever it says.
async fn closed_after(mut io: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let start = Instant::now();
    let mut sink = Vec::new();
    // An error is as good an end as an end.
    let _ = timeout(PATIENCE, io.read_to_end(&mut sink)).await.expect("it is still open");
    start.elapsed()
}

#[tokio::test]
async fn a_message_at_the_cap_passes_and_one_byte_more_does_not() {
    let node = Node::over_tcp(Security::Plaintext, ServeOptions::default()).await;
    let mut client = client(tcp_channel(Security::Plaintext, &node.address));
    let answer = client.hello(sized(limits::MAX_MESSAGE_BYTES)).await.unwrap().into_inner();
    assert!(answer.identity.unwrap().nonce.len() > limits::MAX_MESSAGE_BYTES - 100);
    let status = client.hello(sized(limits::MAX_MESSAGE_BYTES + 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    client.hello(named("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn headers_above_the_cap_are_refused() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut client = client(channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default()));
    let with = |size_bytes: usize| {
        let mut request = tonic::Request::new(named("a"));
        request.metadata_mut().insert("x", MetadataValue::try_from("y".repeat(size_bytes)).unwrap());
        request
    };
    client.hello(with(limits::MAX_HEADER_LIST_BYTES as usize - 1024)).await.unwrap();
    client.hello(with(limits::MAX_HEADER_LIST_BYTES as usize)).await.unwrap_err();
    client.hello(named("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_there_is_said_to_be_so() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let channel = channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default());
    let mut client = pelton_proto::consensus::v1::consensus_client::ConsensusClient::new(channel);
    assert_eq!(
        client.vote(pelton_proto::consensus::v1::VoteRequest::default()).await.unwrap_err().code(),
        Code::Unimplemented
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_is_turned_away_at_once() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\0",
        &[0; 1],
        // The preface, and then no frame of HTTP/2: settings of 2^24 - 1 bytes.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0",
    ] {
        let mut io = network.raw().await;
        io.write_all(garbage).await.unwrap();
        assert_eq!(closed_after(io).await, Duration::ZERO, "{garbage:?}");
    }
    is_well(&network).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_to_an_end_is_cut() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    for begun in [&b""[..], &HELLO[..1], &HELLO[..23]] {
        let mut io = network.raw().await;
        io.write_all(begun).await.unwrap();
        let after = closed_after(io).await;
        assert!(near(after, limits::HANDSHAKE_TIMEOUT), "{begun:?}: {after:?}");
    }
    is_well(&network).await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_does_not_come_to_an_end_is_cut() {
    let authority = crate::support::Authority::new();
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(authority.security(&["127.0.0.1"]), ServeOptions::default()).await;
    let mut io = network.raw().await;
    // The head of a client's hello of 512 bytes that never comes.
    io.write_all(b"\x16\x03\x01\x02\0").await.unwrap();
    let after = closed_after(io).await;
    assert!(near(after, limits::HANDSHAKE_TIMEOUT), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn handshakes_at_a_time_are_bounded() {
    let options = ServeOptions { max_handshakes: 2, ..ServeOptions::default() };
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, options).await;
    let (first, mut second, third) = (network.raw().await, network.raw().await, network.raw().await);
    assert_eq!(closed_after(first).await, Duration::ZERO, "the oldest gives way");
    // One that comes to its end leaves its place, and is not cut for others any more.
    second.write_all(HELLO).await.unwrap();
    assert_ne!(second.read_u8().await.ok(), None);
    let fourth = network.raw().await;
    is_well(&network).await;
    assert_eq!(closed_after(third).await, Duration::ZERO);
    let (second, fourth) = tokio::join!(closed_after(second), closed_after(fourth));
    assert!(near(fourth, limits::HANDSHAKE_TIMEOUT), "{fourth:?}");
    assert!(near(second, limits::KEEPALIVE_INTERVAL + limits::KEEPALIVE_TIMEOUT), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_of_a_connection_at_a_time_are_bounded() {
    let options = ServeOptions { max_concurrent_streams: 1, ..ServeOptions::default() };
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let node = network.node(Security::Plaintext, options).await;
    let client = client(channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default()));
    let call = |name| {
        let mut client = client.clone();
        tokio::spawn(async move { client.hello(named(name)).await })
    };
    // Now the client knows of the bound.
    call("a").await.unwrap().unwrap();
    let held = call(HELD);
    node.echo.arrived.notified().await;
    let mut second = call("b");
    timeout(Duration::from_secs(1), &mut second).await.expect_err("it does not wait for its turn");
    node.echo.release.notify_one();
    held.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_at_a_time_are_bounded() {
    let options = ServeOptions { max_connections: 1, ..ServeOptions::default() };
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, options).await;
    let connect = || client(channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default()));
    let mut first = connect();
    first.hello(named("a")).await.unwrap();
    connect().hello(named("b")).await.unwrap_err();
    first.hello(named("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_gives_no_sign_of_life_is_cut() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut io = network.raw().await;
    io.write_all(HELLO).await.unwrap();
    let after = closed_after(io).await;
    assert!(near(after, limits::KEEPALIVE_INTERVAL + limits::KEEPALIVE_TIMEOUT), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_writes_and_never_reads_is_cut() {
    // Little is on its way before a write waits: the answers to a few pings.
    let network = MemoryNetwork::new(256);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut io = network.raw().await;
    io.write_all(HELLO).await.unwrap();
    let start = Instant::now();
    // Each ping wants an answer, and shows that the peer lives.
    let pings = async {
        loop {
            if let Err(error) = io.write_all(PING).await {
                break error;
            }
            tokio::time::advance(Duration::from_millis(200)).await;
        }
    };
    let error = timeout(PATIENCE, pings).await.expect("it is still let be");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    assert!(start.elapsed() < limits::WRITE_STALL_TIMEOUT + Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gives_no_sign_of_life_fails_the_call() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let listener = pelton_peer::Network::listen(&*network, MEMORY_ADDRESS.parse().unwrap()).await.unwrap();
    let mut client = client(channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default()));
    let call = tokio::spawn(async move { client.hello(named("a")).await });
    let (mut io, _) = listener.accept().await.unwrap();
    io.write_all(&HELLO[24..]).await.unwrap();
    let start = Instant::now();
    timeout(PATIENCE, call).await.expect("the call still waits").unwrap().unwrap_err();
    assert!(near(start.elapsed(), limits::KEEPALIVE_INTERVAL + limits::KEEPALIVE_TIMEOUT), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_the_handshake_fails_the_call() {
    let authority = crate::support::Authority::new();
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let listener = pelton_peer::Network::listen(&*network, MEMORY_ADDRESS.parse().unwrap()).await.unwrap();
    let security = authority.security(&["b"]);
    let mut client = client(channel(network.clone(), security, &address(), ChannelOptions::default()));
    let start = Instant::now();
    let status = timeout(PATIENCE, client.hello(named("a"))).await.expect("the call still waits").unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(near(start.elapsed(), limits::CONNECT_TIMEOUT), "{:?}", start.elapsed());
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_descriptors_passes() {
    let too_many = || io::Error::from_raw_os_error(24);
    let network = MemoryNetwork::failing(BUFFER_BYTES, vec![too_many(), too_many(), too_many()]);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let start = Instant::now();
    is_well(&network).await;
    // It does not turn in circles meanwhile.
    assert!(start.elapsed() >= 3 * limits::ACCEPT_PAUSE, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_request_only() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let _node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut client = client(channel(network.clone(), Security::Plaintext, &address(), ChannelOptions::default()));
    let status = timeout(Duration::from_secs(1), client.hello(named(PANIC))).await.unwrap().unwrap_err();
    assert_ne!(status.code(), Code::Unavailable, "{status}");
    client.hello(named("a")).await.unwrap();
}

/// Timers are of a millisecond.
fn near(is: Duration, want: Duration) -> bool {
    is.abs_diff(want) < Duration::from_millis(100)
}
