//! A server that hands whole requests to a function.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::security::{self, Peer, Security};
use super::stall::Stalling;
use super::{Body, response};

/// How long a client may take nothing of an answer, which is held for it.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the system has no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The largest head of a request, in bytes, and what a connection may read ahead. Beyond it: 431.
const HEAD_BYTES: usize = 64 * 1024;

/// The largest body that is taken of who is not let in, and how long it may take.
const DISCARDED_BYTES: u64 = 64 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// How many bodies of the largest size all connections of a listener may hold together, and how many bytes they may
/// hold in any case. Beyond it: 503, at once. A body that grows is held twice for a moment.
const LARGEST_BODIES: usize = 2;
const ALWAYS_HELD_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of one permit: a semaphore counts permits in 32 bits.
const PERMIT_BYTES: usize = 1024;

/// Connections that the system keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// The bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections held at a time. Further ones wait in the system's backlog.
    pub connections: usize,
    /// The largest body; one byte more is answered with 413.
    pub body_bytes: usize,
}

/// Looks at the head of a request before its body is read, and answers it at once or lets it in, with extensions.
pub type Admit = Arc<dyn Fn(Parts) -> BoxFuture<'static, Result<Parts, Response<Body>>> + Send + Sync>;

/// What stands before the handler of a listener.
#[derive(Clone)]
pub struct Door {
    /// Whether connections are protected.
    pub security: Security,
    /// Who is let in; `None` is everybody.
    pub admit: Option<Admit>,
}

impl Door {
    /// One that is open to everybody.
    pub fn open() -> Self {
        Self { security: Security::Plaintext, admit: None }
    }
}

/// A listener that runs until it is shut down.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<JoinSet<()>>,
}

/// Listens on an address; port 0 takes a free one. Must be called within a runtime.
///
/// # Errors
/// Those of the system: the port is taken, the address is none of this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the last connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Serves `listener` with `handler` from now on, for everybody.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start<H, F, B>(listener: TcpListener, limits: Limits, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Into<Body> + Send + 'static,
    {
        Self::start_behind(Door::open(), listener, limits, handler)
    }

    /// Serves `listener` with `handler` from now on, for those that the door lets in.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start_behind<H, F, B>(door: Door, listener: TcpListener, limits: Limits, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Into<Body> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(door, listener, limits, handler, stopped));
        Ok(Self { address, stop, accepting })
    }

    /// The address really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, finishes the requests that were begun, and gives up after `grace`.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.send_replace(true);
        let Ok(mut connections) = self.accepting.await else { return };
        let all = async { while connections.join_next().await.is_some() {} };
        // What is left after the grace is aborted when the set is dropped.
        let _ = tokio::time::timeout(grace, all).await;
    }
}

async fn accept<H, F, B>(
    door: Door,
    listener: TcpListener,
    limits: Limits,
    handler: H,
    stop: watch::Receiver<bool>,
) -> JoinSet<()>
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Into<Body> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let room = Room::new(limits.body_bytes);
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = stopped(&mut stopping) => return connections,
            next = next => next,
        };
        match accepted {
            Ok((stream, address)) => {
                let (door, room, handler, stop) = (door.clone(), room.clone(), handler.clone(), stop.clone());
                connections.spawn(async move {
                    let inside = Inside { admit: door.admit, room, handler, stop };
                    connection(stream, address, door.security, inside).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Returns when the server is told to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What a connection leads to.
struct Inside<H> {
    admit: Option<Admit>,
    room: Room,
    handler: H,
    stop: watch::Receiver<bool>,
}

async fn connection<H, F, B>(stream: TcpStream, address: SocketAddr, security: Security, mut inside: Inside<H>)
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Into<Body> + Send + 'static,
{
    // An answer that comes piece by piece has no deadline, and there may be nothing to send for long.
    pelton_http_front::prepare(&stream);
    // Beneath TLS: what it has taken over and cannot send holds it up all the same.
    let stream = Stalling::new(stream, WRITE_STALL);
    let Security::Tls(configs) = security else {
        return requests(stream, Peer::new(address, &[]), inside).await;
    };
    let handshake = tokio::select! {
        handshake = security::accept(stream, configs) => handshake,
        () = stopped(&mut inside.stop) => return,
    };
    match handshake {
        Ok(stream) => {
            let peer = Peer::of(address, &stream);
            requests(stream, peer, inside).await;
        }
        Err(error) => tracing::debug!(%error, %address, "a handshake was not finished"),
    }
}

async fn requests<S, H, F, B>(stream: S, peer: Peer, inside: Inside<H>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Into<Body> + Send + 'static,
{
    let Inside { admit, room, handler, mut stop } = inside;
    let stopping = stop.clone();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        answer(request, admit.clone(), room.clone(), handler.clone(), stopping.clone())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer<H, F, B>(
    request: Request<Incoming>,
    admit: Option<Admit>,
    room: Room,
    handler: H,
    mut stop: watch::Receiver<bool>,
) -> Result<Response<Body>, Infallible>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Response<B>>,
    B: Into<Body>,
{
    let request = match admit {
        None => request,
        Some(admit) => {
            let (parts, body) = request.into_parts();
            match admit(parts).await {
                Ok(parts) => Request::from_parts(parts, body),
                Err(mut response) => {
                    if !discard(body).await {
                        close(response.headers_mut());
                    }
                    return Ok(response);
                }
            }
        }
    };
    let response = match whole(request, &room).await {
        // What comes piece by piece may never end by itself, and a stop does not wait for it.
        Ok((request, _held)) => {
            let until = async move { stopped(&mut stop).await };
            handler(request).await.map(|body| Into::<Body>::into(body).until(until))
        }
        Err((status, reason)) => {
            let mut response = response(status, "text/plain; charset=utf-8", format!("{reason}\n"));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from_static("1"));
            }
            close(response.headers_mut());
            response.map(Body::from)
        }
    };
    Ok(response)
}

/// Takes a small body of who is not let in, so that the answer reaches him: what is left unread when a connection is closed can
/// cost it. Whether there is nothing left.
async fn discard(body: Incoming) -> bool {
    let is_small = body.size_hint().upper().is_some_and(|upper| upper <= DISCARDED_BYTES);
    is_small && matches!(tokio::time::timeout(DISCARD_TIMEOUT, body.collect()).await, Ok(Ok(_)))
}

/// The rest of the body was not read, so the connection cannot be used again.
fn close(headers: &mut http::HeaderMap) {
    headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
}

/// What the bodies of one listener may hold, each and together.
#[derive(Debug, Clone)]
struct Room {
    body_bytes: usize,
    permits: Arc<Semaphore>,
}

impl Room {
    fn new(body_bytes: usize) -> Self {
        let bytes = body_bytes.saturating_mul(LARGEST_BODIES).max(ALWAYS_HELD_BYTES);
        Self { body_bytes, permits: Arc::new(Semaphore::new(bytes.div_ceil(PERMIT_BYTES))) }
    }

    fn too_large(&self) -> (StatusCode, String) {
        (StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {} bytes", self.body_bytes))
    }

    /// Makes `held` enough for `bytes`.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), (StatusCode, String)> {
        let more = bytes.div_ceil(PERMIT_BYTES) - held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let refusal = || (StatusCode::SERVICE_UNAVAILABLE, "too many large requests at once".to_owned());
        let more = u32::try_from(more).map_err(|_| refusal())?;
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(more).map_err(|_| refusal())?;
        match held {
            Some(held) => held.merge(permit),
            None => *held = Some(permit),
        }
        Ok(())
    }
}

/// The request with its body, and what it holds of the room for bodies.
type Whole = (Request<Bytes>, Option<OwnedSemaphorePermit>);

async fn whole(request: Request<Incoming>, room: &Room) -> Result<Whole, (StatusCode, String)> {
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > room.body_bytes as u64 {
        return Err(room.too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, room)).await {
        Ok(collected) => collected.map(|(body, held)| (Request::from_parts(parts, body), held)),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive".into())),
    }
}

async fn collect(
    mut body: Incoming,
    room: &Room,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), (StatusCode, String)> {
    let (mut bytes, mut held) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| (StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > room.body_bytes - bytes.len() {
            return Err(room.too_large());
        }
        room.hold(&mut held, bytes.len() + piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes.freeze(), held))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use http::{HeaderMap, Method};

    use super::super::{Connection, Url};
    use super::*;

    const LIMITS: Limits = Limits { connections: 4, body_bytes: 10 };

    async fn echo() -> Server {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Server::start(listener, LIMITS, |request: Request<Bytes>| async {
            response(StatusCode::OK, "text/plain", request.into_body())
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_body_at_the_limit_passes_and_one_past_it_does_not() {
        let server = echo().await;
        let mut connection = Connection::new(Url::parse(&format!("http://{}/", server.address())).unwrap());
        for (length, want) in [(0, 200), (10, 200), (11, 413)] {
            let body = Bytes::from(vec![b'x'; length]);
            let answer = connection.call(Method::POST, "/", HeaderMap::new(), body).await.unwrap();
            assert_eq!(answer.status.as_u16(), want, "{length} bytes");
        }
        server.shutdown(Duration::from_secs(5)).await;
    }

    #[test]
    fn bodies_have_a_bound_together() {
        let room = Room::new(8 * 1024 * 1024);
        let mut held = [None, None, None];
        for held in &mut held[..LARGEST_BODIES] {
            room.hold(held, 1).unwrap();
            room.hold(held, 8 * 1024 * 1024).unwrap();
        }
        assert_eq!(room.hold(&mut held[LARGEST_BODIES], 1).unwrap_err().0, StatusCode::SERVICE_UNAVAILABLE);
        held[0] = None;
        assert!(room.hold(&mut held[LARGEST_BODIES], 8 * 1024 * 1024).is_ok());
    }

    /// S18: more panics than there may be connections, and the next request is answered.
    #[tokio::test]
    async fn a_panic_ends_its_connection_alone() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Server::start(listener, LIMITS, |request: Request<Bytes>| async move {
            assert!(request.uri().path() != "/bug", "a bug that the test asked for");
            response(StatusCode::OK, "text/plain", request.into_body())
        })
        .unwrap();
        let url = Url::parse(&format!("http://{}/", server.address())).unwrap();
        for _ in 0..2 * LIMITS.connections {
            let bad = Connection::new(url.clone()).call(Method::GET, "/bug", HeaderMap::new(), Bytes::new()).await;
            assert!(bad.is_err(), "{bad:?}");
            let good = Connection::new(url.clone()).call(Method::GET, "/", HeaderMap::new(), Bytes::new()).await;
            assert_eq!(good.unwrap().status, StatusCode::OK);
        }
        server.shutdown(Duration::from_secs(5)).await;
    }

    /// A body that never ends by itself is taken piece by piece, and does not hold up a stop.
    #[tokio::test]
    async fn an_answer_may_come_piece_by_piece_until_the_server_stops() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Server::start(listener, LIMITS, |request: Request<Bytes>| async move {
            let breaks = request.uri().path() == "/broken";
            let begin = futures_util::stream::iter([Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))]);
            let end = futures_util::stream::pending();
            let broken = futures_util::stream::iter([Err(io::Error::other("a disk"))]);
            let body = match breaks {
                true => Body::pieces(begin.chain(broken)),
                false => Body::pieces(begin.chain(end)),
            };
            Response::new(body)
        })
        .unwrap();
        let url = Url::parse(&format!("http://{}/", server.address())).unwrap();
        // It may be broken off before anything of it was sent.
        let ended = match Connection::new(url.clone()).stream("/broken", HeaderMap::new()).await {
            Ok(mut broken) => loop {
                match broken.piece().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            },
            Err(error) => Err(error),
        };
        assert!(ended.is_err(), "a part is not taken for the whole");

        let mut streamed = Connection::new(url).stream("/", HeaderMap::new()).await.unwrap();
        assert_eq!(streamed.status(), StatusCode::OK);
        let mut got = Vec::new();
        while got.len() < 7 {
            got.extend_from_slice(&streamed.piece().await.unwrap().unwrap());
        }
        assert_eq!(got, b"one two");
        server.shutdown(Duration::from_secs(60)).await;
        assert_eq!(streamed.piece().await.unwrap(), None);
    }

    #[tokio::test]
    async fn after_a_shutdown_nothing_listens() {
        let server = echo().await;
        let url = Url::parse(&format!("http://{}/", server.address())).unwrap();
        let mut held = Connection::new(url.clone());
        held.call(Method::GET, "/", HeaderMap::new(), Bytes::new()).await.unwrap();
        server.shutdown(Duration::from_secs(5)).await;
        let error = Connection::new(url).call(Method::GET, "/", HeaderMap::new(), Bytes::new()).await.unwrap_err();
        assert!(matches!(error, super::super::CallError::Connect { .. }), "{error}");
    }
}
