//! Configurations: a Revision for each change of the template, and which of them are the latest.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_resource::serving::{RoutingState, labels, naming};
use pelton_resource::{
    Condition, ConditionStatus, ConditionWriter, Configuration, Kind, ObjectMeta, Revision, conditions,
};

use super::world::{World, is_owned, uid};

/// The Revision that a Configuration's present template is to be.
enum Current {
    /// It is there.
    Made(Arc<Revision>),
    /// One of that name is there, was made from an earlier generation of the same template, and is this one, too.
    Again(Arc<Revision>),
    /// Nothing has its name.
    Missing,
    /// Something else has its name.
    Taken,
}

/// Makes the Revision of each Configuration's present template.
pub(super) fn own(world: &mut World<'_>) {
    for configuration in world.configurations() {
        match current(world, &configuration) {
            Current::Made(_) | Current::Taken => {}
            Current::Missing => {
                let revision = revision_of(world, &configuration);
                world.own(&configuration.metadata, Kind::Configuration, revision.into());
            }
            Current::Again(revision) => {
                let mut revision = Revision::clone(&revision);
                let generation = generation(&configuration.metadata).to_string();
                revision.metadata.labels.insert(labels::CONFIGURATION_GENERATION.to_owned(), generation);
                world.put(revision);
            }
        }
    }
}

fn generation(meta: &ObjectMeta) -> i64 {
    meta.generation.unwrap_or(1)
}

/// The generation of its Configuration that a Revision was made from.
fn made_from(revision: &Revision) -> i64 {
    let label = revision.metadata.labels.get(labels::CONFIGURATION_GENERATION);
    label.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The name that the Revision of a Configuration's present template is to have.
pub(super) fn name(configuration: &Configuration) -> String {
    let given = &configuration.spec.template.metadata.name;
    if given.is_empty() {
        naming::revision_name(&configuration.metadata.name, generation(&configuration.metadata))
    } else {
        given.clone()
    }
}

fn current(world: &World<'_>, configuration: &Configuration) -> Current {
    let meta = &configuration.metadata;
    let Some(revision) = world.is.revision(&meta.namespace, &name(configuration)) else { return Current::Missing };
    if !is_owned(&revision.metadata, meta, Kind::Configuration) {
        return Current::Taken;
    }
    if made_from(revision) == generation(meta) {
        return Current::Made(Arc::clone(revision));
    }
    let template = &configuration.spec.template;
    let has = |wanted: &BTreeMap<String, String>, is: &BTreeMap<String, String>| {
        wanted.iter().all(|(key, value)| is.get(key) == Some(value))
    };
    let is_same = revision.spec == template.spec
        && has(&template.metadata.annotations, &revision.metadata.annotations)
        && has(&template.metadata.labels, &revision.metadata.labels);
    if is_same { Current::Again(Arc::clone(revision)) } else { Current::Taken }
}

fn revision_of(world: &World<'_>, configuration: &Configuration) -> Revision {
    let (meta, template) = (&configuration.metadata, &configuration.spec.template);
    let mut metadata = ObjectMeta {
        name: name(configuration),
        namespace: meta.namespace.clone(),
        labels: template.metadata.labels.clone(),
        annotations: template.metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    for label in [labels::SERVICE, labels::SERVICE_UID] {
        metadata.labels.extend(meta.labels.get(label).map(|value| (label.to_owned(), value.clone())));
    }
    let ours = [
        (labels::CONFIGURATION, meta.name.clone()),
        (labels::CONFIGURATION_GENERATION, generation(meta).to_string()),
        (labels::CONFIGURATION_UID, uid(meta).to_owned()),
        (labels::ROUTING_STATE, RoutingState::Pending.as_str().to_owned()),
    ];
    metadata.labels.extend(ours.map(|(label, value)| (label.to_owned(), value)));
    metadata.annotations.insert(labels::ROUTING_STATE_MODIFIED.to_owned(), world.now().to_string());
    Revision { metadata, spec: template.spec.clone(), ..Revision::default() }
}

/// Says what is true of each Configuration.
pub(super) fn mark(world: &mut World<'_>) {
    let revisions = world.revisions_by_configuration();
    for configuration in world.configurations() {
        let of_it = revisions.get(uid(&configuration.metadata)).map_or(&[][..], Vec::as_slice);
        let current = current(world, &configuration);
        let mut status = configuration.status.clone();
        status.observed_generation = configuration.metadata.generation;
        if let Current::Made(revision) = &current {
            status.latest_created_revision_name.clone_from(&revision.metadata.name);
        }
        status.latest_ready_revision_name = latest_ready(&status.latest_ready_revision_name, of_it);
        let mut write = status.write_conditions(world.now());
        write.initialize();
        match &current {
            Current::Made(revision) => {
                mark_ready(&mut write, &revision.metadata.name, revision.status.conditions.find(conditions::READY));
            }
            Current::Again(_) | Current::Missing | Current::Taken => {
                let name = name(&configuration);
                let why = format!("revision {name:?} is there already and was not made from this template");
                write.mark_false(conditions::READY, "RevisionFailed", &why);
            }
        }
        if status != configuration.status {
            world.put(Configuration { status, ..Configuration::clone(&configuration) });
        }
    }
}

fn mark_ready(write: &mut ConditionWriter<'_>, name: &str, ready: Option<&Condition>) {
    let (reason, message) = ready.map_or(("", ""), |ready| (&ready.reason, &ready.message));
    match ready.map_or(ConditionStatus::Unknown, |ready| ready.status) {
        ConditionStatus::True => write.mark_true(conditions::READY),
        ConditionStatus::Unknown => write.mark_unknown(conditions::READY, reason, message),
        ConditionStatus::False => {
            write.mark_false(conditions::READY, "RevisionFailed", &format!("revision {name:?} failed: {message}"))
        }
    };
}

/// The newest revision that is ready, and never an older one than before while that is there.
fn latest_ready(before: &str, revisions: &[Arc<Revision>]) -> String {
    let known = revisions.iter().find(|revision| revision.metadata.name == before);
    let ready = revisions.iter().filter(|revision| revision.status.conditions.is_ready());
    let newer = ready.filter(|one| known.is_none_or(|known| made_from(one) > made_from(known)));
    let newest = newer.max_by_key(|revision| made_from(revision)).or(known);
    newest.map_or(String::new(), |revision| revision.metadata.name.clone())
}
