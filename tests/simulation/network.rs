//! TCP of the simulation, as a network that nodes can use.
//!
//! A link of turmoil keeps the order of what it carries and does not send anything twice. A segment that is lost is
//! lost for good: everything behind it waits, until a keepalive that is not answered closes the connection. So a link
//! that loses messages shows here as connections that hang and break, and a link that is *held* as TCP that tries again
//! after a partition. Messages that come twice, late or out of order are made one level up (`mangle.rs`).

use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use pelton_peer::{BoxedIo, Network, PeerAddress, PeerListener};
use turmoil::net::{TcpListener, TcpStream};

/// The network of the host that asks.
pub struct TurmoilNetwork;

impl Network for TurmoilNetwork {
    fn connect<'a>(&'a self, address: &'a PeerAddress) -> BoxFuture<'a, io::Result<BoxedIo>> {
        Box::pin(async move {
            let stream = TcpStream::connect((address.host(), address.port())).await?;
            Ok(Box::new(stream) as BoxedIo)
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
            Ok((Box::new(stream) as BoxedIo, from))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
