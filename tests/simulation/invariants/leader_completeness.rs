//! Leader Completeness: what was committed under earlier leaders is in the log of every later one. (Raft, figure 3;
//! section 5.4.3.)
//!
//! Only the last of these entries is looked at: with log matching, those before it follow.

use super::{Leadership, Seen, Verdict, holds};

/// A node has won `leadership`. `committed` is the last entry committed under an earlier one, `held` who wrote the entry
/// that the new leader holds at that index: `None` when it ends before it.
pub fn check(leadership: Leadership, committed: Seen, held: Option<Leadership>) -> Verdict {
    holds(held == Some(committed.by), "leader completeness", || {
        format!("the leader of {leadership:?} lacks the committed {committed:?}: it holds one of {held:?} there")
    })
}
