//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{BrokerName, Client};
use pelton_env::Clock;
use pelton_event::Event;
use pelton_http_front::{Budget, Front, FrontError, FrontHandle, FrontOptionsError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::brokers::Brokers;
use crate::handler::Shared;
use crate::metrics::Metrics;
use crate::{Options, OptionsError};

/// How often the gauge of bytes in flight is brought up to date: a request need not touch it.
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

/// Told of events that are on their way into the log, before they are in it. They may never come to be. It must not wait.
pub type OnAppend = Arc<dyn Fn(&BrokerName, &[Event]) + Send + Sync>;

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

impl From<FrontError> for ServeError {
    fn from(error: FrontError) -> Self {
        match error {
            FrontError::Options(FrontOptionsError(wrong)) => Self::Options(OptionsError(wrong)),
            FrontError::Address(error) => Self::Address(error),
        }
    }
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
        Front::bind(address)
    }

    /// Serves events from `listeners` into `client`. Must be called within a runtime, and after the metrics recorder
    /// was installed. `on_append` is told of each event that is about to be stored.
    ///
    /// # Errors
    /// [`ServeError`]; then nothing was started.
    pub fn serve<C: Client>(
        listeners: Vec<TcpListener>,
        client: C,
        on_append: Option<OnAppend>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<IngressHandle, ServeError> {
        options.check()?;
        let front_options = options.front();
        let resources = client.resources();
        let shared = Arc::new(Shared {
            brokers: Brokers::new(resources, options.broker_bytes_in_flight),
            node: Arc::new(Budget::new(options.node_bytes_in_flight)),
            metrics: Metrics::new(),
            client,
            on_append,
            clock,
            options,
        });
        let front = Front::serve(listeners, front_options, Arc::clone(&shared.node), Arc::clone(&shared))?;
        let stop = CancellationToken::new();
        let keeping_up = tokio::spawn(keep_up(shared, stop.clone()));
        Ok(IngressHandle { front, stop: stop.drop_guard(), keeping_up })
    }
}

/// Follows changes of the resources, and shows how much is held.
async fn keep_up<C: Client>(shared: Arc<Shared<C>>, stop: CancellationToken) {
    let mut resources = shared.client.resources();
    // What changed before this receiver was there is not told to it.
    shared.brokers.refresh();
    let mut source_is_there = true;
    let mut gauge = tokio::time::interval(GAUGE_PERIOD);
    gauge.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
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
    front: FrontHandle,
    /// Stops `keeping_up`, when it is dropped.
    stop: DropGuard,
    keeping_up: JoinHandle<()>,
}

impl IngressHandle {
    /// Where the first listener listens, with the port really bound.
    ///
    /// # Panics
    /// When the ingress was given no listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.front.local_addr()
    }

    /// Where all listeners listen, in the order they were given.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.front.local_addrs()
    }

    /// Stops: accepts nothing more, tells every connection to close, and answers the requests that were read. Returns
    /// when the last connection is gone, or `deadline` after the call, when the rest is cut. Gives the number cut.
    pub async fn shutdown(self, deadline: Duration) -> usize {
        let left = self.front.shutdown(deadline).await;
        drop(self.stop);
        // It only ends, or panics, which the runtime has reported.
        let _ = self.keeping_up.await;
        left
    }
}
