//! What follows from the resources of Knative Serving: those that others are made of, and what is true of each.
//!
//! Level-triggered and pure, as [`crate::status`] is: changes follow from what is there and from what gateways tell,
//! whatever happened before. Once they are made there are none left for the same facts. The rules are applied in the order in
//! which one follows from another, so an applied Service has its Configuration, Revision and Route after one round, and is
//! Ready one round after a gateway tells that the Revision is.
//!
//! What a controller makes is owned by what it is made for (`ownerReferences`) and goes with it. It is not admitted as
//! what people write is: it is made of what was.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_resource::serving::AutoscalingDefaults;
use pelton_resource::{Condition, ConditionStatus, ConditionWriter, Resource, ResourceKey};

use super::address::GatewayAddress;
use super::gc::GcPolicy;
use crate::Resources;
use world::World;

mod configuration;
mod domain;
mod garbage;
mod revision;
mod route;
mod routing_state;
mod service;
mod world;

/// What changes follow from, beside the resources themselves.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Where gateways are reached; `None` until one is bound. What was said of it before stays true meanwhile.
    pub gateway: Option<&'a GatewayAddress>,
    /// What gateways tell of revisions, by uid. What is not told is not known, and what was known stays.
    pub revisions: &'a BTreeMap<String, RevisionFact>,
    /// What the operator has set.
    pub policy: &'a Policy,
    /// The present moment.
    pub now: UnixMillis,
}

/// What gateways tell of one revision, taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevisionFact {
    /// Whether what its instances need is there: an image, a Deployment. `None` while that is being found out, an error
    /// when it was refused.
    pub deployed: Option<Result<(), String>>,
    /// How many instances are ready.
    pub ready_replicas: u32,
    /// How many there should be.
    pub desired_replicas: u32,
    /// Whether there have ever been as many ready as a new revision must have.
    pub reached_initial_scale: bool,
    /// Instances end again and again: why, with the last lines that one wrote.
    pub crash_loop: Option<String>,
    /// When the last request ended, as far as gateways remember.
    pub last_active: Option<UnixMillis>,
}

/// What the operator has set for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Over how long traffic moves to a new latest revision where a Route does not say so; zero is at once.
    pub rollout_duration: Duration,
    /// How long revisions are kept that no Route needs.
    pub gc: GcPolicy,
    /// How Revisions scale that do not say so.
    pub autoscaling: AutoscalingDefaults,
}

/// What is to be done. Deletions come first: a key that stands in both is that of another resource than before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// To be deleted, if it is still what it was (its uid).
    pub delete: Vec<ResourceKey>,
    /// To be stored, if what is there still has the `resourceVersion` given here; without one, if nothing is there.
    pub put: Vec<Resource>,
    /// When there may be more to do though nothing changed.
    pub wake_at: Option<UnixMillis>,
}

impl Changes {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.put.is_empty()
    }
}

/// What is not as it should be, and how it should be.
#[must_use]
pub fn reconcile(resources: &Resources, facts: Facts<'_>) -> Changes {
    let mut world = World::new(resources, facts);
    world.delete_orphans();
    service::own(&mut world);
    configuration::own(&mut world);
    revision::mark_health(&mut world);
    configuration::mark(&mut world);
    route::mark(&mut world);
    routing_state::label(&mut world);
    revision::mark_activity(&mut world);
    service::mark(&mut world);
    domain::mark(&mut world);
    garbage::delete(&mut world);
    world.into_changes()
}

/// Makes a condition what `Ready` of another resource is.
fn mirror(write: &mut ConditionWriter<'_>, kind: &str, ready: Option<&Condition>) {
    let Some(ready) = ready else {
        write.mark_unknown(kind, "", "");
        return;
    };
    match ready.status {
        ConditionStatus::True => write.mark_true(kind),
        ConditionStatus::False => write.mark_false(kind, &ready.reason, &ready.message),
        ConditionStatus::Unknown => write.mark_unknown(kind, &ready.reason, &ready.message),
    };
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
