//! Accepting connections, whatever goes wrong with one of them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::connection::{self, Protocols};
use crate::lifecycle::Lifecycle;
use crate::{FrontOptions, Handler, Occurrence, Refusal};

/// How long to wait when the system has no descriptor or memory for a connection. The connection waits in the kernel's
/// queue meanwhile, and accepting again at once would only burn the processor that has to free something.
const BACKOFF: Duration = Duration::from_millis(50);

/// When the system asks a silent peer whether it is still there, how often, and how many times in vain. Deadlines of
/// requests see that sooner; this is for what has none: a connection that was upgraded, and an answer that goes on.
const TCP_KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_RETRIES: u32 = 4;

/// What the accept loops and the connections of one front share.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) options: FrontOptions,
    pub(crate) protocols: Protocols,
    pub(crate) heads: Arc<Budget>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) connections: TaskTracker,
    /// Connections that have a place.
    pub(crate) open: AtomicUsize,
}

impl<H: Handler> Shared<H> {
    /// Accepts until told to stop.
    pub(crate) async fn accept_all(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.lifecycle.stopped() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(stream, peer),
                Err(error) => self.survive(&error).await,
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let Some(place) = Place::take(self) else {
            self.handler.count(Occurrence::Refused(Refusal::TooManyConnections));
            // The socket is non-blocking and its buffer empty.
            let _ = stream.into_std().and_then(|mut stream| stream.write(self.options.turned_away));
            return;
        };
        prepare(&stream);
        self.connections.spawn(connection::run(Arc::clone(self), stream, peer, place));
    }

    /// Nothing that `accept` can say ends the loop.
    async fn survive(&self, error: &io::Error) {
        self.handler.count(Occurrence::AcceptFailed);
        // These are about the one connection, which is gone; the next may be fine.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
        ) {
            return;
        }
        tracing::warn!(%error, "could not accept a connection, trying again");
        tokio::select! {
            () = self.lifecycle.stopped() => {}
            () = tokio::time::sleep(BACKOFF) => {}
        }
    }
}

/// Has small messages of an accepted connection leave at once, and a peer that is gone without a word found out some day, after
/// two minutes. A connection works without either, only worse.
pub fn prepare(stream: &TcpStream) {
    // An answer is one small write; waiting for more to go with it only delays it.
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_KEEPALIVE_IDLE)
        .with_interval(TCP_KEEPALIVE_INTERVAL)
        .with_retries(TCP_KEEPALIVE_RETRIES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// One of the places that a front has for connections. Given back on drop, so also when a task panics or is ended.
pub(crate) struct Place<H: Handler>(Arc<Shared<H>>);

impl<H: Handler> Place<H> {
    fn take(shared: &Arc<Shared<H>>) -> Option<Self> {
        // Taken before it is compared, so that two loops cannot both take the last one.
        let before = shared.open.fetch_add(1, Ordering::Relaxed);
        if before >= shared.options.max_connections {
            shared.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        shared.handler.count(Occurrence::Opened);
        Some(Self(Arc::clone(shared)))
    }
}

impl<H: Handler> Drop for Place<H> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.handler.count(Occurrence::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_is_gone_without_a_word_is_found_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        prepare(&stream);
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), TCP_KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), TCP_KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), TCP_KEEPALIVE_RETRIES);
    }
}
