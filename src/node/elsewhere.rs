//! The network as the dispatchers of a node see it that runs no services: the names that services have within a cluster
//! lead to the gateways of other nodes.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use pelton_peer::{BoxedIo, Network, PeerListener, TcpNetwork};

use super::services::ServiceHosts;

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
            match TcpNetwork.connect(gateway.host(), gateway.port()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
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
