//! The network, real or simulated.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A stream of bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A connection, of whatever network.
pub type BoxedIo = Box<dyn Io>;

/// How connections come about. [`TcpNetwork`] is the real one.
pub trait Network: Send + Sync + 'static {
    /// Connects to a host by its name or IP address, an IPv6 address without brackets. Deadlines are the caller's.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxedIo>>;

    /// Listens at an address of this machine. Port 0: any free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>>;
}

/// A listener of a [`Network`].
pub trait PeerListener: Send + Sync + 'static {
    /// The next connection, and where it comes from. May be dropped without losing one.
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxedIo, SocketAddr)>>;

    /// The address really bound.
    ///
    /// # Errors
    /// What the system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// When the system asks a silent peer whether it is still there, and how often in vain. It is the last resort: HTTP/2
/// asks far sooner, but only once a connection is past its handshake.
const TCP_KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// TCP of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxedIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            prepare(&stream)?;
            Ok(Box::new(stream) as BoxedIo)
        })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>> {
        Box::pin(async move {
            let socket =
                if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
            // A node that restarts takes its address again while old connections are still fading.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let listener = socket.listen(crate::limits::BACKLOG)?;
            Ok(Box::new(listener) as Box<dyn PeerListener>)
        })
    }
}

impl PeerListener for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxedIo, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            prepare(&stream)?;
            Ok((Box::new(stream) as BoxedIo, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

/// Small messages leave at once, and a peer that is gone is found out some day.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(TCP_KEEPALIVE_IDLE).with_interval(TCP_KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
