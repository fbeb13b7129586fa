//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::Client;
use pelton_env::Clock;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;

use crate::admission::Budget;
use crate::brokers::Brokers;
use crate::connection::Protocols;
use crate::handler::Shared;
use crate::lifecycle::Lifecycle;
use crate::listener::Acceptor;
use crate::metrics::Metrics;
use crate::{Options, OptionsError};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: u32 = 4096;

/// How often the gauge of bytes in flight is brought up to date: a request need not touch it.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

/// Why an ingress did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options do not fit together.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A listener would not say where it listens.
    #[error("the address of a listener could not be read")]
    Address(#[source] io::Error),
}

/// The way in for events.
#[derive(Debug)]
pub struct Ingress;

impl Ingress {
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

    /// Serves events from `listeners` into `client`. Must be called within a runtime, and after the metrics recorder
    /// was installed.
    ///
    /// # Errors
    /// [`ServeError`]; then nothing was started.
    pub fn serve<C: Client>(
        listeners: Vec<TcpListener>,
        client: C,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<IngressHandle, ServeError> {
        options.check()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let addresses = addresses.map_err(ServeError::Address)?;
        let protocols = Arc::new(Protocols::new(&options));
        let resources = client.resources();
        let shared = Arc::new(Shared {
            brokers: Brokers::new(resources, options.broker_bytes_in_flight),
            node: Arc::new(Budget::new(options.node_bytes_in_flight)),
            metrics: Metrics::new(),
            client,
            clock,
            options,
        });
        let (lifecycle, connections, helpers) = (Arc::<Lifecycle>::default(), TaskTracker::new(), TaskTracker::new());
        let acceptor = Arc::new(Acceptor {
            shared: Arc::clone(&shared),
            protocols,
            lifecycle: Arc::clone(&lifecycle),
            connections: connections.clone(),
            open: Arc::default(),
        });
        for listener in listeners {
            helpers.spawn(Arc::clone(&acceptor).run(listener));
        }
        helpers.spawn(keep_up(shared, Arc::clone(&lifecycle)));
        Ok(IngressHandle { addresses, lifecycle, connections, helpers })
    }
}

/// Follows changes of the resources, and shows how much is held.
async fn keep_up<C: Client>(shared: Arc<Shared<C>>, lifecycle: Arc<Lifecycle>) {
    let mut resources = shared.client.resources();
    // What changed before this receiver was there is not told to it.
    shared.brokers.refresh();
    let mut source_is_there = true;
    let mut gauge = tokio::time::interval(GAUGE_PERIOD);
    gauge.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = lifecycle.was_cut() => return,
            changed = resources.changed(), if source_is_there => match changed {
                Ok(()) => {
                    shared.brokers.refresh();
                }
                Err(_) => {
                    tracing::warn!("the source of resources is gone; Brokers stay as they were last known");
                    source_is_there = false;
                }
            },
            _ = gauge.tick() => shared.metrics.bytes_in_flight.set(shared.node.used() as f64),
        }
    }
}

/// A running ingress. Dropping it cuts every connection; [`IngressHandle::shutdown`] is the polite way.
#[derive(Debug)]
pub struct IngressHandle {
    addresses: Vec<SocketAddr>,
    lifecycle: Arc<Lifecycle>,
    connections: TaskTracker,
    helpers: TaskTracker,
}

impl IngressHandle {
    /// Where the first listener listens, with the port really bound.
    ///
    /// # Panics
    /// When the ingress was given no listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.addresses.first().expect("an ingress is started with a listener")
    }

    /// Where all listeners listen, in the order they were given.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops: accepts nothing more, tells every connection to close, and answers the requests that were read. Returns
    /// when the last connection is gone, or `deadline` after the call, when the rest is cut. Gives the number cut.
    pub async fn shutdown(self, deadline: Duration) -> usize {
        self.lifecycle.stop();
        self.connections.close();
        self.helpers.close();
        let finished = tokio::time::timeout(deadline, self.connections.wait()).await.is_ok();
        let left = if finished { 0 } else { self.connections.len() };
        self.lifecycle.cut();
        self.connections.wait().await;
        self.helpers.wait().await;
        left
    }
}

impl Drop for IngressHandle {
    fn drop(&mut self) {
        self.lifecycle.cut();
    }
}
