//! Term, commit index, applied index and purged index never go back while a node runs. (Raft, figure 2: they "increase
//! monotonically".)

use super::{Verdict, holds};

/// What a node last said of itself in this life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    pub term: u64,
    pub committed: u64,
    pub applied: u64,
    pub purged: u64,
}

/// `now` follows `before`.
pub fn check(node: u64, before: Marks, now: Marks) -> Verdict {
    let rises = before.term <= now.term
        && before.committed <= now.committed
        && before.applied <= now.applied
        && before.purged <= now.purged;
    holds(rises, "monotone", || format!("node {node} went from {before:?} to {now:?}"))?;
    // What is applied is committed. (Raft, section 5.3: "applies when it is committed".)
    holds(now.applied <= now.committed, "monotone", || format!("node {node} applied more than is committed: {now:?}"))
}
