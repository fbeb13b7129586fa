//! The roles of a process: started in order, stopped in the opposite one.
//!
//! Start: listeners are bound first, so that a taken port is said before a log of gigabytes is opened; the metrics
//! listener answers from then on. Then the broker is opened, resources are applied, and dispatcher, API and ingress
//! begin. Only then is the process ready.
//!
//! Stop: readiness goes first, so that nobody sends more; ingress and API finish what they have read, and the
//! dispatcher its attempts, whose progress is stored; the broker syncs its log; the metrics listener is the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pelton_broker::LocalClient;
use pelton_client::{ApplyError, BrokerName, Client as _};
use pelton_dispatcher::{Dispatcher, DispatcherHandle};
use pelton_env::{Clock, OsChance, SystemClock};
use pelton_ingress::{Ingress, IngressHandle, ServeError};
use pelton_resource::{Broker, ObjectMeta, Resource};

use tokio::time::Instant;

use crate::api::Api;
use crate::config::Settings;
use crate::exit::STORAGE_FAILED;
use crate::http::{self, Server};
use crate::manifests::{self, BadManifests};
use crate::role_runtime::RoleRuntime;
use crate::telemetry::{Health, LogObserver, Metrics, MetricsListener};

/// The Broker that is there without being asked for: namespace and name.
pub const DEFAULT_BROKER: (&str, &str) = ("default", "default");

/// Where a process really listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For events.
    pub ingress: SocketAddr,
    /// For administration.
    pub api: SocketAddr,
    /// For `/metrics`, `/healthz` and `/readyz`.
    pub metrics: SocketAddr,
}

/// Why a process did not start. It should end then: what was started stops with its runtime.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{key}: cannot listen on {address}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The data cannot be opened.
    #[error(transparent)]
    Open(Box<pelton_broker::OpenError>),
    /// The files with resources cannot be read.
    #[error(transparent)]
    Manifests(#[from] BadManifests),
    /// The resources were not stored.
    #[error("the resources were not stored")]
    Apply(#[from] ApplyError),
    /// The dispatcher got no threads.
    #[error("the dispatcher's threads could not be started")]
    Threads(#[source] io::Error),
    /// The ingress did not start.
    #[error("the ingress did not start")]
    Ingress(#[from] ServeError),
    /// A listener would not say where it listens.
    #[error("the address of a listener could not be read")]
    Address(#[source] io::Error),
}

/// All roles of a process.
pub struct Node {
    addresses: Addresses,
    health: Health,
    ingress: IngressHandle,
    api: Server,
    dispatcher: DispatcherHandle,
    dispatcher_threads: RoleRuntime,
    broker: pelton_broker::Node,
    metrics: MetricsListener,
}

impl Node {
    /// Starts everything. When it returns, the process is ready.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: &Settings, metrics: Metrics) -> Result<Self, StartError> {
        let resources = manifests::read(&settings.files)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let health = Health::starting();
        let metrics_listener = listen("metrics-listen", settings.metrics_listen, http::bind)?;
        let ingress_listener = listen("ingress-listen", settings.ingress_listen, Ingress::bind)?;
        let api_listener = listen("api-listen", settings.api_listen, http::bind)?;
        let ingress_address = ingress_listener.local_addr().map_err(StartError::Address)?;
        let metrics = MetricsListener::start(metrics_listener, metrics, health.clone()).map_err(StartError::Address)?;

        let broker = pelton_broker::Node::open(broker_options(settings, &clock)).await;
        let broker = broker.map_err(|error| StartError::Open(Box::new(error)))?;
        broker.set_ingress(format!("http://{}", reachable(ingress_address)));
        let client = broker.client();
        apply(&client, resources).await?;

        let dispatcher_threads =
            RoleRuntime::start("pelton-dispatch", settings.workers).map_err(StartError::Threads)?;
        let dispatcher = {
            let _there = dispatcher_threads.enter();
            let options = pelton_dispatcher::Options::default();
            Dispatcher::start(client.clone(), options, Arc::clone(&clock), Arc::new(OsChance))
        };
        let api = Api::new(client.clone(), Arc::clone(&clock), settings.api_hosts.clone());
        let api = api.start(api_listener).map_err(StartError::Address)?;
        let ingress = Ingress::serve(vec![ingress_listener], client, ingress_options(settings), clock)?;
        let addresses = Addresses { ingress: ingress_address, api: api.address(), metrics: metrics.address() };
        health.set_ready();
        Ok(Self { addresses, health, ingress, api, dispatcher, dispatcher_threads, broker, metrics })
    }

    /// Where it really listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops everything in order. Requests and attempts that take longer than `grace` are cut off; what was
    /// acknowledged is kept all the same.
    pub async fn stop(self, grace: Duration) {
        self.health.set_stopping();
        // Side by side, so that the grace is one for all of them. They need nothing of each other, only the broker.
        let dispatched = self.dispatcher.shutdown(Instant::now() + grace);
        let (cut, (), ()) = tokio::join!(self.ingress.shutdown(grace), self.api.shutdown(grace), dispatched);
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut off: they took longer than the grace");
        }
        drop(self.dispatcher_threads);
        self.broker.shutdown().await;
        self.metrics.shutdown(Duration::from_secs(1)).await;
    }
}

fn listen<T>(
    key: &'static str,
    address: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> io::Result<T>,
) -> Result<T, StartError> {
    bind(address).map_err(|source| StartError::Listen { key, address, source })
}

fn broker_options(settings: &Settings, clock: &Arc<dyn Clock>) -> pelton_broker::Options {
    pelton_broker::Options {
        data: settings.data.clone(),
        retention: pelton_broker::Retention {
            bytes: settings.retention.bytes,
            dead_letters: settings.retention.dead_letters,
        },
        clock: Arc::clone(clock),
        chance: Arc::new(OsChance),
        observer: Arc::new(LogObserver::new()),
        on_fatal: Arc::new(storage_failed),
        direct_io: settings.direct_io,
    }
}

/// The disk did not keep what it was given. Whatever is not synced by now may be lost, and asking again would only
/// hide that; so nothing is acknowledged any more, and what was acknowledged is read again at the next start.
fn storage_failed(error: &io::Error) {
    eprintln!(
        "pelton: the log could not be written or synced: {error}\n\
         Nothing more is acknowledged, and the process ends. What was acknowledged is in the log. Look after the disk, \
         then start again."
    );
    std::process::exit(i32::from(STORAGE_FAILED));
}

fn ingress_options(settings: &Settings) -> pelton_ingress::Options {
    pelton_ingress::Options { max_event_bytes: settings.max_event_bytes, ..pelton_ingress::Options::default() }
}

/// An address that a producer on this machine can use: that of a listener on all interfaces is none.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: std::net::IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, address.port())
}

/// Stores the resources of the configuration, and the default Broker when there is none. One call: all or none.
async fn apply(client: &LocalClient, mut resources: Vec<Resource>) -> Result<(), ApplyError> {
    let (namespace, name) = DEFAULT_BROKER;
    let stored = client.resources().borrow().brokers.contains_key(&BrokerName::new(namespace, name));
    let meta = ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..ObjectMeta::default() };
    let broker = Resource::Broker(Broker { metadata: meta, ..Broker::default() });
    let is_default = |resource: &Resource| {
        let meta = resource.meta();
        let in_namespace = meta.namespace == namespace || meta.namespace.is_empty();
        resource.kind() == broker.kind() && meta.name == name && in_namespace
    };
    if !stored && !resources.iter().any(is_default) {
        resources.push(broker);
    }
    if resources.is_empty() {
        return Ok(());
    }
    client.apply(resources).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_reached_by_loopback() {
        for (bound, want) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), want);
        }
    }
}
