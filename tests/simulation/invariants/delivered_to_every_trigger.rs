//! In the end every event that is in a log, and so everything that was acknowledged, was taken by the subscriber of every
//! Trigger that it matches, or is a dead letter of it. (Knative Eventing, data plane: at least once; the fault catalogue's
//! checker, I1 and I5.)

use std::collections::BTreeMap;

use super::written_once::Written;
use crate::whole::oracle::{Fates, Started};
use crate::whole::triggers::wants;

/// `Err` says what is missing still. A Trigger is owed what was appended after it had its cursor in the event's group.
pub fn check(
    started: &Started,
    forgotten: &[u64],
    issued: &BTreeMap<u64, u64>,
    written: &Written,
    fates: &Fates,
) -> Result<(), String> {
    let owed = started.iter().filter(|(trigger, _)| !forgotten.contains(trigger));
    let mut missing = Vec::new();
    for (trigger, since) in owed {
        missing.extend(written.all().filter_map(|(event, at)| {
            let is_owed = since.get(&at.group).is_some_and(|since| issued[&event] > *since) && wants(*trigger, event);
            let is_done = fates.get(&(*trigger, event)).is_some_and(|fate| fate.is_done());
            (is_owed && !is_done).then_some((*trigger, event, at))
        }));
    }
    if missing.is_empty() {
        return Ok(());
    }
    missing.truncate(8);
    Err(format!("missing (trigger, event, place): {missing:?}"))
}
