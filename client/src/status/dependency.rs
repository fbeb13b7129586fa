//! `DependencyReady` of a Trigger: whether what its annotation `knative.dev/dependency` names is Ready. Reasons are those of
//! Knative's own controller.

use pelton_resource::annotations::DEPENDENCY;
use pelton_resource::conditions::{DEPENDENCY_READY, READY};
use pelton_resource::{ConditionStatus, ConditionWriter, Trigger};

use crate::Resources;

pub(super) fn mark(write: &mut ConditionWriter<'_>, trigger: &Trigger, resources: &Resources) {
    if !trigger.metadata.annotations.contains_key(DEPENDENCY) {
        write.mark_true(DEPENDENCY_READY);
        return;
    }
    let Some(reference) = trigger.dependency() else {
        let message = format!("the annotation {DEPENDENCY} is no reference to an object");
        write.mark_false(DEPENDENCY_READY, "ReferenceError", &message);
        return;
    };
    let Some(key) = reference.key() else {
        let message = format!(
            "{} ({}) is no kind that is known here, so nobody can say whether {:?} is ready; without the annotation \
             {DEPENDENCY} the trigger does not wait for it",
            reference.kind, reference.api_version, reference.name
        );
        write.mark_unknown(DEPENDENCY_READY, "DependencyKindUnsupported", &message);
        return;
    };
    let Some(dependency) = resources.find(&key) else {
        write.mark_false(DEPENDENCY_READY, "DependencyDoesNotExist", &format!("Dependency does not exist: {key}"));
        return;
    };
    let (generation, observed) = (dependency.meta().generation, dependency.observed_generation());
    if generation.unwrap_or(0) != observed.unwrap_or(0) {
        let message = format!(
            "The dependency's metadata.generation, {}, is not equal to its status.observedGeneration, {}.",
            generation.unwrap_or(0),
            observed.unwrap_or(0)
        );
        write.mark_unknown(DEPENDENCY_READY, "GenerationNotEqual", &message);
        return;
    }
    match dependency.conditions().find(READY) {
        None => {
            write.mark_unknown(DEPENDENCY_READY, "DependencyNotConfigured", "Dependency has not yet been reconciled.")
        }
        Some(ready) => match ready.status {
            ConditionStatus::True => write.mark_true(DEPENDENCY_READY),
            ConditionStatus::False => write.mark_false(DEPENDENCY_READY, &ready.reason, &ready.message),
            ConditionStatus::Unknown => write.mark_unknown(DEPENDENCY_READY, &ready.reason, &ready.message),
        },
    };
}
