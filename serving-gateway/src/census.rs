//! What the instances of a gateway are doing at this moment, for people who ask. Nothing is decided by it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::gateway::Shared;
use crate::revision::Counts;

/// Counts the instances of a gateway, and does not keep it.
#[derive(Debug, Clone)]
pub struct Census(Weak<Shared>);

/// What one revision has here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Its requests and instances.
    pub counts: Counts,
    /// How long ago an instance was started last; `None` when none was in the life of this gateway.
    pub since_last_start: Option<Duration>,
}

impl Census {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// What the revision of that uid has here. `None` when the gateway has not heard of it, or has ended.
    #[must_use]
    pub fn of(&self, uid: &str) -> Option<Counted> {
        let revision = self.0.upgrade()?.known(uid)?;
        Some(revision.map_or_else(Counted::default, |revision| Counted {
            counts: revision.status().counts,
            since_last_start: revision.since_last_start(),
        }))
    }
}
