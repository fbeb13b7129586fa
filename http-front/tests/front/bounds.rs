//! Bounds on heads and connections, and what is counted. (The tests of `ingress` have more of these.)

use std::time::Duration;

use pelton_http_front::{FrontOptions, Occurrence, Refusal};
use tokio::io::AsyncWriteExt;

use crate::support::{Peer, get, serve, serve_with_heads, soon};

#[tokio::test]
async fn a_handler_is_told_where_a_request_comes_from() {
    let (fake, front) = serve(FrontOptions::default());
    let mut peer = Peer::connect(front.local_addr()).await;
    for _ in 0..3 {
        peer.ask_root().await;
    }
    drop(peer);
    fake.counted(Occurrence::Closed, 1).await;
    assert_eq!(fake.seen(), [Occurrence::Opened, Occurrence::Closed]);
}

#[tokio::test]
async fn what_is_refused_before_there_is_a_request_is_counted() {
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9 * 1024));
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
    for (bytes, header_timeout, want) in [
        (&b"\x16\x03\x01\x02\0"[..], long, Occurrence::Refused(Refusal::NotHttp)),
        (large.as_bytes(), long, Occurrence::Refused(Refusal::HeadTooLarge)),
        (b"GET / HT", short, Occurrence::TimedOut),
        (b"PRI * HT", short, Occurrence::TimedOut),
        (b"", short, Occurrence::TimedOut),
    ] {
        let options = FrontOptions { max_header_bytes: 8192, header_timeout, ..FrontOptions::default() };
        let (fake, front) = serve(options);
        let mut peer = Peer::connect(front.local_addr()).await;
        peer.send(bytes).await;
        fake.counted(want, 1).await;
        peer.closed().await;
    }
}

#[tokio::test]
async fn heads_that_are_not_complete_hold_no_more_than_they_may() {
    let (fake, front) = serve_with_heads(FrontOptions::default(), 16 * 1024);
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.send("GET / HTTP/1.1\r\nx: ").await;
    // Half of 16 KiB for what is on its way, and 8 KiB that are not counted.
    soon("the cut", async { while peer.stream.write_all(&[b'y'; 1024]).await.is_ok() {} }).await;
    fake.counted(Occurrence::Refused(Refusal::HeadsHoldTooMuch), 1).await;
    Peer::connect(front.local_addr()).await.ask_root().await;
}

/// More panics than there may be connections.
#[tokio::test]
async fn a_panic_ends_its_connection_and_gives_back_its_place() {
    let (fake, front) = serve(FrontOptions { max_connections: 1, ..FrontOptions::default() });
    for round in 1..=5 {
        let mut peer = Peer::connect(front.local_addr()).await;
        peer.send(get("/panic")).await;
        assert_eq!(peer.read_to("\r\n").await, None);
        fake.counted(Occurrence::Closed, round).await;
    }
    Peer::connect(front.local_addr()).await.ask_root().await;
}

/// RFC 9112, section 6.3. hyper answers what it reads first, so it is the number of a request that tells which is meant.
#[tokio::test]
async fn a_request_with_two_lengths_is_told_from_those_before_it_and_is_the_last() {
    let (_fake, front) = serve(FrontOptions::default());
    let both = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let chunked = format!(
        "POST /paced HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{both}\r\n0\r\n\r\n",
        both.len()
    );
    let length = format!("POST /paced HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{both}", both.len());
    // At once, and one after the other.
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.send([get("/"), chunked.clone(), length.clone(), both.to_owned(), get("/")].concat()).await;
    for want in ["200", "200", "200", "400"] {
        let head = peer.read_to("\r\n\r\n").await.unwrap();
        assert!(head.contains(&format!("HTTP/1.1 {want} ")), "{want}: {head}");
    }
    assert!(peer.read_to("\r\n\r\n").await.is_none(), "nothing comes behind it");
    let mut peer = Peer::connect(front.local_addr()).await;
    for (request, want) in [(&*chunked, "200"), (&*length, "200"), (&*get("/"), "200"), (both, "400")] {
        let head = peer.ask(request).await;
        assert!(head.contains(&format!("http/1.1 {want} ")), "{want}: {head}");
    }
    peer.closed().await;
}

/// What an upgraded connection carries is nobody's request.
#[tokio::test]
async fn an_upgraded_connection_carries_what_it_likes() {
    let (_fake, front) = serve(FrontOptions { upgrades: true, ..FrontOptions::default() });
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(crate::support::UPGRADING).await;
    for _ in 0..3 {
        let text = "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(peer.echoes(text).await);
    }
}
