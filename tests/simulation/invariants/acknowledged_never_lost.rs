//! What was acknowledged is committed, for good, at the index that was named. (Ours; it is what a 202 promises. The fault
//! catalogue's first row: NATS lost 14 % of acknowledged messages to a loss of power.)

use std::collections::BTreeMap;

use super::state_machine_safety::Applied;
use super::{Verdict, holds};

const NAME: &str = "acknowledged is never lost";

#[derive(Default)]
pub struct Acknowledged {
    /// Index by the command's number.
    commands: BTreeMap<u64, u64>,
    highest_index: u64,
}

impl Acknowledged {
    pub fn acknowledged(&mut self, id: u64, index: u64, applied: &Applied) -> Verdict {
        let again = self.commands.insert(id, index);
        self.highest_index = self.highest_index.max(index);
        holds(again.is_none(), NAME, || format!("command {id} was acknowledged twice"))?;
        match applied.get(index) {
            Some(line) => holds(line.id == id, NAME, || format!("command {id} at {index}, where {line:?} was applied")),
            None => Ok(()),
        }
    }

    pub fn highest_index(&self) -> u64 {
        self.highest_index
    }

    pub fn count(&self) -> usize {
        self.commands.len()
    }

    /// At the end, when every replica has applied everything.
    pub fn all_applied(&self, applied: &Applied) -> Verdict {
        for (id, index) in &self.commands {
            let found = applied.get(*index).map(|line| line.id);
            holds(found == Some(*id), NAME, || {
                format!("command {id} was acknowledged at {index}; there is {found:?}")
            })?;
        }
        Ok(())
    }
}
