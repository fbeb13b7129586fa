//! Revisions: whether they come up and stay, and whether they have instances.

use std::sync::Arc;

use pelton_env::UnixMillis;
use pelton_resource::serving::{AutoscalingSettings, RoutingState, revision_settings};
use pelton_resource::{ConditionStatus, ConditionWriter, Conditions, Revision, conditions};

use super::world::{World, uid};
use super::{Policy, RevisionFact};

const DEPLOYING: &str = "Deploying";
const QUEUED: &str = "Queued";

/// How a revision is.
enum Health<'a> {
    /// Nothing new is known.
    Same,
    /// It has not come up yet.
    Deploying,
    /// It has not come up, and should have by now.
    Late,
    /// What it runs is not to be had.
    Missing(&'a str),
    /// It runs and ends, again and again.
    Crashing(&'a str),
    /// It came up.
    Up,
}

/// Says of each Revision whether it comes up and stays, and how many instances it has.
pub(super) fn mark_health(world: &mut World<'_>) {
    for revision in world.revisions() {
        let fact = world.facts.revisions.get(uid(&revision.metadata));
        let created = revision.metadata.creation_timestamp.map_or(world.facts.now, |at| UnixMillis(at.unix_millis()));
        let deadline = created.plus(revision_settings(&revision).progress_deadline);
        let health = health(fact, &revision.status.conditions, deadline <= world.facts.now);
        if matches!(health, Health::Deploying) && fact.is_some() {
            world.wake(Some(deadline));
        }
        let mut status = revision.status.clone();
        status.observed_generation = revision.metadata.generation;
        if let Some(fact) = fact {
            status.actual_replicas = Some(i32::try_from(fact.ready_replicas).unwrap_or(i32::MAX));
            status.desired_replicas = Some(i32::try_from(fact.desired_replicas).unwrap_or(i32::MAX));
        }
        mark(&mut status.write_conditions(world.now()), &revision.status.conditions, &health);
        if status != revision.status {
            world.put(Revision { status, ..Revision::clone(&revision) });
        }
    }
}

fn health<'a>(fact: Option<&'a RevisionFact>, was: &Conditions, is_late: bool) -> Health<'a> {
    let came_up = was.status(conditions::RESOURCES_AVAILABLE) == ConditionStatus::True;
    let Some(fact) = fact else { return if was.is_empty() { Health::Deploying } else { Health::Same } };
    match (&fact.deployed, &fact.crash_loop) {
        (Some(Err(why)), _) => Health::Missing(why),
        (_, Some(why)) if fact.ready_replicas == 0 => Health::Crashing(why),
        _ if fact.reached_initial_scale || (came_up && fact.ready_replicas > 0) => Health::Up,
        // A gateway that has just begun knows less than what was told before.
        _ if came_up => Health::Same,
        _ if is_late => Health::Late,
        _ => Health::Deploying,
    }
}

fn mark(write: &mut ConditionWriter<'_>, was: &Conditions, health: &Health<'_>) {
    const AVAILABLE: &str = conditions::RESOURCES_AVAILABLE;
    const HEALTHY: &str = conditions::CONTAINER_HEALTHY;
    write.initialize();
    let came_up = was.status(AVAILABLE) == ConditionStatus::True;
    match *health {
        Health::Same => {}
        Health::Up => {
            write.mark_true(AVAILABLE).mark_true(HEALTHY);
        }
        Health::Deploying => {
            write.mark_unknown(AVAILABLE, DEPLOYING, "its instances are being started");
            write.mark_unknown(HEALTHY, DEPLOYING, "");
        }
        Health::Late => {
            write.mark_false(AVAILABLE, "ProgressDeadlineExceeded", "initial scale was never achieved");
            write.mark_unknown(HEALTHY, DEPLOYING, "");
        }
        Health::Missing(why) | Health::Crashing(why) => {
            if !came_up {
                write.mark_unknown(AVAILABLE, DEPLOYING, "its instances are being started");
            }
            let is_missing = matches!(health, Health::Missing(_));
            write.mark_false(HEALTHY, if is_missing { "ContainerMissing" } else { "CrashLoop" }, why);
        }
    }
}

/// Says of each Revision whether it is active: Knative's table for its PodAutoscaler, by what is wanted and what is there.
pub(super) fn mark_activity(world: &mut World<'_>) {
    for revision in world.revisions() {
        let Some(fact) = world.facts.revisions.get(uid(&revision.metadata)) else { continue };
        let was = revision.status.conditions.find(conditions::ACTIVE);
        let (is, reason, message) = match was.map(|was| (was.status, was.reason.as_str())) {
            Some((ConditionStatus::False, _)) if fact.desired_replicas == 0 => continue,
            // Only an activation that took too long ends like this.
            Some((ConditionStatus::Unknown, QUEUED)) if fact.desired_replicas == 0 => {
                (ConditionStatus::False, "TimedOut", "its instances did not come up in time")
            }
            _ if fact.desired_replicas == 0 => (ConditionStatus::False, "NoTraffic", "no requests come in"),
            _ if fact.ready_replicas < needed(&revision, fact, world.facts.policy) => {
                (ConditionStatus::Unknown, QUEUED, "requests wait while instances are being started")
            }
            _ => (ConditionStatus::True, "", ""),
        };
        let mut status = revision.status.clone();
        status.write_conditions(world.now()).inform(conditions::ACTIVE, is, reason, message);
        if status != revision.status {
            world.put(Revision { status, ..Revision::clone(&revision) });
        }
    }
}

/// How many instances must be ready for a revision to be active.
fn needed(revision: &Arc<Revision>, fact: &RevisionFact, policy: &Policy) -> u32 {
    let settings = AutoscalingSettings::of(&revision.metadata.annotations, &policy.autoscaling);
    // One that no Route points to has no minimum.
    let is_reachable = revision.routing_state() != Some(RoutingState::Reserve);
    let least = if is_reachable { settings.min_scale } else { 0 };
    let initial = if fact.reached_initial_scale { 0 } else { settings.initial_scale };
    least.max(initial).max(1)
}
