//! The way to one instance: its idle connections, or those of HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use pelton_http_front::text_of;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, SendFailed, connect};
use super::hop::Hop;
use super::outgoing::Outgoing;

/// Connections that are kept while nothing goes over them.
const MAX_IDLE: usize = 256;

/// Streams at a time on one connection of HTTP/2: as many as every server should allow (RFC 9113, section 6.5.2). More would
/// wait for each other where nobody sees it.
const MAX_STREAMS: usize = 100;

/// How large pieces of a body may be on an HTTP/2 connection without being asked for: its 64 KiB throttle streams.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// What an instance speaks: the name of its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 by prior knowledge.
    H2c,
}

/// The way to one instance.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    protocol: Protocol,
    hop: Option<Arc<Hop>>,
    idle: Mutex<Vec<Connection>>,
    shared: tokio::sync::Mutex<Vec<Multiplexed>>,
    gone: CancellationToken,
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub response: Response<Incoming>,
    /// What the body comes on.
    pub carrier: Carrier,
}

/// What the body of an answer comes on.
#[derive(Debug)]
pub enum Carrier {
    /// A connection that does nothing unless it is polled.
    Connection(Connection),
    /// A stream of a connection that has others.
    Stream(#[allow(dead_code, reason = "it is only dropped")] OpenStream),
    /// A connection with a task of its own, and nobody else on it.
    Task,
}

/// A stream that is open until this is dropped.
#[derive(Debug)]
pub struct OpenStream(#[allow(dead_code, reason = "it is only counted")] Arc<()>);

/// A connection of HTTP/2.
#[derive(Debug)]
struct Multiplexed {
    sender: http2::SendRequest<Outgoing>,
    /// Each open stream has it, too.
    streams: Arc<()>,
}

impl Multiplexed {
    fn open(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }
}

impl Line {
    /// The way to the instance at `address`.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self::of(address, protocol, None)
    }

    /// The way to the instances of the gateway at `address`.
    #[must_use]
    pub fn to_gateway(address: SocketAddr, protocol: Protocol, hop: Arc<Hop>) -> Self {
        Self::of(address, protocol, Some(hop))
    }

    fn of(address: SocketAddr, protocol: Protocol, hop: Option<Arc<Hop>>) -> Self {
        Self {
            address,
            protocol,
            hop,
            idle: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
            gone: CancellationToken::new(),
        }
    }

    /// The instance is gone.
    pub fn close(&self) {
        self.gone.cancel();
        self.idle.lock().clear();
    }

    /// Waits until the instance is gone.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// What a request shows on it, when it leads to another gateway.
    #[must_use]
    pub fn hop(&self) -> Option<&Hop> {
        self.hop.as_deref()
    }

    /// Where it leads.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request. A connection that the instance closed while it was idle is not the request's fault: it goes over
    /// a new one.
    ///
    /// # Errors
    /// [`SendFailed`].
    pub async fn send(&self, request: Request<Outgoing>) -> Result<Answered, SendFailed> {
        match self.protocol {
            Protocol::Http1 => self.send_http1(request).await,
            Protocol::H2c => self.send_h2c(request).await,
        }
    }

    /// Takes a connection back over which another request may go.
    pub fn give_back(&self, connection: Connection) {
        if connection.is_open() {
            let mut idle = self.idle.lock();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
    }

    async fn send_http1(&self, mut request: Request<Outgoing>) -> Result<Answered, SendFailed> {
        if request.body().size_hint().exact().is_none() {
            // Of methods that have a body only now and then it would be taken for none.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        loop {
            let mut connection = match self.idle_connection().await {
                Some(connection) => connection,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(why) => return Err(SendFailed::Unsent(Box::new(request), why)),
                },
            };
            match connection.send(request).await {
                Ok(response) => return Ok(Answered { response, carrier: Carrier::Connection(connection) }),
                Err(SendFailed::Unsent(unsent, _)) if connection.was_used() => request = *unsent,
                Err(failed) => return Err(failed),
            }
        }
    }

    async fn idle_connection(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().pop()?;
            if connection.ready().await {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = connect(self.address).await.map_err(|why| format!("{}: {why}", self.address))?;
        Connection::begin(stream).await
    }

    async fn send_h2c(&self, mut request: Request<Outgoing>) -> Result<Answered, SendFailed> {
        if let Err(why) = as_http2(&mut request) {
            return Err(SendFailed::Broken(format!("the request cannot be made over HTTP/2: {why}")));
        }
        let mut tries = 0;
        loop {
            let (mut sender, stream) = match self.shared_connection().await {
                Ok(shared) => shared,
                Err(why) => return Err(SendFailed::Unsent(Box::new(request), why)),
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(Answered { response, carrier: Carrier::Stream(stream) }),
                Err(mut failed) => {
                    let why = text_of(failed.error());
                    match failed.take_message() {
                        Some(unsent) if tries == 0 => request = unsent,
                        Some(unsent) => return Err(SendFailed::Unsent(Box::new(unsent), why)),
                        None => return Err(SendFailed::Broken(why)),
                    }
                    tries += 1;
                }
            }
        }
    }

    /// A connection of HTTP/2 that may have another stream: one that is there, or a new one. Who comes while it is made waits
    /// for it.
    async fn shared_connection(&self) -> Result<(http2::SendRequest<Outgoing>, OpenStream), String> {
        let mut shared = self.shared.lock().await;
        shared.retain(|connection| !connection.sender.is_closed());
        if let Some(connection) = shared.iter().find(|connection| connection.open() < MAX_STREAMS) {
            return Ok((connection.sender.clone(), OpenStream(Arc::clone(&connection.streams))));
        }
        let stream = connect(self.address).await.map_err(|why| format!("{}: {why}", self.address))?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(64 * 1024);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|why| text_of(&why))?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an HTTP/2 connection to an instance ended");
            }
        });
        let connection = Multiplexed { sender: sender.clone(), streams: Arc::default() };
        let stream = OpenStream(Arc::clone(&connection.streams));
        shared.push(connection);
        Ok((sender, stream))
    }
}

/// HTTP/2 has no `Host`: scheme and host are part of the target (RFC 9113, section 8.3.1). The path stays as it came.
fn as_http2(request: &mut Request<Outgoing>) -> Result<(), http::Error> {
    *request.version_mut() = Version::HTTP_2;
    let Some(host) = request.headers_mut().remove(HOST) else { return Ok(()) };
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let target = Uri::builder().scheme(Scheme::HTTP).authority(host.as_bytes()).path_and_query(path).build()?;
    *request.uri_mut() = target;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_http2_names_its_host_in_the_target() {
        for (path, host, want) in [
            ("/a/b?c=%20d", "hello.default.localhost:8081", Some("http://hello.default.localhost:8081/a/b?c=%20d")),
            ("/", "[::1]", Some("http://[::1]/")),
            ("*", "h", Some("http://h*")),
            ("/", "not a host", None),
        ] {
            let mut request = Request::new(Outgoing::Empty);
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert(HOST, host.parse().unwrap());
            let made = as_http2(&mut request);
            assert_eq!(made.is_ok(), want.is_some(), "{path} {host}");
            if let Some(want) = want {
                assert_eq!(request.uri().to_string(), want);
                assert!(request.headers().is_empty());
                // One that is sent again keeps what it has.
                as_http2(&mut request).unwrap();
                assert_eq!(request.uri().to_string(), want);
            }
        }
    }
}
