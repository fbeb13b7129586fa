//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;

use crate::connection::Protocols;
use crate::lifecycle::Lifecycle;
use crate::listener::Shared;
use crate::{Budget, FrontOptions, FrontOptionsError, Handler};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: u32 = 4096;

/// Why a front did not start.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// There are options that cannot be.
    #[error(transparent)]
    Options(#[from] FrontOptionsError),
    /// A listener would not say where it listens.
    #[error("the address of a listener could not be read")]
    Address(#[source] io::Error),
}

/// Listeners and their connections.
#[derive(Debug)]
pub struct Front;

impl Front {
    /// Listens on `address`; port 0 takes a free one. Must be called within a runtime.
    ///
    /// # Errors
    /// That of the system: the address is taken, or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart must not wait for the last connections of the process before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// Has `handler` answer what comes in at `listeners`. Heads that are not complete take what they hold from `heads`.
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// [`FrontError`]; then nothing was started.
    pub fn serve<H: Handler>(
        listeners: Vec<TcpListener>,
        options: FrontOptions,
        heads: Arc<Budget>,
        handler: Arc<H>,
    ) -> Result<FrontHandle, FrontError> {
        options.check()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(FrontError::Address)?;
        let (lifecycle, connections, loops) = (Arc::<Lifecycle>::default(), TaskTracker::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
            handler,
            protocols: Protocols::new(&options),
            options,
            heads,
            lifecycle: Arc::clone(&lifecycle),
            connections: connections.clone(),
            open: AtomicUsize::new(0),
        });
        for listener in listeners {
            loops.spawn(Arc::clone(&shared).accept_all(listener));
        }
        Ok(FrontHandle { addresses, lifecycle, connections, loops })
    }
}

/// A running front. Dropping it cuts every connection; [`FrontHandle::shutdown`] is the polite way. Neither touches
/// connections that were upgraded: who took them ends them.
#[derive(Debug)]
pub struct FrontHandle {
    addresses: Vec<SocketAddr>,
    lifecycle: Arc<Lifecycle>,
    connections: TaskTracker,
    loops: TaskTracker,
}

impl FrontHandle {
    /// Where the first listener listens, with the port really bound.
    ///
    /// # Panics
    /// When the front was given no listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.addresses.first().expect("a front is started with a listener")
    }

    /// Where all listeners listen, in the order they were given.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops: accepts nothing more, tells every connection to close, and answers the requests that were read. Returns
    /// when the last connection is gone, or `deadline` after the call, when the rest is cut. Gives the number cut.
    ///
    /// HTTP/1 is told by `Connection: close` on the answer that is due, or is closed when none is; HTTP/2 by GOAWAY. An
    /// answer whose head was sent before ends as it would, and its connection with it.
    pub async fn shutdown(self, deadline: Duration) -> usize {
        self.lifecycle.stop();
        self.connections.close();
        self.loops.close();
        let finished = tokio::time::timeout(deadline, self.connections.wait()).await.is_ok();
        let left = if finished { 0 } else { self.connections.len() };
        self.lifecycle.cut();
        self.connections.wait().await;
        self.loops.wait().await;
        left
    }
}

impl Drop for FrontHandle {
    fn drop(&mut self) {
        self.lifecycle.cut();
    }
}
