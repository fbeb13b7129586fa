//! Keeps every status true, on the registry's leader: addresses, conditions, what dispatchers warn of.
//!
//! Level-triggered: it compares what is with what should be, whatever happened in between. Triggers are started by the
//! leader of each group (`triggers`), which tells up to which version of the resources that is done (`reports`).

mod keeper;
mod objects;
mod scaling;
mod serving;
mod startable;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::serving::{AllTold, GatewayAddress, Policy};
use pelton_client::status::Facts;
use pelton_client::{OperationError, TriggerId, Warning};
use pelton_log::Term;
use pelton_resource::Time;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::keeper::Keeper;
pub(crate) use self::scaling::{Scaling, run as scale};
use crate::node::Shared;

/// How long after a failure it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What the controller looks at, besides the resources.
#[derive(Default)]
pub(crate) struct ControllerInput {
    /// This node's ingress.
    pub(crate) ingress: Mutex<Option<String>>,
    /// This node's gateway.
    pub(crate) gateway: Mutex<Option<GatewayAddress>>,
    pub(crate) warnings: Mutex<Warnings>,
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

/// What dispatchers have said in this term: a warning, or that there is none any more. What was said before stands in the
/// statuses.
#[derive(Default)]
pub(crate) struct Warnings {
    term: Term,
    all: BTreeMap<TriggerId, Option<Warning>>,
    /// Those of which it is another than when it was looked at last.
    changed: BTreeSet<TriggerId>,
}

impl Warnings {
    /// Takes what was said while this node leads in `term`, in the place of what was said before. Whether it is another.
    pub(crate) fn take(&mut self, term: Term, trigger: TriggerId, warning: Option<Warning>) -> bool {
        let said = self.in_term(term);
        let is_other = said.all.get(&trigger) != Some(&warning);
        if is_other {
            said.all.insert(trigger, warning);
            said.changed.insert(trigger);
        }
        is_other
    }

    /// What was said in an earlier term may not be so any more: others have heard since.
    fn in_term(&mut self, term: Term) -> &mut Self {
        if self.term < term {
            *self = Self { term, ..Self::default() };
        }
        self
    }
}

/// Runs until the node shuts down.
pub(crate) async fn run(shared: Shared) {
    let mut resources = shared.registry.state.watch();
    let mut cluster = shared.registry.state.cluster();
    let mut leadership = shared.registry.raft.leadership();
    let mut nudged = shared.controller.nudge.subscribe();
    let mut told = shared.reports.watch();
    let mut keeper = None;
    loop {
        let seen = resources.borrow_and_update().clone();
        let groups: Vec<_> = cluster.borrow_and_update().groups.keys().copied().collect();
        nudged.borrow_and_update();
        told.borrow_and_update();
        let leader = *leadership.borrow_and_update();
        let mut again_at = None;
        keeper = keeper.filter(|keeper: &Keeper| leader.serves && keeper.term == leader.term);
        if leader.serves {
            let started = shared.reports.started_in_all(groups);
            let keeper = keeper.get_or_insert_with(|| Keeper::new(leader.term));
            keeper.follow(&seen, started, shared.ingress());
            let settled = async {
                let serving = serving::settle(&shared, keeper).await?;
                let objects = objects::settle(&shared, keeper).await?;
                again_at = serving.into_iter().chain(objects).min();
                settle(&shared, keeper).await
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

/// Writes the statuses that are not what they should be.
async fn settle(shared: &Shared, keeper: &mut Keeper) -> Result<(), OperationError> {
    let changed = {
        let mut warnings = shared.controller.warnings.lock();
        let warnings = warnings.in_term(keeper.term);
        for id in std::mem::take(&mut warnings.changed) {
            keeper.statuses.look_at(id);
        }
        // Of one that was made since, a dispatcher may have spoken already.
        let now = shared.registry.state.current();
        warnings.all.retain(|id, _| now.triggers.contains_key(id));
        let facts = Facts {
            ingress: keeper.ingress.as_deref(),
            is_started: &|id| keeper.startable.is_started(id, &keeper.resources),
            warnings: &warnings.all,
            now: Time::from_unix_millis(shared.clock.now().0),
        };
        keeper.statuses.reconcile(facts)
    };
    if !changed.is_empty() {
        let _one_at_a_time = shared.registry.writing.lock().await;
        // A resource that was changed or deleted meanwhile gets its status in the next round.
        let current = shared.registry.state.current();
        let fresh = changed.into_iter().filter(|resource| {
            let now = current.find(&resource.key());
            now.is_some_and(|now| now.meta().resource_version == resource.meta().resource_version)
        });
        let fresh = fresh.collect();
        keeper.store(shared, &current, fresh).await?;
    }
    keeper.statuses.done();
    Ok(())
}
