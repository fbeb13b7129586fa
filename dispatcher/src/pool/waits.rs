//! What one trigger adds to what waits for its subscriber.

use std::sync::Arc;

use super::Target;
use crate::service::Waiting;

/// One trigger's part of what waits for a service, in one log group. Dropped, it takes its part back.
#[derive(Debug)]
pub struct Waits {
    target: Arc<Target>,
    is: Waiting,
}

impl Waits {
    /// Nothing waits yet for what is at `target`. `None` when that is no service of this process: nobody wants to know.
    #[must_use]
    pub fn at(target: &Arc<Target>) -> Option<Self> {
        target.gate()?;
        Some(Self { target: Arc::clone(target), is: Waiting::default() })
    }

    /// Whether it is about what is there.
    #[must_use]
    pub fn is_at(&self, target: &Arc<Target>) -> bool {
        Arc::ptr_eq(&self.target, target)
    }

    /// From now on so much waits, and so much has matched since this was said last.
    pub fn set(&mut self, now: Waiting, matched: u64) {
        if let Some(gate) = self.target.gate() {
            gate.waits(self.is, now, matched);
            self.is = now;
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.set(Waiting::default(), 0);
    }
}
