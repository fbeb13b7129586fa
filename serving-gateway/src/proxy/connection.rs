//! Connections to instances.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pelton_http_front::Driven;
use tokio::net::TcpStream;

use super::outgoing::Outgoing;

/// An HTTP/1.1 connection to an instance.
pub type Connection = Driven<TcpStream, Outgoing>;

/// How long a connection may take. A node that is cut off does not refuse any.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why an instance did not answer a request.
pub type SendFailed = pelton_http_front::SendFailed<Outgoing>;

/// Connects to an instance. It is on this machine or near it, and small writes are not held back.
///
/// # Errors
/// That of the system.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
    let stream = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
