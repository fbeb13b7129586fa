//! A cursor passes no event that is not done: below its bound, whatever matched is pending, was taken by the subscriber or
//! the dead-letter sink, or is a dead letter. (Ours: `client/src/cursor.rs`; "cursor moved past an un-acked event" in the
//! list of the fault catalogue.)

use std::collections::BTreeMap;

use pelton_client::{GroupId, Offset, RangeSet};

use super::{Verdict, holds};

/// How far each cursor was checked: below it everything is done, and stays so.
#[derive(Default)]
pub struct Floors {
    checked: BTreeMap<(u64, GroupId), u64>,
}

impl Floors {
    /// A cursor was read. `events` gives those of the group from an offset on, below the cursor's bound.
    pub fn read<I: Iterator<Item = (Offset, u64)>>(
        &mut self,
        trigger: u64,
        group: GroupId,
        pending: &RangeSet,
        upto: Offset,
        events: impl FnOnce(u64) -> I,
        is_done: impl Fn(u64) -> bool,
    ) -> Verdict {
        let checked = self.checked.entry((trigger, group)).or_default();
        let mut all_done = true;
        for (offset, event) in events(*checked) {
            if pending.contains(offset) {
                all_done = false;
                continue;
            }
            holds(is_done(event), "cursors pass nothing undone", || {
                format!("trigger {trigger} passed event {event} at {offset} of group {group}; its bound is {upto}")
            })?;
            if all_done {
                *checked = offset.0 + 1;
            }
        }
        Ok(())
    }
}
