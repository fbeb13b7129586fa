//! What the API knows of the gateway of its own process: a node answers for its own instances, and for no other node's.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use pelton_client::{Client, Resources};
use pelton_resource::serving::Revision;
use pelton_resource::{Kind, ResourceKey};
use pelton_serving_gateway::logs::Logs;
use pelton_serving_gateway::{Census, Counted};

use super::Api;
use super::problem::Problem;
use super::resources::current;
use super::router::{Outcome, ok};
use super::serving_view::{InstancesList, InstancesView};

/// The gateway of this process. Its logs can be read before it has begun, and clones know when it has.
#[derive(Debug, Clone)]
pub struct OwnGateway {
    logs: Logs,
    census: Arc<OnceLock<Census>>,
}

impl OwnGateway {
    /// One that keeps what instances print in `logs`, and has not begun.
    pub fn new(logs: Logs) -> Self {
        Self { logs, census: Arc::default() }
    }

    /// What instances print.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// What its instances are doing, once it has begun.
    pub fn census(&self) -> Option<&Census> {
        self.census.get()
    }

    /// It has begun. Said once.
    pub fn began(&self, census: Census) {
        let _ = self.census.set(census);
    }
}

impl<C: Client> Api<C> {
    /// The gateway of this node.
    ///
    /// # Errors
    /// 421 when it has none: this node is not the one to ask.
    pub(super) fn own_gateway(&self) -> Result<&OwnGateway, Problem> {
        self.gateway.as_ref().ok_or_else(|| {
            let detail = "this node has no gateway: no Service runs here, and there are no logs of any";
            Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
        })
    }
}

/// What the instances of a Service's Revisions, or of one Revision, are doing on this node.
pub fn instances<C: Client>(api: &Api<C>, key: &ResourceKey) -> Outcome {
    let resources = current(api);
    let revisions = revisions_of(&resources, key)?;
    let Some(census) = api.own_gateway()?.census() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway of this node is still starting"));
    };
    let counted = revisions.iter().filter_map(|revision| {
        let counted = census.of(revision.metadata.uid.as_deref()?)?;
        Some(view(&revision.metadata.name, &counted))
    });
    ok(&InstancesList { items: counted.collect() })
}

fn view(revision: &str, counted: &Counted) -> InstancesView {
    let counts = counted.counts;
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    InstancesView {
        revision: revision.to_owned(),
        running: counts.ready.saturating_sub(counts.paused),
        paused: counts.paused,
        starting: counts.starting,
        stopping: counts.stopping,
        desired: counts.desired,
        queued: counts.queued,
        in_flight: counts.in_flight,
        last_start_age_millis: counted.since_last_start.map(millis),
    }
}

/// The Revisions that a key stands for: those of a Service, or one by itself. The newest come first.
///
/// # Errors
/// 404 when there is no such Service or Revision.
pub fn revisions_of(resources: &Resources, key: &ResourceKey) -> Result<Vec<Arc<Revision>>, Problem> {
    let missing = || Problem::not_found(format!("{key} does not exist"));
    if key.kind == Kind::Revision {
        return resources.revision(&key.namespace, &key.name).map(|it| vec![Arc::clone(it)]).ok_or_else(missing);
    }
    resources.service(&key.namespace, &key.name).ok_or_else(missing)?;
    let is_of =
        |it: &&Arc<Revision>| it.metadata.namespace == key.namespace && it.service_name() == Some(key.name.as_str());
    let mut revisions: Vec<_> = resources.revisions.values().filter(is_of).cloned().collect();
    revisions.sort_by(|a, b| seniority(b).cmp(&seniority(a)));
    Ok(revisions)
}

/// Older is less. A Revision's name ends with a number that has leading zeros, so it decides within a second.
fn seniority(revision: &Revision) -> (Option<pelton_resource::Time>, &str) {
    (revision.metadata.creation_timestamp, &revision.metadata.name)
}
