//! The listener for other nodes.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metrics::{describe_gauge, gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::body::Body;

use crate::ending::Ending;
use crate::handshakes::{Handshake, Handshakes};
use crate::preface::expect_preface;
use crate::stall::StallGuard;
use crate::turned_away::{Doorkeeper, TurnedAway};
use crate::{BoxedIo, PeerListener, Routes, Security, limits};

/// The bounds of a listener. The defaults are those of [`limits`].
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections at a time, with those in a handshake.
    pub max_connections: usize,
    /// Handshakes at a time; one more cuts the oldest.
    pub max_handshakes: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Requests of one connection at a time.
    pub max_concurrent_streams: u32,
    /// How long a quiet connection is left alone.
    pub keepalive_interval: Duration,
    /// How long the peer's sign of life may take.
    pub keepalive_timeout: Duration,
    /// How long the peer may take nothing of what is written.
    pub write_stall_timeout: Duration,
    /// How long requests may still take after the stop.
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: limits::MAX_CONNECTIONS,
            max_handshakes: limits::MAX_HANDSHAKES,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            max_concurrent_streams: limits::MAX_CONCURRENT_STREAMS,
            keepalive_interval: limits::KEEPALIVE_INTERVAL,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
            drain_timeout: limits::DRAIN_TIMEOUT,
        }
    }
}

const CONNECTIONS: &str = "pelton_peer_connections";

/// Serves `routes` to whoever connects and passes `security`, until `shutdown` is done.
///
/// Nothing that a peer does ends it, nor does a lack of descriptors. After `shutdown` no request is taken and streams of
/// answers end; requests that are not answered yet have [`ServeOptions::drain_timeout`], and then the connections are cut. The connections also end when the future
/// is dropped.
pub async fn serve(
    listener: Box<dyn PeerListener>,
    security: Security,
    routes: Routes,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(());
    describe_gauge!(CONNECTIONS, "Connections of other nodes that are past their handshake");
    let http2 = http2_builder(&options);
    let peers = Arc::new(Peers { security, routes, options, http2, stopped, doorkeeper: Doorkeeper::new() });
    let connections = Arc::new(Semaphore::new(options.max_connections));
    let mut handshakes = Handshakes::new(options.max_handshakes);
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Reaped as they end, so that the set holds no more than the connections there are.
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                log_panic(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (io, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Also what is wrong with one connection only, as when it was reset before it was accepted; a pause
                // does no harm then.
                tracing::warn!(%error, "a connection of a node could not be accepted");
                sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
            peers.doorkeeper.tell(from, &TurnedAway::Full);
            continue;
        };
        tasks.spawn(Arc::clone(&peers).connection(io, from, handshakes.begin(), place));
    }
    drop(listener);
    // Every connection sees that the sender is gone.
    drop(stop);
    let drained = async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(options.drain_timeout, drained).await.is_err() {
        tracing::debug!(connections = tasks.len(), "cut the connections of nodes that were still busy");
    }
    tasks.shutdown().await;
}

/// What all connections of a listener share.
struct Peers {
    security: Security,
    routes: Routes,
    options: ServeOptions,
    http2: http2::Builder<TokioExecutor>,
    stopped: watch::Receiver<()>,
    doorkeeper: Doorkeeper,
}

impl Peers {
    async fn connection(
        self: Arc<Self>,
        io: BoxedIo,
        from: SocketAddr,
        mut handshake: Handshake,
        _place: OwnedSemaphorePermit,
    ) {
        let mut stopped = self.stopped.clone();
        let shaken = tokio::select! {
            biased;
            _ = stopped.changed() => return,
            () = handshake.displaced() => Err(TurnedAway::Displaced),
            shaken = timeout(self.options.handshake_timeout, self.handshake(io)) => match shaken {
                Ok(shaken) => shaken.map_err(TurnedAway::Handshake),
                Err(_) => Err(TurnedAway::Slow),
            },
        };
        drop(handshake);
        let io = match shaken {
            Ok(io) => io,
            Err(why) => return self.doorkeeper.tell(from, &why),
        };
        gauge!(CONNECTIONS).increment(1);
        let _left = OnDrop(|| gauge!(CONNECTIONS).decrement(1));
        let peers = Arc::clone(&self);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let peers = Arc::clone(&peers);
            async move {
                let answer = peers.routes.answer(request.map(Body::new)).await?;
                let ending = |body| Body::new(Ending::new(body, peers.stopped.clone()));
                Ok::<_, Infallible>(answer.map(ending))
            }
        });
        let mut served = pin!(self.http2.serve_connection(TokioIo::new(io), service));
        let result = tokio::select! {
            result = &mut served => result,
            _ = stopped.changed() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%from, %error, "a connection of a node broke");
        }
    }

    async fn handshake(&self, io: BoxedIo) -> io::Result<impl crate::Io + use<>> {
        let io: BoxedIo = Box::new(StallGuard::new(io, self.options.write_stall_timeout));
        expect_preface(self.security.accept(io).await?).await
    }
}

fn http2_builder(options: &ServeOptions) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_header_list_size(limits::MAX_HEADER_LIST_BYTES)
        .max_frame_size(limits::MAX_FRAME_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    builder
}

/// Runs its function when it goes out of scope, also by a cut or a panic.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A panic in a connection ends that connection. It is our own bug, so it is told.
fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection of a node ended in a panic");
    }
}
