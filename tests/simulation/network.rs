//! TCP of the simulation, as a network that nodes can use.
//!
//! A link of turmoil keeps the order of what it carries and does not send anything twice. A segment that is lost is
//! lost for good: everything behind it waits, until a keepalive that is not answered closes the connection. So a link
//! that loses messages shows here as connections that hang and break, and a link that is *held* as TCP that tries again
//! after a partition. Messages that come twice, late or out of order are made one level up (`mangle.rs`).
//!
//! What a host that crashes has open is closed when it starts again, in the order in which it was opened: as a machine that
//! is back refuses what it does not remember. Closed by the crash, it would be in the order in which tokio drops tasks, which
//! depends on how many other runs in this process have started.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use pelton_peer::{BoxedIo, Network, PeerListener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

thread_local! {
    static OPENED: Cell<u64> = const { Cell::new(0) };
    static IS_CRASHING: Cell<bool> = const { Cell::new(false) };
    static LEFT_OPEN: RefCell<Vec<(u64, IpAddr, TcpStream)>> = const { RefCell::new(Vec::new()) };
}

/// Does what makes a host crash. What it has open stays so.
pub fn crash(host: impl FnOnce()) {
    IS_CRASHING.set(true);
    host();
    IS_CRASHING.set(false);
}

/// A host starts again: closes what it left open. To be called on that host.
pub fn close_what_was_left(host: &str) {
    let ip = turmoil::lookup(host);
    let mut left = LEFT_OPEN.with_borrow_mut(|left| left.extract_if(.., |(_, of, _)| *of == ip).collect::<Vec<_>>());
    left.sort_by_key(|(opened, ..)| *opened);
}

/// A connection of a host.
struct Socket {
    opened: u64,
    /// `None` only while it is dropped.
    stream: Option<TcpStream>,
}

impl Socket {
    fn boxed(stream: TcpStream) -> BoxedIo {
        let opened = OPENED.get();
        OPENED.set(opened + 1);
        Box::new(Self { opened, stream: Some(stream) })
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(self.get_mut().stream.as_mut().expect("it is not dropped yet"))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let crashes = IS_CRASHING.try_with(Cell::get).unwrap_or(false);
        if let Some((stream, ip)) = self.stream.take().filter(|_| crashes).and_then(|stream| {
            let ip = stream.local_addr().ok()?.ip();
            Some((stream, ip))
        }) {
            LEFT_OPEN.with_borrow_mut(|left| left.push((self.opened, ip, stream)));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// The network of the host that asks.
pub struct TurmoilNetwork;

impl Network for TurmoilNetwork {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxedIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            Ok(Socket::boxed(stream))
        })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>> {
        Box::pin(async move { Ok(Box::new(Listener(TcpListener::bind(address).await?)) as Box<dyn PeerListener>) })
    }
}

struct Listener(TcpListener);

impl PeerListener for Listener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxedIo, SocketAddr)>> {
        Box::pin(async {
            let (stream, from) = self.0.accept().await?;
            Ok((Socket::boxed(stream), from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
