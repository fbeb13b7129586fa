//! Keeps every status true, on the registry's leader: addresses, conditions, what dispatchers warn of.
//!
//! Level-triggered: it compares what is with what should be, whatever happened in between. Triggers are started by the
//! leader of each group (`triggers`), which tells up to which version of the resources that is done (`reports`).

mod objects;
mod scaling;
mod serving;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::serving::{AllTold, GatewayAddress, Policy};
use pelton_client::status::{Facts, reconcile};
use pelton_client::{OperationError, Resources, TriggerId, Warning};
use pelton_log::Term;
use pelton_resource::{ConditionStatus, Time, conditions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub(crate) use self::scaling::{Scaling, run as scale};
use crate::node::Shared;
use crate::registry::RegistryCommand;

/// Resources whose status is written by one command: far below the largest record of the log.
const STATUSES_AT_ONCE: usize = 500;

/// How long after a failure it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What the controller looks at, besides the resources.
#[derive(Default)]
pub(crate) struct ControllerInput {
    /// This node's ingress.
    pub(crate) ingress: Mutex<Option<String>>,
    /// This node's gateway.
    pub(crate) gateway: Mutex<Option<GatewayAddress>>,
    pub(crate) warnings: Mutex<BTreeMap<TriggerId, Warning>>,
    /// What gateways tell of revisions.
    pub(crate) told: Mutex<AllTold>,
    /// What gateways are to do.
    pub(crate) scaling: Scaling,
    /// What the operator has set for all revisions.
    pub(crate) policy: Mutex<Policy>,
    born: OnceLock<Instant>,
    /// Counts changes of the above.
    pub(crate) nudge: watch::Sender<u64>,
    /// The version of the resources up to which everything is made true.
    pub(crate) settled: watch::Sender<u64>,
}

impl ControllerInput {
    /// The present moment, by a clock that nobody sets.
    pub(crate) fn age(&self) -> Duration {
        self.born.get_or_init(Instant::now).elapsed()
    }

    pub(crate) fn nudge(&self) {
        self.nudge.send_modify(|nudges| *nudges += 1);
    }
}

/// Runs until the node shuts down.
pub(crate) async fn run(shared: Shared) {
    let mut resources = shared.registry.state.watch();
    let mut cluster = shared.registry.state.cluster();
    let mut leadership = shared.registry.raft.leadership();
    let mut nudged = shared.controller.nudge.subscribe();
    let mut told = shared.reports.watch();
    let mut startable = Startable::new();
    loop {
        let seen = resources.borrow_and_update().clone();
        let groups: Vec<_> = cluster.borrow_and_update().groups.keys().copied().collect();
        nudged.borrow_and_update();
        told.borrow_and_update();
        let leader = *leadership.borrow_and_update();
        let mut again_at = None;
        if leader.serves {
            let started = shared.reports.started_in_all(groups);
            note_startable(&mut startable, &seen);
            let settled = async {
                let serving = serving::settle(&shared, leader.term, &seen).await?;
                let objects = objects::settle(&shared, leader.term, &seen).await?;
                again_at = serving.into_iter().chain(objects).min();
                settle(&shared, leader.term, &seen, &startable, started).await
            };
            match settled.await {
                // No further: what came meanwhile was not looked at, and whoever waits for it waits for its triggers.
                Ok(()) => drop(shared.controller.settled.send_replace(seen.version.min(started))),
                Err(error) => {
                    if shared.registry.raft.serves() {
                        tracing::warn!(%error, "resources could not be made ready; tried again");
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                    continue;
                }
            }
        }
        tokio::select! {
            biased;
            changed = resources.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            _ = cluster.changed() => {}
            _ = nudged.changed() => {}
            _ = told.changed() => {}
            () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {}
        }
    }
}

/// Triggers whose broker is there, each with a version of the resources as of which that was so. Writing a status gives
/// a resource a version that no group has told of yet, so its own version would not do.
type Startable = BTreeMap<TriggerId, u64>;

fn note_startable(startable: &mut Startable, resources: &Resources) {
    let has_broker = |id: &TriggerId| resources.triggers.get(id).is_some_and(|t| resources.broker_of(t).is_some());
    startable.retain(|id, _| has_broker(id));
    for id in resources.triggers.keys().filter(|id| has_broker(id)) {
        startable.entry(*id).or_insert(resources.version);
    }
}

/// Writes the statuses that are not what they should be, as the leader in `term`. Triggers up to version `started` are started in every group.
async fn settle(
    shared: &Shared,
    term: Term,
    resources: &Resources,
    startable: &Startable,
    started: u64,
) -> Result<(), OperationError> {
    // Once a trigger has a place in every group it keeps it, so what the status says stays true.
    let is_started = |(id, as_of): (&TriggerId, &u64)| *as_of <= started || says_started(resources, *id);
    let started = startable.iter().filter(|entry| is_started(*entry)).map(|(id, _)| *id).collect();
    let ingress = shared.ingress();
    let changed = {
        let mut warnings = shared.controller.warnings.lock();
        warnings.retain(|id, _| resources.triggers.contains_key(id));
        let now = Time::from_unix_millis(shared.clock.now().0);
        let facts = Facts { ingress: ingress.as_deref(), started: &started, warnings: &warnings, now };
        reconcile(resources, facts)
    };
    if changed.is_empty() {
        return Ok(());
    }
    let _one_at_a_time = shared.registry.writing.lock().await;
    // A resource that was changed or deleted meanwhile gets its status in the next round.
    let current = shared.registry.state.current();
    let fresh = changed.into_iter().filter(|resource| {
        let now = current.find(&resource.key());
        now.is_some_and(|now| now.meta().resource_version == resource.meta().resource_version)
    });
    let fresh: Vec<_> = fresh.collect();
    for some in fresh.chunks(STATUSES_AT_ONCE) {
        shared.registry.commit_in(term, &RegistryCommand::Put(some.to_vec())).await?;
    }
    Ok(())
}

fn says_started(resources: &Resources, id: TriggerId) -> bool {
    let stored = resources.triggers.get(&id).and_then(|t| t.status.conditions.find(conditions::SUBSCRIPTION_READY));
    stored.is_some_and(|condition| condition.status == ConditionStatus::True)
}
