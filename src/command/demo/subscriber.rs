//! A subscriber that can be broken and mended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use pelton_event::http::{DecodeOptions, Decoded, decode};
use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::http::{Limits, Server, bind, response};

const LIMITS: Limits = Limits { connections: 64, body_bytes: 64 * 1024 };

/// A request that a subscriber got, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The subscriber.
    pub subscriber: &'static str,
    /// The event's `id`.
    pub id: String,
    /// The event's `type`.
    pub ty: String,
    /// How often this subscriber has seen the event, this time included.
    pub attempt: u32,
    /// What it answered.
    pub status: StatusCode,
}

/// A subscriber that reports each request.
#[derive(Debug)]
pub struct Subscriber {
    server: Server,
    broken: Arc<AtomicBool>,
}

impl Subscriber {
    /// Listens on a free port and reports to `reports`.
    pub fn start(name: &'static str, reports: mpsc::Sender<Received>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed("a subscriber cannot listen", &error);
        let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = bind(loopback).map_err(failed)?;
        let broken = Arc::new(AtomicBool::new(false));
        let state = Arc::new(State { name, broken: Arc::clone(&broken), seen: Mutex::default() });
        let server = Server::start(listener, LIMITS, move |request| {
            let (state, reports) = (Arc::clone(&state), reports.clone());
            async move { state.answer(&request, &reports).await }
        })
        .map_err(failed)?;
        Ok(Self { server, broken })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.address())
    }

    /// From now on it answers 503, or 200.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    /// Stops it.
    pub async fn shutdown(self, grace: Duration) {
        self.server.shutdown(grace).await;
    }
}

struct State {
    name: &'static str,
    broken: Arc<AtomicBool>,
    seen: Mutex<HashMap<String, u32>>,
}

impl State {
    async fn answer(&self, request: &Request<Bytes>, reports: &mpsc::Sender<Received>) -> Response<Bytes> {
        const TEXT: &str = "text/plain";
        let event = match decode(request.headers(), request.body().clone(), &DecodeOptions::default()) {
            Ok(Decoded::Single(event)) => event,
            Ok(Decoded::Batch(_)) => return response(StatusCode::BAD_REQUEST, TEXT, "one event at a time\n"),
            Err(error) => return response(StatusCode::BAD_REQUEST, TEXT, format!("{error}\n")),
        };
        let broken = self.broken.load(Ordering::SeqCst);
        let (status, text) = if broken {
            (StatusCode::SERVICE_UNAVAILABLE, "the card terminal is not plugged in\n")
        } else {
            (StatusCode::OK, "")
        };
        let attempt = {
            let mut seen = self.seen.lock();
            let count = seen.entry(event.id().to_owned()).or_default();
            *count += 1;
            *count
        };
        let (id, ty) = (event.id().to_owned(), event.ty().to_owned());
        // Nobody listens any more when the story is over, as with --stay.
        let _ = reports.send(Received { subscriber: self.name, id, ty, attempt, status }).await;
        response(status, TEXT, text)
    }
}
