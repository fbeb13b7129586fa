//! A server that hands whole requests to a function.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::response;

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when the system has no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// Serves `listener` with `handler` from now on.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start<H, F>(listener: TcpListener, limits: Limits, handler: H) -> io::Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, limits, handler, stopped));
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

async fn accept<H, F>(listener: TcpListener, limits: Limits, handler: H, stop: watch::Receiver<bool>) -> JoinSet<()>
where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
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
            Ok((stream, _)) => {
                connections.spawn(connection(stream, slot, limits, handler.clone(), stop.clone()));
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

async fn connection<H, F>(
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    limits: Limits,
    handler: H,
    mut stop: watch::Receiver<bool>,
) where
    H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, limits, handler.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
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

async fn answer<H, F>(
    request: Request<Incoming>,
    limits: Limits,
    handler: H,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let response = match whole(request, limits.body_bytes).await {
        Ok(request) => handler(request).await,
        Err((status, reason)) => {
            let mut response = response(status, "text/plain; charset=utf-8", format!("{reason}\n"));
            // The rest of the body was not read, so the connection cannot be used again.
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
            response
        }
    };
    Ok(response.map(Full::new))
}

async fn whole(request: Request<Incoming>, limit: usize) -> Result<Request<Bytes>, (StatusCode, String)> {
    let too_large = || (StatusCode::PAYLOAD_TOO_LARGE, format!("the body may have at most {limit} bytes"));
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err((StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive".into())),
    }
}

#[cfg(test)]
mod tests {
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
