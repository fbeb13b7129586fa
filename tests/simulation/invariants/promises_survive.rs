//! A vote is stored before it is given, and so is the term of a leader before its entries are accepted: after a crash a
//! node is in no earlier term. (Raft, figure 2: "updated on stable storage before responding to RPCs"; it is why a node
//! votes once a term.) The same for entries: what a follower said it has, it has after a crash, unless a later leader
//! replaced it.

use std::collections::BTreeMap;

use super::{Leadership, Verdict, holds};

/// The latest leadership that a node said yes to, in any of its lives.
#[derive(Default)]
pub struct Promises {
    given: BTreeMap<u64, Leadership>,
    /// The last entry that a node said it has: leadership, then index, as Raft compares logs.
    accepted: BTreeMap<u64, (Leadership, u64)>,
}

impl Promises {
    /// The node gave its vote to `leadership`, or accepted entries of it.
    pub fn gave(&mut self, node: u64, leadership: Leadership) {
        let given = self.given.entry(node).or_default();
        *given = leadership.max(*given);
    }

    /// The node said that it has this entry and all before it.
    pub fn accepted(&mut self, node: u64, entry: (Leadership, u64)) {
        let accepted = self.accepted.entry(node).or_default();
        *accepted = entry.max(*accepted);
    }

    /// The log of a node that runs ends here; a leader may have cut it.
    pub fn ends(&mut self, node: u64, end: (Leadership, u64)) {
        if let Some(accepted) = self.accepted.get_mut(&node) {
            *accepted = end.min(*accepted);
        }
    }

    /// The node has started again in `term`, with a log that ends at `end`.
    pub fn started(&self, node: u64, term: u64, end: (Leadership, u64)) -> Verdict {
        let accepted = self.accepted.get(&node).copied().unwrap_or_default();
        holds(end >= accepted, "promises survive a crash", || {
            format!("node {node} starts with a log up to {end:?}, and had said that it has {accepted:?}")
        })?;
        let given = self.given.get(&node).copied().unwrap_or_default();
        holds(term >= given.0, "promises survive a crash", || {
            format!("node {node} starts in term {term} and has forgotten that it said yes to {given:?}")
        })
    }
}
