//! Somebody who calls, and what he may do.

use std::sync::Arc;

use crate::attributes::Attributes;
use crate::identity::Identity;
use crate::need::{Need, need};
use crate::policy::Policy;

/// Somebody who calls, with the policy that was in force when he did.
#[derive(Debug, Clone)]
pub struct Caller {
    identity: Identity,
    policy: Arc<Policy>,
}

impl Caller {
    /// Somebody under a policy.
    #[must_use]
    pub fn new(identity: Identity, policy: Arc<Policy>) -> Self {
        Self { identity, policy }
    }

    /// Whoever calls a process that asks nobody: he may do everything.
    #[must_use]
    pub fn local() -> Self {
        Self::new(Identity::local(), Arc::default())
    }

    /// Who he is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether he may do that.
    #[must_use]
    pub fn may(&self, wanted: &Attributes) -> bool {
        match need(wanted) {
            Need::Nothing => true,
            Need::Known => self.identity.is_authenticated(),
            need => self.policy.grants(&self.identity).any(|grant| need.is_met_by(grant)),
        }
    }

    /// Whether Services that he writes there may run as processes of Pelton's own user, who can read all that Pelton keeps.
    #[must_use]
    pub fn may_run_processes(&self, namespace: &str) -> bool {
        self.policy.grants(&self.identity).any(|grant| grant.processes && grant.reaches(namespace))
    }

    /// Whether he may have a token of a ServiceAccount: what it was given he must have himself.
    #[must_use]
    pub fn may_be(&self, namespace: &str, name: &str) -> bool {
        let account = Identity::account(namespace, name, "");
        let mut others = self.policy.grants(&account);
        others.all(|other| self.policy.grants(&self.identity).any(|own| own.covers(other)))
    }
}

#[cfg(test)]
mod tests;
