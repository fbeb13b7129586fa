//! What was refused as "nothing was written" or "another took its place" is never committed: whoever is told so may send
//! it again elsewhere, and it would be there twice. (Ours: an unknown outcome and a refusal are never the same answer.)
//! And nothing is applied that nobody proposed.

use std::collections::{HashMap, HashSet};

use super::{Verdict, holds};

const NAME: &str = "refused is never committed";

#[derive(Default)]
pub struct Refused {
    proposed: HashSet<u64>,
    refused: HashMap<u64, String>,
}

impl Refused {
    pub fn proposed(&mut self, id: u64) {
        self.proposed.insert(id);
    }

    /// The proposer was told that it is not committed and never will be.
    pub fn refused(&mut self, id: u64, why: String, applied_at: Option<u64>) -> Verdict {
        holds(applied_at.is_none(), NAME, || format!("command {id} is applied at {applied_at:?}, and refused: {why}"))?;
        self.refused.insert(id, why);
        Ok(())
    }

    pub fn applied(&self, id: u64, index: u64) -> Verdict {
        let why = self.refused.get(&id);
        holds(why.is_none(), NAME, || format!("command {id} is applied at {index} after it was refused: {why:?}"))?;
        holds(self.proposed.contains(&id), NAME, || format!("command {id}, applied at {index}, was never proposed"))
    }
}
