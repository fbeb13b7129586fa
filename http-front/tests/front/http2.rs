//! HTTP/2: what is announced, and CONNECT that makes a stream of bytes of a request.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use http::{Method, Request};
use pelton_http_front::{FrontHandle, FrontOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::{idle_times, impatient, serve, soon};

pub type End = JoinHandle<Result<(), h2::Error>>;

pub async fn connect(front: &FrontHandle) -> (SendRequest<Bytes>, End) {
    let stream = TcpStream::connect(front.local_addr()).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    (send, tokio::spawn(connection))
}

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The settings, by identifier, and the window of the connection that a front announces.
async fn announced(options: FrontOptions) -> (Vec<(u16, u32)>, u32) {
    let (_fake, front) = serve(options);
    let mut stream = TcpStream::connect(front.local_addr()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut settings, mut window) = (Vec::new(), None);
    while settings.is_empty() || window.is_none() {
        let mut head = [0; 9];
        soon("a frame", stream.read_exact(&mut head)).await.unwrap();
        let mut frame = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut frame).await.unwrap();
        match (head[3], head[4]) {
            // The acknowledgement of ours.
            (4, 1) => {}
            (4, _) => {
                for setting in frame.chunks(6) {
                    let id = u16::from_be_bytes(setting[..2].try_into().unwrap());
                    settings.push((id, u32::from_be_bytes(setting[2..].try_into().unwrap())));
                }
            }
            (8, _) => window = Some(65_535 + u32::from_be_bytes(frame[..].try_into().unwrap())),
            (kind, _) => panic!("a frame of the kind {kind}"),
        }
    }
    (settings, window.unwrap())
}

/// RFC 9113, section 6.5.2; RFC 8441, section 3.
#[tokio::test]
async fn windows_and_the_connect_protocol_are_announced() {
    let default = FrontOptions::default();
    for (options, connection_window) in [
        (default.clone(), 4 << 20),
        (
            FrontOptions {
                connect_protocol: true,
                max_concurrent_streams: 7,
                max_header_bytes: 8192,
                stream_window_bytes: 100_000,
                connection_window_bytes: 200_000,
                ..default
            },
            200_000,
        ),
    ] {
        let (settings, window) = announced(options.clone()).await;
        let value = |wanted| settings.iter().find(|(id, _)| *id == wanted).map(|(_, value)| *value);
        assert_eq!(value(MAX_CONCURRENT_STREAMS), Some(options.max_concurrent_streams));
        assert_eq!(value(INITIAL_WINDOW_SIZE), Some(options.stream_window_bytes));
        assert_eq!(value(MAX_HEADER_LIST_SIZE), Some(options.max_header_bytes as u32));
        assert_eq!(value(ENABLE_CONNECT_PROTOCOL), options.connect_protocol.then_some(1));
        assert_eq!(window, connection_window);
    }
}

/// A stream that was upgraded keeps its connection as long as its request is held open.
#[tokio::test]
async fn a_stream_is_turned_into_another_protocol_and_keeps_its_connection() {
    let (fake, front) = serve(FrontOptions { connect_protocol: true, ..impatient() });
    let (client, end) = connect(&front).await;
    let mut client = soon("readiness", client.ready()).await.unwrap();
    // Open until the other is, so that the connection is not idle between them.
    let (first, _) = client.send_request(Request::get("http://x/stream").body(()).unwrap(), true).unwrap();
    let first = soon("an answer", first).await.unwrap();
    assert!(client.is_extended_connect_protocol_enabled());

    let mut request = Request::builder().method(Method::CONNECT).uri("http://x/echo").body(()).unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (answer, mut send) = client.send_request(request, false).unwrap();
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop((first, fake.pieces().await));
    let mut echo = answer.into_body();
    for text in ["at once", "later"] {
        send.send_data(Bytes::from_static(text.as_bytes()), false).unwrap();
        assert_eq!(soon("an echo", echo.data()).await.unwrap().unwrap(), text);
        idle_times(&front).await;
    }
    send.send_data(Bytes::new(), true).unwrap();
    while let Some(rest) = soon("the end of the stream", echo.data()).await {
        rest.unwrap();
    }
    drop(send);
    soon("the farewell to an idle connection", end).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_the_option_the_connect_protocol_is_not_there() {
    let (_fake, front) = serve(FrontOptions::default());
    let (client, _end) = connect(&front).await;
    let mut client = soon("readiness", client.ready()).await.unwrap();
    let (answer, _) = client.send_request(Request::get("http://x/").body(()).unwrap(), true).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
    assert!(!client.is_extended_connect_protocol_enabled());
}
