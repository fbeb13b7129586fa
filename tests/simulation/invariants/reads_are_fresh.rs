//! A read sees everything that was acknowledged before it began, whichever node was asked. (Raft dissertation, section
//! 6.4, ReadIndex; the fault catalogue's "stale leader serves after a pause": etcd 2025.)

use super::{Verdict, holds};

/// A read began when `acknowledged` was the highest acknowledged index, and sees everything up to `index`; the node has
/// applied up to `applied`.
pub fn check(node: u64, acknowledged: u64, index: u64, applied: u64) -> Verdict {
    holds(acknowledged <= index && index <= applied, "reads are fresh", || {
        format!("node {node} reads at {index}, has applied {applied}, and {acknowledged} had been acknowledged")
    })
}
