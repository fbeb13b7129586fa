//! The containers of one revision.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pelton_http_front::text_of;
use pelton_serving_gateway::runtime::handles::Handles;
use pelton_serving_gateway::runtime::{InstanceEvent, InstanceId, RuntimeError, Workload, WorkloadSpec};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::Parts;
use crate::ahead::Ahead;
use crate::instance::Instance;

/// What the containers of a revision have in common.
#[derive(Debug)]
pub struct Revision {
    /// What they are run with.
    pub parts: Arc<Parts>,
    /// What they run.
    pub spec: Arc<WorkloadSpec>,
    /// What each is created from.
    pub body: Value,
    /// The one that is created before it is needed.
    pub ahead: Ahead,
}

impl Revision {
    /// Begins to create the next one, unless there is one.
    pub fn create_ahead(self: &Arc<Self>) {
        if !self.ahead.wants_one() {
            return;
        }
        let revision = Arc::clone(self);
        self.parts.runtime.spawn(async move {
            let Self { parts, spec, body, ahead } = &*revision;
            let id = parts.new_id(spec);
            let unwanted = match parts.engine.create(&id.0, body).await {
                Ok(_) => ahead.fill(Some(id)),
                // The next start creates its own, and says what is wrong.
                Err(why) => {
                    tracing::debug!(%id, error = %text_of(&why), "a container could not be created ahead");
                    ahead.fill(None);
                    (!why.nothing_was_done()).then_some(id)
                }
            };
            if let Some(id) = unwanted {
                parts.remove(&id).await;
            }
        });
    }
}

/// The containers of one revision, as those have them who run it.
#[derive(Debug)]
pub struct Containers {
    revision: Arc<Revision>,
    events: mpsc::UnboundedSender<InstanceEvent>,
    handles: Handles,
}

impl Containers {
    /// None so far. What becomes of them goes to `events`.
    pub fn new(revision: Arc<Revision>, events: mpsc::UnboundedSender<InstanceEvent>) -> Self {
        Self { revision, events, handles: Handles::default() }
    }
}

impl Workload for Containers {
    fn kill_all(&self) {
        self.handles.kill_all();
    }

    fn start(&self) {
        let Self { revision, events, handles } = self;
        let Revision { parts, spec, .. } = &**revision;
        let mut ahead = revision.ahead.take();
        let is_created = ahead.is_some();
        let (id, ears) = handles.add(|| ahead.take().unwrap_or_else(|| parts.new_id(spec)));
        let log = parts.logs.revision(&spec.namespace, &spec.revision);
        let instance = Instance { id, revision: Arc::clone(revision), is_created, log, events: events.clone(), ears };
        parts.runtime.spawn(instance.run());
    }

    fn pause(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.handles.pause(id)
    }

    fn resume(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.handles.resume(id)
    }

    fn stop(&self, id: &InstanceId) {
        self.handles.stop(id);
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.handles.kill_all();
        if let Some(id) = self.revision.ahead.close() {
            self.revision.parts.remove_later(id);
        }
    }
}
