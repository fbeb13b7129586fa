//! Log Matching: if two logs hold an entry with the same index and term, they are the same up to it. (Raft, figure 3;
//! section 5.3.)

use std::collections::HashMap;

use super::{Leadership, Seen, Verdict, holds};

const NAME: &str = "log matching";

/// Every entry that any log ever held, with the one before it. By induction that is the whole invariant.
#[derive(Default)]
pub struct LogMatching {
    entries: HashMap<(u64, Leadership), (u64, Option<Leadership>)>,
}

impl LogMatching {
    /// A log holds `entry`, and before it one that `before` wrote, where that is known.
    pub fn held(&mut self, node: u64, entry: Seen, before: Option<Leadership>) -> Verdict {
        let known = self.entries.entry((entry.index, entry.by)).or_insert((entry.hash, before));
        holds(known.0 == entry.hash, NAME, || {
            format!("node {node} holds another entry {} of leadership {:?} than a node before", entry.index, entry.by)
        })?;
        match (known.1, before) {
            (None, Some(_)) => known.1 = before,
            (Some(first), Some(second)) => holds(first == second, NAME, || {
                format!(
                    "before entry {} of leadership {:?} node {node} holds one of {second:?}, another one of {first:?}",
                    entry.index, entry.by
                )
            })?,
            (_, None) => {}
        }
        Ok(())
    }
}
