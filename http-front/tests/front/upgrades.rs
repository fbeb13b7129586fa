//! HTTP/1 connections that become something else.

use pelton_http_front::{FrontOptions, Occurrence, Refusal};

use crate::support::{GUARD, Peer, UPGRADING, idle_times, impatient, serve, serve_with_heads, soon};

fn upgrading(options: FrontOptions) -> FrontOptions {
    FrontOptions { upgrades: true, half_close: false, ..options }
}

#[tokio::test]
async fn a_request_turns_its_connection_into_another_protocol_if_the_owner_wants_that() {
    let connect = "CONNECT example:80 HTTP/1.1\r\nhost: example:80\r\n\r\n";
    for (request, upgrades, status) in
        [(UPGRADING, true, "http/1.1 101 "), (UPGRADING, false, "http/1.1 101 "), (connect, true, "http/1.1 200 ")]
    {
        let (_fake, front) = serve(FrontOptions { upgrades, ..FrontOptions::default() });
        let mut peer = Peer::connect(front.local_addr()).await;
        let answer = peer.ask(request).await;
        assert!(answer.starts_with(status), "{answer}");
        assert_eq!(peer.echoes("not http at all").await, upgrades, "{request}");
    }
}

/// What is sent before the answer is not lost, and is not taken for a request.
#[tokio::test]
async fn what_comes_behind_the_request_belongs_to_the_new_protocol() {
    let (_fake, front) = serve(upgrading(FrontOptions::default()));
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(format!("{UPGRADING}GET / HTTP/1.1\r\n\r\n")).await;
    assert_eq!(peer.read_to("\r\n\r\n").await.as_deref(), Some("GET / HTTP/1.1\r\n\r\n"));
}

#[tokio::test]
async fn an_upgraded_connection_is_not_watched() {
    let (fake, front) = serve(upgrading(impatient()));
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(UPGRADING).await;
    idle_times(&front).await;
    assert!(peer.echoes("still here").await);
    assert!(!fake.seen().contains(&Occurrence::TimedOut));
}

/// Heads may hold nothing here, and what comes on the connection holds nothing of that.
#[tokio::test]
async fn what_comes_on_an_upgraded_connection_is_no_head() {
    let (_fake, front) = serve_with_heads(upgrading(FrontOptions::default()), 0);
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(UPGRADING).await;
    for _ in 0..20 {
        assert!(peer.echoes(&"x".repeat(16 * 1024)).await);
    }
}

#[tokio::test]
async fn an_upgraded_connection_keeps_its_place_until_it_is_gone() {
    let (fake, front) = serve(FrontOptions { max_connections: 1, ..upgrading(FrontOptions::default()) });
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(UPGRADING).await;
    assert!(peer.echoes("handed over").await);
    let mut other = Peer::connect(front.local_addr()).await;
    let answer = other.read_to("\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Connection: close"), "{answer}");
    other.closed().await;
    assert_eq!(fake.seen(), [Occurrence::Opened, Occurrence::Refused(Refusal::TooManyConnections)]);
    drop(peer);
    fake.counted(Occurrence::Closed, 1).await;
    Peer::connect(front.local_addr()).await.ask_root().await;
}

#[tokio::test]
async fn stopping_leaves_an_upgraded_connection_to_its_owner() {
    let (_fake, front) = serve(upgrading(FrontOptions::default()));
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(UPGRADING).await;
    assert!(peer.echoes("handed over").await);
    assert_eq!(soon("the end", front.shutdown(GUARD)).await, 0, "it is not waited for");
    assert!(peer.echoes("still here").await);
}
