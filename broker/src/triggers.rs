//! Starts new triggers in a group and drops those that are gone. Only the group's leader does it, from the resources
//! that it has applied; whoever waits for a trigger waits for every group's leader (`reports`).

use std::collections::BTreeSet;
use std::sync::Arc;

use pelton_client::{BrokerName, OperationError, Resources, Start, TriggerId};
use pelton_env::UnixMillis;
use pelton_resource::{StartPosition, Trigger, effective_settings};

use crate::command::Change;
use crate::groups::DataGroup;
use crate::node::{Shared, offset_of_start};

/// Makes the group's triggers those of the resources, which are true as of the registry's index `version` at least. `false`, and nothing is done, when the group follows newer ones
/// already: this node has not heard of them yet. Where they were those of the resources `before`, only what is another since
/// is looked at.
///
/// # Errors
/// Not all of them are started or dropped.
pub(crate) async fn start_and_drop(
    shared: &Shared,
    group: &DataGroup,
    before: Option<&Resources>,
    resources: &Resources,
    version: u64,
) -> Result<bool, OperationError> {
    if group.state.with(|core| core.triggers_as_of > version) {
        return Ok(false);
    }
    let (wanted, gone) = group.state.with(|core| {
        let known = &core.group.cursors;
        let (mut wanted, mut gone) = match before {
            Some(before) => changed(before, resources),
            None => (resources.triggers.iter().collect(), known.keys().copied().collect::<Vec<_>>()),
        };
        wanted.retain(|(id, _)| !known.contains_key(id));
        gone.retain(|id| known.contains_key(id) && !resources.triggers.contains_key(id));
        (wanted, gone)
    });
    // First: while a cursor is there whose trigger is not, dispatchers that never heard of it pass nothing.
    if !gone.is_empty() {
        group.proposer.change(&Change::Drop { version, triggers: gone }).await?;
    }
    let mut starts = Vec::new();
    for (id, trigger) in wanted {
        // A trigger whose broker is not there yet begins when it is.
        let Some(broker) = resources.broker_of(trigger) else { continue };
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

/// Triggers that there may be anew, and those that are gone.
fn changed<'a>(before: &'a Resources, now: &'a Resources) -> (Vec<(&'a TriggerId, &'a Arc<Trigger>)>, Vec<TriggerId>) {
    let (mut wanted, mut gone) = (Vec::new(), Vec::new());
    for it in now.triggers.diff(&before.triggers) {
        match it.now {
            Some(trigger) => wanted.push((it.key, trigger)),
            None => gone.push(*it.key),
        }
    }
    let brokers = now.brokers.diff(&before.brokers);
    let new: BTreeSet<_> = brokers.iter().filter(|it| it.before.is_none()).map(|it| it.key).collect();
    if !new.is_empty() {
        let is_of_new =
            |trigger: &Trigger| new.contains(&BrokerName::new(&trigger.metadata.namespace, trigger.broker_name()));
        wanted.extend(now.triggers.iter().filter(|(_, trigger)| is_of_new(trigger)));
        wanted.sort_by_key(|(id, _)| **id);
        wanted.dedup_by_key(|(id, _)| **id);
    }
    (wanted, gone)
}
