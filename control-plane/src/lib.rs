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
//! | errors | `status` |
//!
//! It asks nobody who he is: it is for the loopback interface.

mod accept;
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
mod versions;
mod watch;
mod write;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Request;
use pelton_client::{Client, Resources};
use pelton_env::{Chance, Clock};
use serde_json::Value;

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
}

impl<C: Client> ControlPlane<C> {
    /// An API over `client`.
    pub fn new(client: C, clock: Arc<dyn Clock>, chance: Arc<dyn Chance>) -> Self {
        let began_unix_millis = clock.now().0;
        Self { client, clock, chance, schemas: OnceLock::new(), is_open: Arc::default(), began_unix_millis }
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

    /// Answers a request for one of its paths.
    pub async fn answer(&self, request: Request<Bytes>) -> Answer {
        let (parts, body) = request.into_parts();
        self.handle(&parts, body).await.unwrap_or_else(|error| {
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

#[cfg(test)]
mod tests;
