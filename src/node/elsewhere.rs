//! The network as the dispatchers of a node see it that runs no services: the names that services have within a cluster
//! lead to the gateways of other nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pelton_peer::{BoxedIo, Network, PeerListener, TcpNetwork};
use tokio::time::timeout;

use super::services::ServiceHosts;

/// How long one gateway may take. A node that is cut off does not refuse any, and the others are to be tried in the time of an
/// attempt.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The real network, and the gateways of other nodes for the hosts of services.
#[derive(Debug)]
pub struct ServicesElsewhere {
    hosts: ServiceHosts,
    /// Goes round the gateways.
    next: AtomicUsize,
}

impl ServicesElsewhere {
    /// For services that have these hosts.
    pub fn new(hosts: ServiceHosts) -> Self {
        Self { hosts, next: AtomicUsize::new(0) }
    }

    async fn connect_to_any(&self) -> io::Result<BoxedIo> {
        let mut gateways = self.hosts.ports().gateways();
        if gateways.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "no node of the cluster runs services"));
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % gateways.len();
        gateways.rotate_left(first);
        let mut last = None;
        for gateway in gateways {
            match timeout(CONNECT_WITHIN, TcpNetwork.connect(gateway.host(), gateway.port())).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        Err(last.expect("one was tried at least"))
    }
}

impl Network for ServicesElsewhere {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxedIo>> {
        if self.hosts.have(host, port) { Box::pin(self.connect_to_any()) } else { TcpNetwork.connect(host, port) }
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>> {
        TcpNetwork.listen(address)
    }
}
