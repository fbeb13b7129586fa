//! Events are counted without gaps, and an event has the same offset on every replica. (DESIGN of the broker: a position
//! is (group, offset). The second half is in `state_machine_safety`, which compares offsets as well.)

use super::{Verdict, holds};
use crate::ledger::Line;

/// A replica applies `line` after `before`.
pub fn check(node: u64, before: Option<Line>, line: Line) -> Verdict {
    let wanted = before.map_or(0, |before| before.offset + u64::from(before.events));
    holds(line.offset == wanted, "offsets without gaps", || {
        format!("node {node} applies {line:?}, where offset {wanted} comes next")
    })
}
