//! The roles of a process: started in order, stopped in the opposite one.
//!
//! Start: listeners are bound first, so that a taken port is said before a log of gigabytes is opened; the metrics
//! listener answers from then on, and `/readyz` says what is waited for. Then the broker is opened, which for a node of
//! a cluster includes coming into it; a node that keeps nothing finds the cluster it works for instead. The API begins,
//! so that the cluster can be looked at while it has no majority. Resources are applied, and dispatcher and ingress
//! begin. The process is ready when what it keeps is open and led.
//!
//! Stop: readiness goes first, so that nobody sends more; what the node leads is handed over, so that the others go on
//! at once; ingress and API finish what they have read, and the dispatcher its attempts, whose progress is stored; the
//! broker syncs its log; the metrics listener is the last.

mod access;
#[cfg(feature = "docker")]
mod docker;
mod early_starts;
mod elsewhere;
mod error;
mod gateway;
mod gateway_ports;
mod reach;
mod readiness;
mod seek;
mod services;
mod versions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pelton_broker::{Blocking, Ended, LocalNode, Member, OnWaiting, RegistryStore, Timing};
use pelton_client::grpc::Connector;
use pelton_client::serving::GatewayAddress;
use pelton_client::{ApplyError, BrokerName, Client as _, ClusterClient, ClusterOptions, NodeId, Role};
use pelton_dispatcher::{Dispatcher, DispatcherHandle, Services};
use pelton_env::{Clock, OsChance, SystemClock};
use pelton_ingress::{Ingress, IngressHandle};
use pelton_peer::{Network, PeerAddress, PeerListener, Pool, Security, TcpNetwork, Tls};
use pelton_resource::{Broker, ObjectMeta, Resource};
use tokio::time::{Instant, sleep, timeout};

use early_starts::EarlyStarts;
pub use error::StartError;
use gateway_ports::GatewayPorts;
use reach::advertised;
pub use reach::reachable;
use services::{OwnServices, ServiceHosts};
pub use versions::spoken;

use crate::access::Access;
use crate::api::Api;
use crate::command::print_error;
use crate::config::{ClusterSettings, Settings};
use crate::exit::{NODE_FAILED, STORAGE_FAILED, with_causes};
use crate::http::{self, Server};
use crate::manifests;
use crate::role_runtime::RoleRuntime;
use crate::telemetry::{Health, LogObserver, Metrics, MetricsListener};

/// The Broker that is there without being asked for: namespace and name.
pub const DEFAULT_BROKER: (&str, &str) = ("default", "default");

/// The pause before resources are handed in again that a cluster without a majority could not take.
const APPLY_PAUSE: Duration = Duration::from_millis(200);

/// How long a node that stops may take to hand over what it leads. It takes some round trips.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

type AnyClient = ClusterClient<LocalNode, Connector>;

/// Where a process really listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// For events, when it takes them in.
    pub ingress: Option<SocketAddr>,
    /// For requests to services, when it takes them in.
    pub gateway: Option<SocketAddr>,
    /// For administration.
    pub api: SocketAddr,
    /// For `/metrics`, `/healthz` and `/readyz`.
    pub metrics: SocketAddr,
    /// What other nodes dial, when it is a member of a cluster.
    pub peer: Option<String>,
}

/// All roles of a process.
pub struct Node {
    addresses: Addresses,
    id: Option<NodeId>,
    tls: Option<Arc<Tls>>,
    guard: access::Guard,
    health: Health,
    ingress: Option<IngressHandle>,
    api: Server,
    dispatcher: Option<(DispatcherHandle, RoleRuntime)>,
    gateway: Option<gateway::Running>,
    broker: Option<pelton_broker::Node>,
    metrics: MetricsListener,
}

/// The listeners, bound before anything else is begun.
struct Listeners {
    ingress: Option<tokio::net::TcpListener>,
    gateway: Option<tokio::net::TcpListener>,
    api: tokio::net::TcpListener,
    peer: Option<Box<dyn PeerListener>>,
}

impl Node {
    /// Starts everything. When it returns, the process is ready.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(settings: &Settings, metrics: Metrics) -> Result<Self, StartError> {
        let mut resources = manifests::read(&settings.files)?;
        let tls = read_tls(settings)?;
        let guarded = access::Guarded::read(settings)?;
        let security = tls.clone().map_or(Security::Plaintext, Security::Tls);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let health = Health::starting();
        let metrics_listener = listen("metrics-listen", settings.metrics_listen, http::bind)?;
        let listeners = Listeners::bind(settings).await?;
        let watched = MetricsListener::start(metrics_listener, metrics.clone(), health.clone());
        let watched = watched.map_err(StartError::Address)?;
        let addresses = listeners.addresses(settings, watched.address()).map_err(StartError::Address)?;

        let (broker, client) = open(settings, security, listeners.peer, &addresses, &clock, &health).await?;
        let own_gateway = gateway::known(settings, &clock)?;
        let api = Api::new(client.clone(), Arc::clone(&clock), Arc::new(OsChance), settings.api_hosts.clone());
        let opens = api.open();
        let own_dispatch = api.own_dispatch();
        let api = api.with_gateway(own_gateway.clone());
        let (guard, gate) = guarded.begin(settings, &addresses, &client, &clock, &opens);
        let api = guard.start(api, listeners.api, gate).map_err(StartError::Address)?;
        if makes_default_broker(settings, broker.as_ref()) {
            resources.extend(default_broker(&client, &resources));
        }
        apply(&client, resources, settings, &health).await?;
        let dispatches = has(settings, Role::Dispatcher);
        let mut dispatcher = None;
        // One beside a gateway asks that for slots, and begins after it.
        if dispatches && listeners.gateway.is_none() {
            dispatcher = Some(dispatch(settings, client.clone(), &clock, None)?);
        }
        // Before that a Broker may be unknown here that the cluster has, and a producer must not be told that there is none.
        readiness::wait(broker.as_ref(), &client, &health).await;
        opens.store(true, Ordering::Release);
        guard.ready(&health).await;
        let gateway = match listeners.gateway.zip(own_gateway) {
            Some((listener, known)) => Some(gateway::start(settings, listener, client.clone(), &known).await?),
            None => None,
        };
        if let Some(gateway) = &gateway {
            let series = gateway.series();
            metrics.show(move |text| series.write(text));
        }
        let services = gateway.as_ref().zip(addresses.gateway);
        let services = services.map(|(gateway, address)| {
            let ports = GatewayPorts::new(Some(address.port()), client.cluster());
            (ServiceHosts::new(settings.gateway_domain.clone(), ports), gateway.deliveries(), gateway)
        });
        if let Some((hosts, deliveries, _)) = services.as_ref().filter(|_| dispatches) {
            let services = Arc::new(OwnServices::new(hosts.clone(), deliveries.clone()));
            dispatcher = Some(dispatch(settings, client.clone(), &clock, Some(services))?);
        }
        if let Some((dispatcher, _)) = &dispatcher {
            own_dispatch.began(dispatcher.source());
            if let Some(broker) = &broker {
                broker.set_dispatch(dispatcher.source());
            }
        }
        let on_append = services.map(|(hosts, deliveries, gateway)| {
            let _there = gateway.enter();
            EarlyStarts::begin(&client, hosts, deliveries)
        });
        let ingress = match listeners.ingress {
            Some(listener) => {
                let options = ingress_options(settings);
                Some(Ingress::serve(vec![listener], client.clone(), on_append, options, clock)?)
            }
            None => None,
        };
        let id = client.cluster().borrow().this.filter(|_| settings.cluster.is_some());
        health.set_ready();
        Ok(Self { addresses, id, tls, guard, health, ingress, api, dispatcher, gateway, broker, metrics: watched })
    }

    /// Where it really listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its identity, when it is a member of a cluster.
    #[must_use]
    pub fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// The certificates that nodes show each other, when they do.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// Who may use the API, when callers are asked who they are.
    #[must_use]
    pub fn access(&self) -> Option<&Access> {
        self.guard.access()
    }

    /// Stops everything in order. Requests and attempts that take longer than `grace` are cut off; what was
    /// acknowledged is kept all the same.
    pub async fn stop(self, grace: Duration) {
        self.health.set_stopping();
        if let Some(broker) = &self.broker {
            // What is not handed over by then is taken over once the others miss this node.
            let _ = timeout(HAND_OVER_WITHIN.min(grace), broker.hand_over()).await;
        }
        let deadline = Instant::now() + grace;
        // Side by side, so that the grace is one for all of them. They need nothing of each other, only the broker.
        let taken_in = async {
            match self.ingress {
                Some(ingress) => ingress.shutdown(grace).await,
                None => 0,
            }
        };
        let delivered = async {
            if let Some((dispatcher, threads)) = self.dispatcher {
                dispatcher.shutdown(deadline).await;
                drop(threads);
            }
        };
        // Instances outlive the dispatcher, whose attempts go to services as well; requests from outside do not wait for it.
        let served = async {
            match self.gateway {
                Some(gateway) => gateway.shutdown(grace, delivered).await,
                None => {
                    delivered.await;
                    0
                }
            }
        };
        let (cut, (), cut_by_gateway) = tokio::join!(taken_in, self.api.shutdown(grace), served);
        let cut = cut + cut_by_gateway;
        if cut > 0 {
            tracing::warn!(connections = cut, "connections were cut off: they took longer than the grace");
        }
        self.guard.flush().await;
        if let Some(broker) = self.broker {
            broker.shutdown().await;
        }
        self.metrics.shutdown(Duration::from_secs(1)).await;
    }
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let ingress = match has(settings, Role::Ingress) {
            true => Some(listen("ingress-listen", settings.ingress_listen, Ingress::bind)?),
            false => None,
        };
        let gateway = match gateway::is_here(settings) {
            true => Some(listen("gateway-listen", settings.gateway_listen, gateway::bind)?),
            false => None,
        };
        let api = listen("api-listen", settings.api_listen, http::bind)?;
        let peer =
            match settings.cluster.as_ref().filter(|cluster| cluster.keeps_replicas()) {
                Some(cluster) => Some(TcpNetwork.listen(cluster.peer_listen).await.map_err(|source| {
                    StartError::Listen { key: "peer-listen", address: cluster.peer_listen, source }
                })?),
                None => None,
            };
        Ok(Self { ingress, gateway, api, peer })
    }

    fn addresses(&self, settings: &Settings, metrics: SocketAddr) -> io::Result<Addresses> {
        let told = settings.cluster.as_ref().and_then(|cluster| cluster.peer_advertise.as_ref());
        let peer = match (&self.peer, told) {
            (None, _) => None,
            (Some(_), Some(told)) => Some(told.to_string()),
            (Some(listener), None) => Some(listener.local_addr()?.to_string()),
        };
        let ingress = self.ingress.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
        let gateway = self.gateway.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
        Ok(Addresses { ingress, gateway, api: self.api.local_addr()?, metrics, peer })
    }
}

/// Whether this process has a role. One by itself has all of them.
fn has(settings: &Settings, role: Role) -> bool {
    settings.cluster.as_ref().is_none_or(|cluster| cluster.roles.contains(&role))
}

fn read_tls(settings: &Settings) -> Result<Option<Arc<Tls>>, StartError> {
    let files = settings.cluster.as_ref().and_then(|cluster| cluster.tls.clone());
    Ok(files.map(Tls::read).transpose()?.map(Arc::new))
}

/// Opens what the process keeps, or finds what it works for, and gives a client of it.
async fn open(
    settings: &Settings,
    security: Security,
    peer: Option<Box<dyn PeerListener>>,
    addresses: &Addresses,
    clock: &Arc<dyn Clock>,
    health: &Health,
) -> Result<(Option<pelton_broker::Node>, AnyClient), StartError> {
    let network: Arc<dyn Network> = Arc::new(TcpNetwork);
    let pool = Arc::new(Pool::new(Arc::clone(&network), security.clone()));
    let chance = Arc::new(OsChance);
    let options = ClusterOptions::default();
    if let Some(cluster) = settings.cluster.as_ref().filter(|cluster| !cluster.keeps_replicas()) {
        let id = seek::cluster_id(cluster, &pool, &*chance, health).await?;
        let seeds = cluster.join.iter().map(ToString::to_string).collect();
        let client = ClusterClient::apart(None, seeds, Connector::new(pool, id, spoken()), options, chance);
        return Ok((None, client));
    }
    let member = match (&settings.cluster, peer) {
        (Some(cluster), Some(listener)) => {
            health.set_waiting("coming into the cluster".to_owned());
            let own = addresses.peer.as_deref().map(str::parse::<PeerAddress>);
            let own = own.expect("it has a listener for nodes").expect("it was made of a host and a port");
            Some(member(cluster, own, (network, security), listener, health))
        }
        _ => None,
    };
    let broker = pelton_broker::Node::open(broker_options(settings, clock, member)).await;
    let broker = broker.map_err(|error| StartError::Open(Box::new(error)))?;
    if let Some(ingress) = addresses.ingress {
        broker.set_ingress(format!("http://{}", advertised(ingress, own_host(settings))));
    }
    if let Some(gateway) = addresses.gateway {
        let address = GatewayAddress { domain: settings.gateway_domain.clone(), port: gateway.port() };
        broker.set_gateway(address, advertised(gateway, own_host(settings)));
    }
    broker.set_api(advertised(addresses.api, own_host(settings)));
    let connector = Connector::new(pool, broker.identity().cluster, spoken());
    let client = ClusterClient::beside(broker.client(), connector, options, chance);
    Ok((Some(broker), client))
}

fn member(
    cluster: &ClusterSettings,
    own: PeerAddress,
    (network, security): (Arc<dyn Network>, Security),
    listener: Box<dyn PeerListener>,
    health: &Health,
) -> Member {
    let health = health.clone();
    Member {
        name: cluster.name.clone(),
        peer_advertise: own,
        join: cluster.join.clone(),
        zone: cluster.zone.clone(),
        roles: cluster.roles.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        network,
        security,
        listener: listener.into(),
        replicas: cluster.replicas,
        node_lost_after: cluster.node_lost_after,
        timing: Timing::default(),
        on_waiting: OnWaiting(Arc::new(move |what| health.set_waiting(what))),
    }
}

fn own_host(settings: &Settings) -> Option<&PeerAddress> {
    settings.cluster.as_ref()?.peer_advertise.as_ref()
}

fn listen<T>(
    key: &'static str,
    address: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> io::Result<T>,
) -> Result<T, StartError> {
    bind(address).map_err(|source| StartError::Listen { key, address, source })
}

fn dispatch(
    settings: &Settings,
    client: AnyClient,
    clock: &Arc<dyn Clock>,
    services: Option<Arc<dyn Services>>,
) -> Result<(DispatcherHandle, RoleRuntime), StartError> {
    let network: Arc<dyn Network> = match services {
        Some(_) => Arc::new(TcpNetwork),
        None => {
            let ports = GatewayPorts::new(None, client.cluster());
            Arc::new(elsewhere::ServicesElsewhere::new(ServiceHosts::new(settings.gateway_domain.clone(), ports)))
        }
    };
    let threads = RoleRuntime::start("pelton-dispatch", settings.workers).map_err(StartError::Threads)?;
    let handle = {
        let _there = threads.enter();
        let options = pelton_dispatcher::Options::default();
        Dispatcher::start(client, network, services, options, Arc::clone(clock), Arc::new(OsChance))
    };
    Ok((handle, threads))
}

fn broker_options(settings: &Settings, clock: &Arc<dyn Clock>, member: Option<Member>) -> pelton_broker::Options {
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
        on_ended: Arc::new(node_ended),
        scrub_bytes_per_second: settings.scrub_bytes_per_second,
        direct_io: settings.direct_io,
        store: RegistryStore::default(),
        blocking: Blocking::default(),
        versions: spoken(),
        raise_version_after: settings.raise_version_after,
        member,
    }
}

/// The disk did not keep what it was given. Whatever is not synced by now may be lost, and asking again would only
/// hide that; so nothing is acknowledged any more, and what was acknowledged is read again at the next start.
fn storage_failed(error: &io::Error) {
    // It may go to a file on that very disk.
    print_error(&format!(
        "pelton: the log could not be written or synced: {error}\n\
         Nothing more is acknowledged, and the process ends. What was acknowledged is in the log. Look after the disk, \
         then start again."
    ));
    std::process::exit(i32::from(STORAGE_FAILED));
}

/// The node cannot go on, and its disk is sound.
fn node_ended(ended: &Ended) {
    let (code, then) = end_of(ended);
    print_error(&format!("pelton: {}\n{then}", with_causes(ended)));
    std::process::exit(i32::from(code));
}

/// The code that the process ends with, and what is to be done.
fn end_of(ended: &Ended) -> (u8, &'static str) {
    match ended {
        Ended::Replica { .. } => (
            NODE_FAILED,
            "Nothing more is acknowledged, and the process ends. What was acknowledged is in the log, and the disk is \
             not to blame: start again.",
        ),
        // As a new start would be refused, of these two.
        Ended::Protocol(_) => (1, "The process ends. Its data are as they were: start it as the newer program."),
        Ended::Removed { .. } => (1, "The process ends. Its identity is not given again: a new node begins empty."),
    }
}

fn ingress_options(settings: &Settings) -> pelton_ingress::Options {
    pelton_ingress::Options { max_event_bytes: settings.max_event_bytes, ..pelton_ingress::Options::default() }
}

/// Whether this process makes the default Broker: one by itself, or the node that formed the cluster. Any other could
/// not tell a cluster that has none from one that it has not heard all of yet, and would write over what there is.
fn makes_default_broker(settings: &Settings, broker: Option<&pelton_broker::Node>) -> bool {
    const FIRST: u64 = 1;
    settings.cluster.is_none() || broker.is_some_and(|broker| broker.identity().node == FIRST)
}

/// Stores resources: all or none. A cluster that takes no changes now, because too few of its nodes are there, is waited
/// for.
async fn apply(
    client: &AnyClient,
    resources: Vec<Resource>,
    settings: &Settings,
    health: &Health,
) -> Result<(), ApplyError> {
    if resources.is_empty() {
        return Ok(());
    }
    loop {
        match client.apply(resources.clone()).await {
            Err(ApplyError::Unavailable | ApplyError::NotLeader { .. } | ApplyError::OutcomeUnknown)
                if settings.cluster.is_some() =>
            {
                health.set_waiting("waiting for the registry to take resources".to_owned());
                sleep(APPLY_PAUSE).await;
            }
            outcome => return outcome.map(drop),
        }
    }
}

/// The Broker `default/default`, when it is neither stored nor among `resources`.
fn default_broker(client: &AnyClient, resources: &[Resource]) -> Option<Resource> {
    let (namespace, name) = DEFAULT_BROKER;
    let stored = client.resources().borrow().brokers.contains_key(&BrokerName::new(namespace, name));
    let meta = ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..ObjectMeta::default() };
    let broker = Resource::Broker(Broker { metadata: meta, ..Broker::default() });
    let is_default = |resource: &Resource| {
        let meta = resource.meta();
        let in_namespace = meta.namespace == namespace || meta.namespace.is_empty();
        resource.kind() == broker.kind() && meta.name == name && in_namespace
    };
    (!stored && !resources.iter().any(is_default)).then_some(broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 70 says that the disk failed, which a service manager does not start again.
    #[test]
    fn only_a_failed_disk_ends_with_the_code_of_one() {
        assert_eq!(end_of(&Ended::Removed { why: "removed".to_owned() }).0, 1);
        let failed = Ended::Replica { group: pelton_client::GroupId(0), why: "its core panicked".to_owned() };
        assert_eq!(end_of(&failed).0, NODE_FAILED);
        assert_ne!(NODE_FAILED, STORAGE_FAILED);
    }
}
