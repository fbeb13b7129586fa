//! Events that retention keeps are on every replica in the end, whatever moved: from the first one that is kept, each in its
//! place, and all of them where retention let nothing go. (Ours: the log is the event store; JetStream 2.10, Jepsen 2025:
//! streams lost with their replicas.)

use futures_util::FutureExt as _;
use pelton_client::{GroupId, NodeClient as _, Offset, records};
use pelton_log::LogIndex;

use super::{Verdict, Violation, holds};
use crate::whole::clients::number_in;
use crate::whole::world::{Alive, Whole};

const NAME: &str = "retained events survive moves";

/// Everyone who should have a replica has it, with everything. `Err` says who has not yet.
pub fn settled(world: &Whole) -> Result<(), String> {
    let (view, alive) = (world.view(), world.alive.lock());
    let report = |alive: &Alive| Some((alive.view().this, alive.node.client().report().now_or_never()??));
    let reports: Vec<_> = alive.values().filter_map(report).collect();
    for (group, info) in &view.groups {
        let replicas = info.replicas.iter().map(|replica| {
            let (_, report) = reports.iter().find(|(id, _)| *id == Some(*replica))?;
            let replica = report.replicas.get(group)?;
            let has_all = replica.commit_index == replica.last_index && replica.applied_index == replica.last_index;
            has_all.then_some(replica.last_index)
        });
        let last: Vec<_> = replicas.collect();
        if last.iter().any(Option::is_none) || last.windows(2).any(|two| two[0] != two[1]) {
            return Err(format!("group {group}, on {:?}: {last:?}", info.replicas));
        }
    }
    Ok(())
}

/// Compares every replica with what was committed.
pub fn check(world: &Whole, keeps_all: bool) -> Verdict {
    let view = world.view();
    for alive in world.alive.lock().values() {
        let this = alive.view().this;
        for (group, _) in view.groups.iter().filter(|(_, info)| this.is_some_and(|id| info.replicas.contains(&id))) {
            let kept = kept(alive, *group)?;
            let first = kept.first().map_or(Offset(u64::MAX), |(offset, _)| *offset);
            let all = world.oracle.events_of(*group);
            let wanted: Vec<_> = all.iter().copied().filter(|(offset, _)| *offset >= first).collect();
            holds(kept == wanted, NAME, || {
                format!("node {this:?} keeps {} of {} events of group {group}", kept.len(), wanted.len())
            })?;
            holds(!keeps_all || kept.len() == all.len(), NAME, || {
                format!("node {this:?} keeps events of group {group} from {first} on, of {}", all.len())
            })?;
        }
    }
    Ok(())
}

/// The events that a node has in its log.
fn kept(alive: &Alive, group: GroupId) -> Result<Vec<(Offset, u64)>, Violation> {
    let (log, id) = (alive.node.log(), pelton_log::GroupId(group.0));
    let first = log.group(id).first.unwrap_or_default();
    let entries = log.read(id, first, LogIndex(u64::MAX), u64::MAX);
    let entries = entries.map_err(|error| Violation { invariant: NAME, what: error.to_string() })?;
    let events = entries.iter().filter(|entry| entry.event_count > 0).flat_map(|entry| {
        let numbers = records(entry.body.clone()).enumerate();
        numbers.filter_map(|(nth, record)| {
            Some((Offset(entry.first_offset.0 + nth as u64), number_in(record.ok()?.event().ok()?.id())?))
        })
    });
    Ok(events.collect())
}
