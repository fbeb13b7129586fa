//! Makes what is wanted true: starts triggers in every group, drops those that are gone, writes every status.
//!
//! Level-triggered: it compares what is with what should be, whatever happened in between.

use std::collections::BTreeSet;

use pelton_client::status::{Facts, reconcile};
use pelton_client::{OperationError, Resources, Start, TriggerId};
use pelton_env::UnixMillis;
use pelton_resource::{StartPosition, Time, effective_settings};

use crate::command::Change;
use crate::node::{DataGroup, Shared, offset_of_start};
use crate::registry::RegistryCommand;

/// Resources whose status is written by one command: far below the largest record of the log.
const STATUSES_AT_ONCE: usize = 500;

/// Runs until the node shuts down.
pub(crate) async fn run(shared: Shared) {
    let mut resources = shared.registry.state.watch();
    let mut nudged = shared.controller.nudge.subscribe();
    loop {
        let seen = resources.borrow_and_update().clone();
        nudged.borrow_and_update();
        match settle(&shared, &seen).await {
            // No further: what came meanwhile was not looked at, and whoever waits for it waits for its triggers.
            Ok(()) => {
                shared.controller.settled.send_replace(seen.version);
            }
            Err(error) => {
                tracing::warn!(%error, "resources could not be made ready; tried again");
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                continue;
            }
        }
        tokio::select! {
            biased;
            changed = resources.changed() => if changed.is_err() { return },
            changed = nudged.changed() => if changed.is_err() { return },
        }
    }
}

async fn settle(shared: &Shared, resources: &Resources) -> Result<(), OperationError> {
    for group in &shared.groups {
        start_and_drop(shared, group, resources).await?;
    }
    let mut started: BTreeSet<TriggerId> = resources.triggers.keys().copied().collect();
    for group in &shared.groups {
        group.state.with(|core| started.retain(|id| core.group.cursors.contains_key(id)));
    }
    let ingress = shared.controller.ingress.lock().clone();
    let changed = {
        let warnings = shared.controller.warnings.lock();
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
        shared.registry.commit(&RegistryCommand::Put(some.to_vec())).await?;
    }
    Ok(())
}

async fn start_and_drop(shared: &Shared, group: &DataGroup, resources: &Resources) -> Result<(), OperationError> {
    let known: BTreeSet<TriggerId> = group.state.with(|core| core.group.cursors.keys().copied().collect());
    let mut starts = Vec::new();
    for (id, trigger) in &resources.triggers {
        // A trigger whose broker is not there yet begins when it is.
        let Some(broker) = resources.broker_of(trigger).filter(|_| !known.contains(id)) else { continue };
        let start = match effective_settings(trigger, broker).start {
            StartPosition::Latest => Start::Latest,
            StartPosition::Earliest => Start::Earliest,
            StartPosition::Offset(offset) => Start::Offset(pelton_client::Offset(offset)),
            StartPosition::Time(time) => Start::Time(UnixMillis(time.unix_millis())),
        };
        starts.push((*id, offset_of_start(shared, group, start)?));
    }
    if !starts.is_empty() {
        group.proposer.change(&Change::Start(starts)).await?;
    }
    let gone: Vec<_> = known.into_iter().filter(|id| !resources.triggers.contains_key(id)).collect();
    if !gone.is_empty() {
        shared.controller.warnings.lock().retain(|id, _| !gone.contains(id));
        group.proposer.change(&Change::Drop(gone)).await?;
    }
    Ok(())
}
