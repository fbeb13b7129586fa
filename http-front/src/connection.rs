//! One connection: which protocol, how it is driven, when it is let go.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::head::HeadsHoldTooMuch;
use crate::lifecycle::Lifecycle;
use crate::listener::{Place, Shared};
use crate::open_request::Connection;
use crate::socket::{Protocol, Socket};
use crate::watchdog::{Marks, Verdict, Watchdog};
use crate::{FrontOptions, Handler, Occurrence, OpenRequest, Refusal};

/// hyper's builders, set up once.
#[derive(Debug)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(crate) fn new(options: &FrontOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .half_close(options.half_close)
            // An answer that is ready must not wait until the request after it is complete, nor a piece of a stream.
            .pipeline_flush(false)
            .writev(options.vectored_writes)
            .max_header_size(options.max_header_bytes)
            .max_buf_size(options.max_header_bytes)
            // The watchdog does this, with one timer a connection instead of one a request.
            .header_read_timeout(None);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .max_concurrent_streams(options.max_concurrent_streams)
            .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(options.stream_window_bytes)
            .initial_connection_window_size(options.connection_window_bytes)
            .max_frame_size(64 * 1024)
            .max_send_buf_size(64 * 1024)
            // Streams that the peer resets before we took them, and those that we reset for its mistakes: at the
            // bound the connection is closed with ENHANCE_YOUR_CALM (CVE-2023-44487, CVE-2025-8671).
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(128);
        if options.connect_protocol {
            http2.enable_connect_protocol();
        }
        Self { http1, http2 }
    }
}

/// Serves a connection until it ends or is another's.
pub(crate) async fn run<H: Handler>(shared: Arc<Shared<H>>, stream: TcpStream, peer: SocketAddr, place: Place<H>) {
    let marks = Arc::new(Marks::default());
    let mut socket = Socket::new(stream, place, Arc::clone(&marks), Arc::clone(&shared.heads), &shared.options);
    let accepted = Instant::now();
    let protocol = tokio::select! {
        told = tokio::time::timeout(shared.options.header_timeout, socket.tell_protocol()) => match told {
            Ok(Ok(Some(protocol))) => protocol,
            Ok(Ok(None) | Err(_)) => return,
            Err(_elapsed) => return shared.handler.count(Occurrence::TimedOut),
        },
        () = shared.lifecycle.stopped() => return,
    };
    let watchdog = Watchdog::new(&shared.options, protocol == Protocol::Http1, accepted);
    let connection = Arc::new(Connection { handler: Arc::clone(&shared.handler), peer, marks: Arc::clone(&marks) });
    let service = service_fn(move |request| H::answer(OpenRequest::new(&connection), request));
    let (io, protocols, lifecycle) = (TokioIo::new(socket), &shared.protocols, &shared.lifecycle);
    let end = match protocol {
        Protocol::Http1 if shared.options.upgrades => {
            let connection = protocols.http1.serve_connection(io, service).with_upgrades();
            let end =
                drive(connection, http1::UpgradeableConnection::graceful_shutdown, watchdog, &marks, lifecycle).await;
            // Either the socket is gone, or it is another's.
            marks.hand_over();
            end
        }
        Protocol::Http1 => {
            let connection = protocols.http1.serve_connection(io, service);
            drive(connection, http1::Connection::graceful_shutdown, watchdog, &marks, lifecycle).await
        }
        Protocol::Http2 => {
            let connection = protocols.http2.serve_connection(io, service);
            drive(connection, http2::Connection::graceful_shutdown, watchdog, &marks, lifecycle).await
        }
    };
    match end {
        End::Done(Ok(())) | End::Cut => {}
        End::Done(Err(error)) => {
            if let Some(refusal) = refusal(&error) {
                shared.handler.count(Occurrence::Refused(refusal));
            }
            // Debug form: what hyper quotes of a peer's bytes must not forge a line of the log.
            tracing::debug!(?error, "connection ended with an error");
        }
        End::TimedOut(verdict) => {
            shared.handler.count(Occurrence::TimedOut);
            tracing::debug!(?verdict, "connection cut");
        }
    }
}

/// What was refused, if that is why a connection ended.
fn refusal(error: &hyper::Error) -> Option<Refusal> {
    if error.is_parse_too_large() {
        Some(Refusal::HeadTooLarge)
    } else if error.is_parse() {
        Some(Refusal::NotHttp)
    } else if HeadsHoldTooMuch::caused(error) {
        Some(Refusal::HeadsHoldTooMuch)
    } else {
        None
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
