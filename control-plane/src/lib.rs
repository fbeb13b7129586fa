//! The API that kubectl speaks, over the registry of resources (kube-api.md).
//!
//! One generic server, driven by the table of kinds ([`kinds`]). Reads come from what this node has applied of the registry;
//! a write is worked out here (`edit`, pure) from the object as it is known here, and the registry's leader
//! stores it if the object still is that one ([`pelton_client::Write`]). When it is not, it is worked out anew. A watch is a
//! position in the history of changes that every node keeps ([`pelton_client::history`]), so any node goes on where another
//! has stopped.
//!
//! | what | where |
//! | --- | --- |
//! | paths, queries, forms of answers and of bodies | `target`, `query`, `accept`, `options`, `incoming`, `protobuf` |
//! | lists and watches | `list`, `watch`, `selection`, `selector`, `versions`, `table` |
//! | writes | `write`, `edit`, `patch`, `ownership`, `delete` |
//! | what there is | `kinds`, `discovery`, `openapi` |
//! | who may, and what he is told of himself | `attributes`, `reviews`, `tokens`, by the rules of [`pelton_access`] |
//! | errors | `status` |
//!
//! Who calls is told with each request: to find it out is not its business.

mod accept;
mod attributes;
mod body;
mod delete;
pub mod discovery;
mod edit;
mod incoming;
pub mod kinds;
mod list;
mod object;
mod openapi;
mod options;
mod ownership;
mod patch;
mod protobuf;
mod query;
mod requests;
mod reviews;
mod selection;
mod selector;
mod status;
mod table;
mod target;
mod tokens;
mod versions;
mod watch;
mod write;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Request;
use pelton_access::account::AccountKey;
use pelton_access::{Attributes, Caller, Identity};
use pelton_client::{Client, Resources};
use pelton_env::{Chance, Clock};
use serde_json::Value;
use tokio::sync::watch::Receiver;

pub use attributes::attributes;
pub use body::{Answer, Body};
pub use status::ApiError;
pub use table::{Path, PathError};

/// The API over a client of the cluster.
#[derive(Debug)]
pub struct ControlPlane<C> {
    client: C,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    /// Where the schemas are. To know it every one of them is made.
    schemas: OnceLock<Value>,
    /// Whether it is known what there is.
    is_open: Arc<AtomicBool>,
    /// When it began: what is made from the table of kinds is as old.
    began_unix_millis: u64,
    /// What signs tokens of ServiceAccounts, where anybody does.
    account_keys: Option<Receiver<Option<Arc<AccountKey>>>>,
}

impl<C: Client> ControlPlane<C> {
    /// An API over `client`.
    pub fn new(client: C, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Self {
        let began_unix_millis = clock.now().0;
        let (schemas, is_open) = (OnceLock::new(), Arc::default());
        Self { client, clock, chance, schemas, is_open, began_unix_millis, account_keys: None }
    }

    /// The same, where tokens of ServiceAccounts are signed: by the key that is there at the time.
    #[must_use]
    pub fn with_account_keys(self, keys: Receiver<Option<Arc<AccountKey>>>) -> Self {
        Self { account_keys: Some(keys), ..self }
    }

    /// What is set once it is known here what there is. Until then only what is the same everywhere is told: to whom sees an
    /// empty list, everything was deleted.
    #[must_use]
    pub fn open(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_open)
    }

    /// Whether a path is one of this API.
    #[must_use]
    pub fn has(path: &str) -> bool {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        matches!(first, "api" | "apis" | "openapi" | "version" | "healthz" | "livez" | "readyz")
    }

    /// Answers a request of somebody for one of its paths.
    pub async fn answer(&self, request: Request<Bytes>, caller: &Caller) -> Answer {
        let (parts, body) = request.into_parts();
        self.handle(&parts, body, caller).await.unwrap_or_else(|error| {
            if error.code.is_server_error() {
                tracing::debug!(%error, path = parts.uri.path(), "a request to the API was not done");
            }
            body::refusal(&error)
        })
    }

    /// The resources as this node knows them.
    fn current(&self) -> Arc<Resources> {
        self.client.resources().borrow().clone()
    }
}

/// What is answered to who may not do something, or, without that, to who has not shown who he is.
#[must_use]
pub fn refused(what: Option<(&Identity, &Attributes)>) -> Answer {
    let error = what.map_or_else(ApiError::unauthorized, |(who, wanted)| ApiError::refused(who, wanted));
    body::refusal(&error)
}

/// What is answered to who should ask again soon.
#[must_use]
pub fn unavailable(why: &str) -> Answer {
    body::refusal(&ApiError::unavailable(why))
}

#[cfg(test)]
mod tests;
