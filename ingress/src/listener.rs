//! Accepting connections, whatever goes wrong with one of them.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pelton_client::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::connection::{self, Protocols};
use crate::handler::Shared;
use crate::lifecycle::Lifecycle;
use crate::metrics::Reason;

/// How long to wait when the system has no descriptor or memory for a connection. The connection waits in the kernel's
/// queue meanwhile, and accepting again at once would only burn the processor that has to free something.
const BACKOFF: Duration = Duration::from_millis(50);

/// The answer to a connection beyond the bound, with the length of its body. Best effort: it is written once and not
/// waited for.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nAllow: POST, OPTIONS\r\nRetry-After: 1\r\n\
Connection: close\r\nContent-Type: application/problem+json\r\nContent-Length: 149\r\n\r\n\
{\"type\":\"urn:pelton:problem:too-many-connections\",\"title\":\"Too many connections\",\"status\":503,\
\"detail\":\"this node has as many connections as it may\"}";

/// What the accept loops of one ingress share.
pub(crate) struct Acceptor<C> {
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) protocols: Arc<Protocols>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) connections: TaskTracker,
    pub(crate) open: Arc<AtomicUsize>,
}

impl<C: Client> Acceptor<C> {
    /// Accepts until told to stop.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.lifecycle.stopped() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _peer)) => self.serve(stream),
                Err(error) => self.survive(&error).await,
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        let Some(place) = Place::take(&self.open, self.shared.options.max_connections) else {
            self.shared.metrics.refused(Reason::TooManyConnections, 1);
            // The socket is non-blocking and its buffer empty.
            let _ = stream.into_std().and_then(|mut stream| stream.write(FULL));
            return;
        };
        // An answer is one small write; waiting for more to go with it only delays it. On failure it is merely slower.
        let _ = stream.set_nodelay(true);
        let (shared, protocols) = (Arc::clone(&self.shared), Arc::clone(&self.protocols));
        let lifecycle = Arc::clone(&self.lifecycle);
        self.connections.spawn(async move {
            shared.metrics.connections.increment(1.0);
            let _leave = OnDrop(|| shared.metrics.connections.decrement(1.0));
            connection::run(stream, Arc::clone(&shared), protocols, lifecycle).await;
            drop(place);
        });
    }

    /// Nothing that `accept` can say ends the loop.
    async fn survive(&self, error: &io::Error) {
        self.shared.metrics.accept_errors.increment(1);
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

struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        // Taken before it is compared, so that two loops cannot both take the last one.
        let place = (open.fetch_add(1, Ordering::Relaxed), Self(Arc::clone(open)));
        (place.0 < limit).then_some(place.1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs on drop, so also when the task panics or is ended.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
