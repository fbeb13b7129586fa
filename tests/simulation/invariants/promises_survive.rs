//! A vote is stored before it is given, and so is the term of a leader before its entries are accepted: after a crash a
//! node is in no earlier term. (Raft, figure 2: "updated on stable storage before responding to RPCs"; it is why a node
//! votes once a term.)

use std::collections::BTreeMap;

use super::{Leadership, Verdict, holds};

/// The latest leadership that a node said yes to, in any of its lives.
#[derive(Default)]
pub struct Promises {
    given: BTreeMap<u64, Leadership>,
}

impl Promises {
    /// The node gave its vote to `leadership`, or accepted entries of it.
    pub fn gave(&mut self, node: u64, leadership: Leadership) {
        let given = self.given.entry(node).or_default();
        *given = leadership.max(*given);
    }

    /// The node has started again in `term`.
    pub fn started(&self, node: u64, term: u64) -> Verdict {
        let given = self.given.get(&node).copied().unwrap_or_default();
        holds(term >= given.0, "promises survive a crash", || {
            format!("node {node} starts in term {term} and has forgotten that it said yes to {given:?}")
        })
    }
}
