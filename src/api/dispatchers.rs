//! What the dispatchers of the cluster remember: this process asks its own by itself, and others by their nodes.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use pelton_client::{Client, DispatchQuery, DispatchReport, DispatchSource, NodeId, NodePhase, Role};

use super::Api;

/// The dispatcher of this process, once it has begun. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct OwnDispatch(Arc<OnceLock<DispatchSource>>);

impl OwnDispatch {
    /// It has begun. Said once.
    pub fn began(&self, source: DispatchSource) {
        let _ = self.0.set(source);
    }
}

/// What one dispatcher answered.
#[derive(Debug, Clone)]
pub struct Told {
    /// The node's name; that of this process when it is no member of a cluster.
    pub node: String,
    /// What it remembers; `None` when it did not answer.
    pub report: Option<DispatchReport>,
}

/// What a process is called that is no member of a cluster.
const THIS: &str = "(this process)";

/// Asks every dispatcher, all at once.
pub async fn ask<C: Client>(api: &Api<C>, query: &DispatchQuery) -> Vec<Told> {
    let view = api.client.cluster().borrow().clone();
    let own = api.own_dispatch.0.get();
    let name = |id: NodeId| view.nodes.get(&id).map(|info| info.name.clone());
    let mut told = Vec::new();
    if let Some(own) = own {
        let node = view.this.and_then(name).unwrap_or_else(|| THIS.to_owned());
        told.push(Told { node, report: Some(own.answer(query)) });
    }
    let others = view.nodes.iter().filter(|(id, info)| {
        let is_own = own.is_some() && Some(**id) == view.this;
        !is_own && info.phase != NodePhase::Removed && info.roles.contains(&Role::Dispatcher)
    });
    let asked = others.map(|(id, info)| async {
        Told { node: info.name.clone(), report: api.client.dispatch_report(*id, query.clone()).await }
    });
    told.extend(join_all(asked).await);
    told
}
