//! State Machine Safety: no two replicas apply different commands at one index. (Raft, figure 3; section 5.4.3.) And a
//! state that is loaded, from a checkpoint or from another replica's snapshot, is what applying would have made.

use std::collections::{BTreeMap, HashMap};

use super::{Verdict, holds};
use crate::ledger::Line;

const NAME: &str = "state machine safety";

/// What any replica applied, by index.
#[derive(Default)]
pub struct Applied {
    lines: BTreeMap<u64, Line>,
    by_id: HashMap<u64, u64>,
}

impl Applied {
    pub fn applied(&mut self, node: u64, line: Line) -> Verdict {
        let known = *self.lines.entry(line.index).or_insert(line);
        holds(known == line, NAME, || format!("node {node} applies {line:?}; another applied {known:?}"))?;
        let at = *self.by_id.entry(line.id).or_insert(line.index);
        // Clients here give every command a number of its own and never try again.
        holds(at == line.index, NAME, || format!("command {} was applied at {at}, and again at {line:?}", line.id))
    }

    /// A replica takes over a state; of everything up to `upto`, or up to its last line.
    pub fn loaded(&self, node: u64, lines: &[Line], upto: Option<u64>) -> Verdict {
        let upto = upto.or(lines.last().map(|line| line.index)).unwrap_or(0);
        let wanted = self.lines.range(..=upto).map(|(_, line)| line);
        holds(wanted.eq(lines.iter()), NAME, || {
            let (many, last) = (lines.len(), lines.last());
            format!("node {node} loads a state as of {upto} that is not what was applied: {many} lines, last {last:?}")
        })
    }

    pub fn get(&self, index: u64) -> Option<Line> {
        self.lines.get(&index).copied()
    }

    pub fn index_of(&self, id: u64) -> Option<u64> {
        self.by_id.get(&id).copied()
    }
}
