//! One connection: which protocol, how it is driven, when it is let go.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pelton_client::Client;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::Options;
use crate::handler::{self, Context, Shared};
use crate::lifecycle::Lifecycle;
use crate::metrics::Reason;
use crate::socket::{HeadsHoldTooMuch, Protocol, Socket};
use crate::watchdog::{Marks, Verdict, Watchdog};

/// hyper's builders, set up once.
#[derive(Debug)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(crate) fn new(options: &Options) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            // Spares the read that looks for the end of the stream while an answer is pending. That a producer went
            // away in the meantime is then seen by the write; its event is stored either way.
            .half_close(true)
            // An answer that is ready must not wait until the request after it is complete.
            .pipeline_flush(false)
            // Answers are a few hundred bytes: one buffer, one plain write.
            .writev(false)
            .max_header_size(options.max_header_bytes)
            .max_buf_size(options.max_header_bytes)
            // The watchdog does this, with one timer a connection instead of one a request.
            .header_read_timeout(None);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .max_concurrent_streams(options.max_concurrent_streams)
            .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .max_frame_size(64 * 1024)
            .max_send_buf_size(64 * 1024)
            // Streams that the peer resets before we took them, and those that we reset for its mistakes: at the
            // bound the connection is closed with ENHANCE_YOUR_CALM (CVE-2023-44487, CVE-2025-8671).
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(128);
        Self { http1, http2 }
    }
}

/// Serves a connection until it ends.
pub(crate) async fn run<C: Client>(
    stream: TcpStream,
    shared: Arc<Shared<C>>,
    protocols: Arc<Protocols>,
    lifecycle: Arc<Lifecycle>,
) {
    let marks = Arc::new(Marks::default());
    let mut socket = Socket::new(stream, Arc::clone(&marks), Arc::clone(&shared.node), &shared.options);
    let accepted = Instant::now();
    let protocol = tokio::select! {
        told = tokio::time::timeout(shared.options.header_timeout, socket.tell_protocol()) => match told {
            Ok(Ok(Some(protocol))) => protocol,
            Ok(Ok(None) | Err(_)) => return,
            Err(_elapsed) => return shared.metrics.connection_timeouts.increment(1),
        },
        () = lifecycle.stopped() => return,
    };
    let watchdog = Watchdog::new(&shared.options, protocol == Protocol::Http1, accepted);
    let context = Arc::new(Context { shared: Arc::clone(&shared), marks: Arc::clone(&marks) });
    let service = service_fn(move |request| handler::answer(Arc::clone(&context), request));
    let end = match protocol {
        Protocol::Http1 => {
            let connection = protocols.http1.serve_connection(TokioIo::new(socket), service);
            drive(connection, http1::Connection::graceful_shutdown, watchdog, &marks, &lifecycle).await
        }
        Protocol::Http2 => {
            let connection = protocols.http2.serve_connection(TokioIo::new(socket), service);
            drive(connection, http2::Connection::graceful_shutdown, watchdog, &marks, &lifecycle).await
        }
    };
    match end {
        End::Done(Ok(())) | End::Cut => {}
        End::Done(Err(error)) => {
            if error.is_parse_too_large() {
                shared.metrics.refused(Reason::HeadersTooLarge, 1);
            } else if error.is_parse() {
                shared.metrics.refused(Reason::NotHttp, 1);
            } else if HeadsHoldTooMuch::caused(&error) {
                shared.metrics.refused(Reason::NodeBusy, 1);
            }
            // Debug form: what hyper quotes of a peer's bytes must not forge a line of the log.
            tracing::debug!(?error, "connection ended with an error");
        }
        End::TimedOut(verdict) => {
            shared.metrics.connection_timeouts.increment(1);
            tracing::debug!(?verdict, "connection cut");
        }
    }
}

enum End {
    Done(hyper::Result<()>),
    TimedOut(Verdict),
    Cut,
}

/// Polls a connection beside its watchdog and the signals to stop.
async fn drive<F: Future<Output = hyper::Result<()>>>(
    connection: F,
    leave: impl Fn(Pin<&mut F>),
    mut watchdog: Watchdog,
    marks: &Marks,
    lifecycle: &Lifecycle,
) -> End {
    let turn = watchdog.turn();
    let mut connection = pin!(connection);
    let mut timer = pin!(tokio::time::sleep(turn));
    let mut stopped = pin!(lifecycle.stopped());
    let mut was_cut = pin!(lifecycle.was_cut());
    let mut leaving = false;
    let mut watched: Option<Waker> = None;
    std::future::poll_fn(|cx| {
        // The signals take a lock that all connections share, so they are polled once, for their wake-up alone; what
        // they say is read from flags.
        if !watched.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            let _ = stopped.as_mut().poll(cx);
            let _ = was_cut.as_mut().poll(cx);
            watched = Some(cx.waker().clone());
        }
        if lifecycle.is_cutting() {
            return Poll::Ready(End::Cut);
        }
        if !leaving && lifecycle.is_stopping() {
            leaving = true;
            leave(connection.as_mut());
        }
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Done(outcome));
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            timer.as_mut().reset(now + turn);
            match watchdog.check(marks, now) {
                Verdict::Keep => {}
                Verdict::Leave => leave(connection.as_mut()),
                verdict @ (Verdict::SlowHead | Verdict::Stalled) => return Poll::Ready(End::TimedOut(verdict)),
            }
        }
    })
    .await
}
