//! Peers that go away while their answer is pending.

use http::Request;
use pelton_http_front::FrontOptions;
use tokio::io::AsyncWriteExt;

use crate::http2;
use crate::support::{Peer, get, serve, soon};

#[tokio::test]
async fn a_peer_that_closed_its_side_is_answered_or_gone_as_the_owner_wants() {
    let post = "POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
    for (request, half_close) in [(&*get("/wait"), true), (&*get("/wait"), false), (post, true), (post, false)] {
        let (fake, front) = serve(FrontOptions { half_close, ..FrontOptions::default() });
        let mut peer = Peer::connect(front.local_addr()).await;
        peer.send(request).await;
        fake.waits(1).await;
        peer.stream.shutdown().await.unwrap();
        if half_close {
            // The end of its side has come by the time that an answer to another has.
            Peer::connect(front.local_addr()).await.ask_root().await;
            fake.open();
            assert!(peer.read_to("waited").await.is_some(), "{request}");
        } else {
            fake.waits(0).await;
            assert!(peer.read_to("waited").await.is_none(), "{request}");
        }
    }
}

#[tokio::test]
async fn the_request_of_a_peer_that_went_away_is_dropped() {
    let (fake, front) = serve(FrontOptions { half_close: false, ..FrontOptions::default() });
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.send(get("/wait")).await;
    fake.waits(1).await;
    drop(peer);
    fake.waits(0).await;
}

/// Whatever `half_close` says.
#[tokio::test]
async fn a_stream_that_is_reset_and_a_connection_that_ends_drop_their_requests() {
    let (fake, front) = serve(FrontOptions::default());
    let (client, end) = http2::connect(&front).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut client = soon("readiness", client.clone().ready()).await.unwrap();
        answers.push(client.send_request(Request::get("http://x/wait").body(()).unwrap(), true).unwrap());
    }
    fake.waits(3).await;
    answers.pop().unwrap().1.send_reset(h2::Reason::CANCEL);
    fake.waits(2).await;
    end.abort();
    fake.waits(0).await;
}

/// An answer that streams ends with its peer, too: its body is dropped, which the sender of its pieces sees.
#[tokio::test]
async fn the_stream_to_a_peer_that_went_away_is_dropped() {
    let (fake, front) = serve(FrontOptions { half_close: false, ..FrontOptions::default() });
    let mut peer = Peer::connect(front.local_addr()).await;
    peer.ask(get("/stream")).await;
    let pieces = fake.pieces().await;
    drop(peer);
    soon("the end of the body", pieces.closed()).await;
}
