//! The API: resources as Kubernetes' clients speak of them ([`pelton_control_plane`]), and below `/v1` what they have no words
//! for: dead letters, cursors, the cluster, logs.
//!
//! The latter is thin on purpose: each route is one call of [`Client`]. Who calls, and whether he may, is found out before any
//! route is asked ([`Gate`]). What a web page in a browser on the same machine could send is refused ([`guard`]).
//!
//! | request | what |
//! | --- | --- |
//! | `POST /v1/triggers/{namespace}/{name}/rewind` | `{"to": "latest" or "earliest" or "offset:N" or a time}` |
//! | `PUT`, `DELETE /v1/triggers/{namespace}/{name}/warning` | `{"reason": ..., "message": ...}` |
//! | `GET /v1/dead-letters` | a page; `?trigger=`, `?limit=`, `?after=` |
//! | `GET /v1/dead-letters/{namespace}/{trigger}/{group}/{offset}` | one, with its event |
//! | `GET /v1/events/{namespace}/{broker}` | a page of a Broker's events ([`events`]) |
//! | `GET /v1/events/{namespace}/{broker}/tail` | its events as they are committed, an object a line |
//! | `GET /v1/events/{namespace}/{broker}/matches` | which of its events a filter lets pass |
//! | `GET /v1/triggers/{namespace}/{name}/matches` | the same, of a Trigger's filter |
//! | `GET /v1/event/{group}/{offset}` | one event |
//! | `GET /v1/trace?source=&id=` | what became of an event ([`trace`]) |
//! | `GET /v1/top` | Brokers, Triggers and Revisions with what they do at this moment ([`top`]) |
//! | `GET /v1/services/{namespace}/{name}/logs`, the same for revisions | what its instances printed on this node ([`logs`]) |
//! | `GET /v1/services/{namespace}/{name}/instances`, the same for revisions | what its instances are doing on this node |
//! | `GET /v1/cluster` | nodes, groups, and what is wrong with them |
//! | `POST /v1/cluster/changes` | `{"change": "drain" or "undrain" or "remove" or "move" or "lead", ...}` |
//! | `POST /v1/dead-letters/redrive`, `POST /v1/dead-letters/discard` | `{"trigger": ..., "position": ...}` or `{"all": true}` |

mod cluster;
pub mod cluster_view;
mod dead_letters;
mod dispatchers;
mod events;
pub mod events_view;
mod gateway;
pub mod guard;
mod logs;
mod problem;
#[cfg(test)]
mod properties;
mod resources;
mod router;
pub mod serving_view;
#[cfg(test)]
mod tests;
mod top;
pub mod top_view;
mod trace;
pub mod view;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pelton_access::account::AccountKey;
use pelton_client::Client;
use pelton_control_plane::ControlPlane;
use pelton_env::{Chance, Clock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

pub use dispatchers::OwnDispatch;
pub use events::time::{moment, rfc3339};
pub use gateway::OwnGateway;
pub use problem::Problem;
pub use router::query_value;

use crate::access::Gate;
use crate::http::{Door, Limits, Security, Server};

/// Manifests of thousands of resources fit; everything else is far smaller.
/// A watch takes a connection, and a controller has one for each kind.
const LIMITS: Limits = Limits { connections: 1024, body_bytes: pelton_resource::limits::MAX_MANIFEST_BYTES };

/// What the routes need.
#[derive(Debug)]
pub struct Api<C> {
    client: C,
    control_plane: ControlPlane<C>,
    clock: Arc<dyn Clock>,
    hosts: Vec<String>,
    scheme: &'static str,
    gateway: Option<OwnGateway>,
    log_readers: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    tail_reads: Arc<Semaphore>,
    tops: Arc<Semaphore>,
    own_dispatch: OwnDispatch,
}

impl<C: Client + Clone> Api<C> {
    /// An API over `client` that may be called by an address, as `localhost`, or by one of `hosts`.
    pub fn new(client: C, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>, hosts: Vec<String>) -> Self {
        let control_plane = ControlPlane::new(client.clone(), Arc::clone(&clock), chance);
        Self {
            client,
            control_plane,
            clock,
            hosts,
            scheme: "http",
            gateway: None,
            log_readers: Arc::new(Semaphore::new(logs::READERS)),
            scans: Arc::new(Semaphore::new(events::SCANS)),
            tails: Arc::new(Semaphore::new(events::TAILS)),
            tail_reads: Arc::new(Semaphore::new(events::TAIL_READS)),
            tops: Arc::new(Semaphore::new(1)),
            own_dispatch: OwnDispatch::default(),
        }
    }
}

impl<C: Client> Api<C> {
    /// The same, with the gateway of its process, if that has one.
    #[must_use]
    pub fn with_gateway(self, gateway: Option<OwnGateway>) -> Self {
        Self { gateway, ..self }
    }

    /// Where the dispatcher of this process is told of, once it has begun.
    pub fn own_dispatch(&self) -> OwnDispatch {
        self.own_dispatch.clone()
    }

    /// What is set once it is known here what there is: clients of Kubernetes are told nothing before.
    pub fn open(&self) -> Arc<AtomicBool> {
        self.control_plane.open()
    }

    /// The same, that makes tokens of ServiceAccounts with the key that is there at the time.
    #[must_use]
    pub fn with_account_keys(self, keys: watch::Receiver<Option<Arc<AccountKey>>>) -> Self {
        Self { control_plane: self.control_plane.with_account_keys(keys), ..self }
    }

    /// Serves from now on, and asks nobody who he is.
    #[cfg(test)]
    pub fn start_open(self, listener: TcpListener) -> std::io::Result<Server> {
        let gate = Gate::new(None, None, Arc::clone(&self.clock), Arc::new(pelton_env::SeededChance::new(1)));
        self.start(listener, gate, Security::Plaintext)
    }

    /// Serves from now on, behind `gate`.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn start(mut self, listener: TcpListener, gate: Gate, security: Security) -> std::io::Result<Server> {
        if matches!(security, Security::Tls(_)) {
            self.scheme = "https";
        }
        let api = Arc::new(self);
        let door = Door { security, admit: gate.admit::<C>() };
        Server::start_behind(door, listener, LIMITS, move |request| {
            let (api, gate) = (Arc::clone(&api), gate.clone());
            async move {
                let (request, entered) = match gate.enter::<C>(request).await {
                    Ok(entered) => entered,
                    Err(refusal) => return refusal,
                };
                let mut response = router::answer(&api, request, &entered.caller).await;
                entered.leave::<C>(&mut response);
                response
            }
        })
    }
}
