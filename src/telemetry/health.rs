//! The listener for those who watch: `/metrics`, `/healthz`, `/readyz`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Metrics;
use crate::http::{Limits, Server, response};

const LIMITS: Limits = Limits { connections: 64, body_bytes: 1024 };

/// Whether the process can do its work, and if not, why.
#[derive(Debug, Clone)]
pub struct Health(Arc<Mutex<Result<(), String>>>);

impl Health {
    /// Not ready: it is starting.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(Mutex::new(Err("starting".to_owned()))))
    }

    /// Not ready: it waits for this. One line.
    pub fn set_waiting(&self, what: String) {
        *self.0.lock() = Err(what);
    }

    /// It can do its work from now on.
    pub fn set_ready(&self) {
        *self.0.lock() = Ok(());
    }

    /// It takes no more work from now on.
    pub fn set_stopping(&self) {
        *self.0.lock() = Err("stopping".to_owned());
    }

    /// `Err` with a few words when it cannot.
    ///
    /// # Errors
    /// It is starting, waiting or stopping.
    pub fn check(&self) -> Result<(), String> {
        self.0.lock().clone()
    }
}

/// The listener. Up from the first moment to the last, so that a start that takes long can be watched.
#[derive(Debug)]
pub struct MetricsListener {
    server: Server,
    upkeep: JoinHandle<()>,
}

impl MetricsListener {
    /// Serves from now on.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start(listener: TcpListener, metrics: Metrics, health: Health) -> io::Result<Self> {
        let upkeep = tokio::spawn(metrics.clone().upkeep());
        let server = Server::start(listener, LIMITS, move |request| {
            let answer = answer(&request, &metrics, &health);
            async move { answer }
        })?;
        Ok(Self { server, upkeep })
    }

    /// The address really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Stops serving.
    pub async fn shutdown(self, grace: Duration) {
        self.upkeep.abort();
        self.server.shutdown(grace).await;
    }
}

fn answer(request: &Request<Bytes>, metrics: &Metrics, health: &Health) -> Response<Bytes> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        refused.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        // Alive is being able to answer at all.
        "/healthz" => response(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => match health.check() {
            Ok(()) => response(StatusCode::OK, TEXT, "ok\n"),
            Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        _ => response(StatusCode::NOT_FOUND, TEXT, "there is /metrics, /healthz and /readyz\n"),
    }
}
