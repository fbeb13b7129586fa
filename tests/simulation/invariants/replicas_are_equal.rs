//! Replicas that have caught up hold the same, byte for byte. (The fault catalogue's checker, I7: logs of caught-up
//! replicas are equal.)

use pelton_log::Entry;

use super::{Verdict, holds};
use crate::ledger::Line;

const NAME: &str = "replicas are equal";

/// What a node holds in the end.
pub struct Replica {
    pub node: u64,
    pub entries: Vec<Entry>,
    pub lines: Vec<Line>,
}

pub fn check(replicas: &[Replica]) -> Verdict {
    let Some((first, others)) = replicas.split_first() else { return Ok(()) };
    for other in others {
        let nodes = (first.node, other.node);
        holds(first.lines == other.lines, NAME, || {
            let at = first.lines.iter().zip(&other.lines).position(|(a, b)| a != b);
            let lengths = (first.lines.len(), other.lines.len());
            format!("states of nodes {nodes:?} differ at line {at:?}, with {lengths:?} lines")
        })?;
        // They need not reach back equally far.
        let from = [first, other].map(|replica| replica.entries.first().map(|entry| entry.index));
        let from = from[0].max(from[1]);
        let tail = |replica: &Replica| -> Vec<Entry> {
            replica.entries.iter().filter(|entry| Some(entry.index) >= from).cloned().collect()
        };
        holds(tail(first) == tail(other), NAME, || format!("logs of nodes {nodes:?} differ from index {from:?} on"))?;
    }
    Ok(())
}
