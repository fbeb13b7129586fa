//! How long a request is open, and what becomes of bodies that come or are taken slowly.

use bytes::Bytes;
use pelton_http_front::{FrontOptions, Occurrence};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::{GUARD, Peer, get, idle_times, impatient, serve, soon};

/// The row where it does not shows that the time was long enough.
#[tokio::test]
async fn a_body_may_keep_its_request_open() {
    for (path, keeps) in [("/stream", true), ("/loose", false)] {
        let (fake, front) = serve(impatient());
        let mut peer = Peer::connect(front.local_addr()).await;
        let answer = peer.ask(get(path)).await;
        assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
        let pieces = fake.pieces().await;
        idle_times(&front).await;
        if keeps {
            pieces.send(Bytes::from_static(b"last piece")).await.unwrap();
            drop(pieces);
            assert!(peer.read_to("last piece\r\n0\r\n\r\n").await.is_some());
            // Now it is idle like any other.
            peer.closed().await;
            assert!(!fake.seen().contains(&Occurrence::TimedOut));
        } else {
            soon("the cut", pieces.closed()).await;
            fake.counted(Occurrence::TimedOut, 1).await;
        }
    }
}

/// Pieces come as they are made, however they are written.
#[tokio::test]
async fn every_piece_of_a_stream_is_sent_at_once() {
    for vectored_writes in [false, true] {
        let (fake, front) = serve(FrontOptions { vectored_writes, ..FrontOptions::default() });
        let mut peer = Peer::connect(front.local_addr()).await;
        // A further request is there already and is no reason to wait.
        peer.ask(format!("{}{}", get("/stream"), get("/"))).await;
        let pieces = fake.pieces().await;
        for length in [1, 1000, 300_000] {
            pieces.send(Bytes::from("x".repeat(length))).await.unwrap();
            let chunk = format!("{length:X}\r\n{}\r\n", "x".repeat(length));
            assert_eq!(peer.read_to("x\r\n").await, Some(chunk), "{length} B, vectored: {vectored_writes}");
        }
        drop(pieces);
        assert_eq!(peer.read_to("0\r\n\r\n").await.as_deref(), Some("0\r\n\r\n"));
        assert!(peer.read_to("\r\n\r\n").await.is_some_and(|head| head.starts_with("HTTP/1.1 200 ")));
    }
}

#[tokio::test]
async fn a_peer_that_takes_nothing_of_a_stream_is_cut() {
    let (fake, front) = serve(impatient());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(front.local_addr()).await.unwrap();
    stream.write_all(get("/stream").as_bytes()).await.unwrap();
    let pieces = fake.pieces().await;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    soon("the cut", async { while pieces.send(piece.clone()).await.is_ok() {} }).await;
    fake.counted(Occurrence::TimedOut, 1).await;
}

/// The kernel would answer what comes at a closed socket with a reset, and the peer lose our answer to it.
#[tokio::test]
async fn a_peer_that_sends_on_after_its_answer_gets_to_see_it() {
    let (_fake, front) = serve(FrontOptions { linger: GUARD, ..FrontOptions::default() });
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.send("POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n").await;
    for _ in 0..90 {
        peer.send(vec![b'x'; 10_000]).await;
        tokio::task::yield_now().await;
    }
    let head = peer.read_to("\r\n\r\n").await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    peer.closed().await;
}

/// Fault catalogue, S2.
#[tokio::test]
async fn a_body_that_drips_is_refused_and_one_that_comes_is_not() {
    let (_fake, front) = serve(FrontOptions::default());
    let head = "POST /paced HTTP/1.1\r\nhost: x\r\n";
    for (rest, status) in [
        ("content-length: 4\r\n\r\nbody", "http/1.1 200 "),
        ("content-length: 0\r\n\r\n", "http/1.1 200 "),
        ("transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "http/1.1 200 "),
        ("content-length: 100\r\n\r\nhalf", "http/1.1 408 "),
        ("transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "http/1.1 408 "),
        ("transfer-encoding: chunked\r\n\r\nzz\r\n", "http/1.1 400 "),
    ] {
        let mut peer = Peer::connect(front.local_addr()).await;
        let answer = peer.ask(format!("{head}{rest}")).await;
        assert!(answer.starts_with(status), "{rest}: {answer}");
        if !status.contains("200") {
            peer.closed().await;
        }
    }
}
