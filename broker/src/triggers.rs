//! Starts new triggers in a group and drops those that are gone. Only the group's leader does it, from the resources
//! that it has applied; whoever waits for a trigger waits for every group's leader (`reports`).

use std::collections::BTreeSet;

use pelton_client::{OperationError, Resources, Start, TriggerId};
use pelton_env::UnixMillis;
use pelton_resource::{StartPosition, effective_settings};

use crate::command::Change;
use crate::groups::DataGroup;
use crate::node::{Shared, offset_of_start};

/// Makes the group's triggers those of the resources, which are true as of the registry's index `version` at least. `false`, and nothing is done, when the group follows newer ones
/// already: this node has not heard of them yet.
///
/// # Errors
/// Not all of them are started or dropped.
pub(crate) async fn start_and_drop(
    shared: &Shared,
    group: &DataGroup,
    resources: &Resources,
    version: u64,
) -> Result<bool, OperationError> {
    if group.state.with(|core| core.triggers_as_of > version) {
        return Ok(false);
    }
    let known: BTreeSet<TriggerId> = group.state.with(|core| core.group.cursors.keys().copied().collect());
    // First: while a cursor is there whose trigger is not, dispatchers that never heard of it pass nothing.
    let gone: Vec<_> = known.iter().filter(|id| !resources.triggers.contains_key(id)).copied().collect();
    if !gone.is_empty() {
        group.proposer.change(&Change::Drop { version, triggers: gone }).await?;
    }
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
        group.proposer.change(&Change::Start { version, triggers: starts }).await?;
    }
    Ok(true)
}
