//! Election Safety: a leadership is won at most once. (Raft, figure 3; section 5.2. With openraft's leader ids a term may
//! have leaders of rising ids, one after the other, so it is term and node that are won once.)
//!
//! A node that crashed must not lead on in its old term: it may have lost what it had sent to others, and would write
//! other entries with the same term and index.

use std::collections::BTreeMap;

use super::{Leadership, holds};

/// In which of its lives a node won a leadership.
#[derive(Default)]
pub struct Elections {
    won: BTreeMap<Leadership, u64>,
}

impl Elections {
    /// The node leads. `Some` when this is news.
    pub fn leads(&mut self, leadership: Leadership, life: u64) -> Result<bool, super::Violation> {
        let is_new = !self.won.contains_key(&leadership);
        let known = *self.won.entry(leadership).or_insert(life);
        holds(known == life, "election safety", || {
            format!("{leadership:?} is led again after the crash of its leader: in life {life} after life {known}")
        })?;
        Ok(is_new)
    }

    pub fn count(&self) -> usize {
        self.won.len()
    }
}
