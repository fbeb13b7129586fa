//! A handler that does what the path says, and a peer that sends raw bytes.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use pelton_http_front::{
    Budget, Front, FrontHandle, FrontOptions, Handler, Occurrence, OpenBody, OpenRequest, Pace, Paced, PacedError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// Long enough for anything that is going to happen; a test that waits this long has failed.
pub const GUARD: Duration = Duration::from_secs(30);

/// The pace that `/paced` holds a body to.
pub const PACE: Pace = Pace { grace: Duration::from_millis(50), min_bytes_per_second: 1024 };

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Deadlines short enough to wait for, of peers that wait themselves.
pub fn impatient() -> FrontOptions {
    let short = Duration::from_millis(200);
    FrontOptions { idle_timeout: short, write_stall: short, ..FrontOptions::default() }
}

/// A handler that answers by path:
/// - `/`: 200 with where the request came from.
/// - `/wait`: 200 once the gate is open.
/// - `/stream`, `/loose`: 200 with the pieces that the test sends, the request open until they are sent or not.
/// - `/echo`: 101, or 200 to CONNECT, and then what comes goes back.
/// - `/paced`: 200 with the length of the body, 408 when it is too slow.
/// - `/unread`: 413, without reading the body.
/// - `/panic`: a bug.
///
/// A request with two lengths gets 400.
pub struct Fake {
    gate: watch::Sender<bool>,
    /// Requests that wait at the gate.
    waiting: watch::Sender<usize>,
    seen: watch::Sender<Vec<Occurrence>>,
    pieces: watch::Sender<Option<mpsc::Sender<Bytes>>>,
}

impl Fake {
    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Waits until so many requests wait at the gate.
    pub async fn waits(&self, requests: usize) {
        let mut waiting = self.waiting.subscribe();
        soon("a request at the gate", waiting.wait_for(|waiting| *waiting == requests)).await.unwrap();
    }

    /// Waits until this was counted so many times.
    pub async fn counted(&self, occurrence: Occurrence, times: usize) {
        let mut seen = self.seen.subscribe();
        let all = seen.wait_for(|seen| seen.iter().filter(|seen| **seen == occurrence).count() >= times);
        soon("an occurrence", all).await.unwrap();
    }

    pub fn seen(&self) -> Vec<Occurrence> {
        self.seen.borrow().clone()
    }

    /// The way to send pieces of the answer that streams. It ends when this is dropped.
    pub async fn pieces(&self) -> mpsc::Sender<Bytes> {
        let mut pieces = self.pieces.subscribe();
        soon("a stream", pieces.wait_for(Option::is_some)).await.unwrap();
        self.pieces.send_replace(None).unwrap()
    }
}

/// Pieces of an answer.
pub enum Pieces {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(piece) => Poll::Ready(piece.take().map(|piece| Ok(Frame::data(piece)))),
            Self::Stream(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}

/// A body that keeps its request open or not.
pub enum Sent {
    Held(OpenBody<Pieces, Fake>),
    Loose(Pieces),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Held(body) => Pin::new(body).poll_frame(cx),
            Self::Loose(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Held(body) => body.is_end_stream(),
            Self::Loose(body) => body.is_end_stream(),
        }
    }
}

impl Handler for Fake {
    type Body = Sent;

    async fn answer(open: OpenRequest<Self>, mut request: Request<Incoming>) -> Result<Response<Sent>, Infallible> {
        if open.has_two_lengths() {
            open.leave_body_unread();
            return Ok(whole(StatusCode::BAD_REQUEST, "two lengths"));
        }
        let path = if request.method() == Method::CONNECT { "/echo" } else { request.uri().path() }.to_owned();
        Ok(match &*path {
            "/wait" => {
                let _waits = Waits::begin(&open.handler().waiting);
                let _ = open.handler().gate.subscribe().wait_for(|open| *open).await;
                whole(StatusCode::OK, "waited")
            }
            "/stream" | "/loose" => {
                let (send, pieces) = mpsc::channel(64);
                open.handler().pieces.send_replace(Some(send));
                let pieces = Pieces::Stream(pieces);
                let held = path == "/stream";
                Response::new(if held { Sent::Held(open.until_sent(pieces)) } else { Sent::Loose(pieces) })
            }
            "/echo" => {
                let upgrade = hyper::upgrade::on(&mut request);
                // An HTTP/1 connection is no longer the front's, and must do without.
                let open = (request.version() == Version::HTTP_2).then_some(open);
                tokio::spawn(async move {
                    let Ok(stream) = upgrade.await else { return };
                    let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                    drop(open);
                });
                echo(request.method())
            }
            "/paced" => match Paced::new(request.into_body(), PACE).collect().await {
                Ok(body) => whole(StatusCode::OK, &body.to_bytes().len().to_string()),
                Err(PacedError::TooSlow) => {
                    open.leave_body_unread();
                    whole(StatusCode::REQUEST_TIMEOUT, "too slow")
                }
                Err(PacedError::Body(_)) => whole(StatusCode::BAD_REQUEST, "broken"),
            },
            "/unread" => {
                open.leave_body_unread();
                let mut response = whole(StatusCode::PAYLOAD_TOO_LARGE, "too large");
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
            "/panic" => panic!("a bug that a test asked for"),
            _ => whole(StatusCode::OK, &open.peer().to_string()),
        })
    }

    fn count(&self, occurrence: Occurrence) {
        self.seen.send_modify(|seen| seen.push(occurrence));
    }
}

struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

fn whole(status: StatusCode, text: &str) -> Response<Sent> {
    let mut response = Response::new(Sent::Loose(Pieces::Whole(Some(Bytes::copy_from_slice(text.as_bytes())))));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_LENGTH, text.len().into());
    response
}

fn echo(method: &Method) -> Response<Sent> {
    let mut response = Response::new(Sent::Loose(Pieces::Whole(None)));
    if method != Method::CONNECT {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    }
    response
}

/// A front whose incomplete heads may hold so much.
pub fn serve_with_heads(options: FrontOptions, heads_bytes: usize) -> (Arc<Fake>, FrontHandle) {
    let handler = Arc::new(Fake {
        gate: watch::Sender::default(),
        waiting: watch::Sender::default(),
        seen: watch::Sender::default(),
        pieces: watch::Sender::default(),
    });
    let listener = Front::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let heads = Arc::new(Budget::new(heads_bytes));
    let front = Front::serve(vec![listener], options, heads, Arc::clone(&handler)).unwrap();
    (handler, front)
}

pub fn serve(options: FrontOptions) -> (Arc<Fake>, FrontHandle) {
    serve_with_heads(options, 1 << 20)
}

/// A GET of this path.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// A GET that asks for the protocol `echo`.
pub const UPGRADING: &str = "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// A peer on one connection.
pub struct Peer {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until what was read ends with `end`. All of it, or `None` when the connection ends before.
    pub async fn read_to(&mut self, end: &str) -> Option<String> {
        loop {
            let read = String::from_utf8_lossy(&self.read);
            if let Some(place) = read.find(end) {
                let text = read[..place + end.len()].to_owned();
                self.read.drain(..text.len());
                return Some(text);
            }
            let mut buffer = [0; 8192];
            match soon("bytes", self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends, and reads the head of the answer: in lower case, as a whole.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        self.read_to("\r\n\r\n").await.expect("the connection was closed before an answer").to_lowercase()
    }

    /// Sends `/` and waits for all of the answer.
    pub async fn ask_root(&mut self) -> String {
        let head = self.ask(get("/")).await;
        let own = self.stream.local_addr().unwrap().to_string();
        assert_eq!(self.read_to(&own).await.as_deref(), Some(&*own));
        head
    }

    /// Waits until the connection ends, whatever else comes before.
    pub async fn closed(mut self) {
        let mut buffer = [0; 8192];
        while soon("the end", self.stream.read(&mut buffer)).await.is_ok_and(|count| count > 0) {}
    }

    /// Whether what is sent now comes back.
    pub async fn echoes(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).await.is_ok() && self.read_to(text).await.is_some()
    }
}

/// So much time passes that an idle connection would be gone: three of them go, one after the other.
pub async fn idle_times(front: &FrontHandle) {
    for _ in 0..3 {
        let mut idle = Peer::connect(front.local_addr()).await;
        idle.ask_root().await;
        idle.closed().await;
    }
}
