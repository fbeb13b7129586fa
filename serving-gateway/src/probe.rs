//! Whether an instance answers: TCP, HTTP and gRPC probes.
//!
//! [`Probe::once`] asks once, [`Probe::until_ready`] until it answers as it should, with pauses that grow from 0.1 ms to 5 ms:
//! a program that starts in 2 ms is not found ready after 50 ms. Both say what went wrong in words for a condition.
//!
//! **Invariant:** an answer costs at most [`Probe::timeout`] and 64 KiB, whoever gives it. (`probe/tests.rs`)

mod grpc;
mod http;
mod pace;
mod repeated;
#[cfg(test)]
mod tests;

pub(crate) use pace::Pace;
pub use repeated::Repeated;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ::http::HeaderMap;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How an instance is asked whether it is ready.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// How long one answer may take.
    pub timeout: Duration,
    /// How many times in a row it must answer well. 0 counts as 1.
    pub success_threshold: u32,
}

impl Default for Probe {
    /// What Knative takes where nothing is said: a connection, once.
    fn default() -> Self {
        Self { check: Check::Tcp, timeout: Duration::from_secs(1), success_threshold: 1 }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Check {
    /// It takes a connection.
    Tcp,
    /// It answers a GET with a status from 200 to 399.
    Http {
        /// Path and query.
        path: String,
        /// Headers of the request. `Host` is the address unless it is among them.
        headers: HeaderMap,
    },
    /// `grpc.health.v1.Health/Check` answers SERVING, over HTTP/2 without TLS.
    Grpc {
        /// The service that is asked for. Empty: the server as a whole.
        service: String,
    },
}

/// Why an instance is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens.
    #[error("connection refused at {0}")]
    Refused(SocketAddr),
    /// There is no connection for another reason.
    #[error("no connection to {address}: {why}")]
    NoConnection {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        why: String,
    },
    /// No answer came in time.
    #[error("no answer from {address} within {within:?}")]
    TimedOut {
        /// Where.
        address: SocketAddr,
        /// How long was waited.
        within: Duration,
    },
    /// The answer broke off, or was not what it should be.
    #[error("no answer of use from {address}: {why}")]
    Broken {
        /// Where.
        address: SocketAddr,
        /// What was wrong.
        why: String,
    },
    /// It answered that it is not ready.
    #[error("HTTP status {status} from {address}")]
    Status {
        /// Where.
        address: SocketAddr,
        /// The status.
        status: u16,
    },
    /// It answered that it is not ready.
    #[error("gRPC health status {status} from {address}")]
    NotServing {
        /// Where.
        address: SocketAddr,
        /// The name of the status, or what the call failed with.
        status: String,
    },
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub async fn once(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let asked = timeout(self.timeout, self.ask(address)).await;
        asked.unwrap_or(Err(ProbeError::TimedOut { address, within: self.timeout }))
    }

    /// Asks until the instance is ready or `deadline` has come.
    ///
    /// # Errors
    /// What was wrong last.
    pub async fn until_ready(&self, address: SocketAddr, deadline: Instant) -> Result<(), ProbeError> {
        let begun = Instant::now();
        let mut pace = Pace::new();
        let mut last = None;
        let mut successes = 0;
        loop {
            let Ok(answer) = timeout_at(deadline, self.once(address)).await else { break };
            match answer {
                Ok(()) => {
                    successes += 1;
                    if successes >= self.success_threshold {
                        return Ok(());
                    }
                }
                Err(why) => {
                    successes = 0;
                    last = Some(why);
                }
            }
            if timeout_at(deadline, pace.pause()).await.is_err() {
                break;
            }
        }
        Err(last.unwrap_or_else(|| ProbeError::TimedOut { address, within: begun.elapsed() }))
    }

    async fn ask(&self, address: SocketAddr) -> Result<(), ProbeError> {
        let stream = connect(address).await?;
        match &self.check {
            Check::Tcp => Ok(()),
            Check::Http { path, headers } => http::ask(stream, address, path, headers).await,
            Check::Grpc { service } => grpc::ask(stream, address, service).await,
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, ProbeError> {
    let no_connection = |why: io::Error| match why.kind() {
        io::ErrorKind::ConnectionRefused => ProbeError::Refused(address),
        _ => ProbeError::NoConnection { address, why: why.to_string() },
    };
    let stream = TcpStream::connect(address).await.map_err(no_connection)?;
    if is_connected_to_itself(&stream) {
        return Err(ProbeError::Refused(address));
    }
    // Answers are short, and nobody waits for more.
    stream.set_nodelay(true).map_err(no_connection)?;
    Ok(stream)
}

/// A connection within a machine to a port that nobody listens on is made all the same when the system happens to give it
/// that very port for its own end. It then talks to itself.
fn is_connected_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}
