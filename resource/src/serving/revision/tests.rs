use super::*;
use crate::Resource;
use crate::serving::{Container, RoutingState};

/// A valid Revision with its defaults, then changed.
fn revision(change: impl FnOnce(&mut Revision)) -> Resource {
    let mut revision = Revision::default();
    revision.metadata.name = "hello-00001".into();
    revision.spec.containers = vec![Container { command: vec!["/bin/hello".into()], ..Container::default() }];
    let mut resource = Resource::Revision(revision);
    resource.set_defaults(&Defaults::default());
    if let Resource::Revision(revision) = &mut resource {
        change(revision);
    }
    resource
}

fn update(old: &Resource, new: &Resource) -> String {
    new.validate_update(old, &Defaults::default()).map_or_else(|errors| errors.to_string(), |()| String::new())
}

/// Knative Serving, "Spec is immutable after creation".
#[test]
fn the_spec_of_a_revision_never_changes() {
    let old = revision(|_| {});
    assert_eq!(old.validate(&Defaults::default()), Ok(()));
    let rows = [
        (
            revision(|r| r.spec.timeout_seconds = Some(10)),
            "Immutable fields changed (-old +new): spec.timeoutSeconds\n-: \"300\"\n+: \"10\"",
        ),
        (
            revision(|r| r.spec.containers[0].command = vec!["/bin/other".into()]),
            "Immutable fields changed (-old +new): spec.containers[0].command[0]\n-: \"/bin/hello\"\n\
             +: \"/bin/other\"",
        ),
        (
            revision(|r| r.spec.containers[0].args = vec!["-v".into()]),
            "Immutable fields changed (-old +new): spec.containers[0].args\n-: \"\"\n+: \"[\\\"-v\\\"]\"",
        ),
        (
            revision(|r| drop(r.metadata.annotations.insert("pelton.dev/socket-activation".into(), "true".into()))),
            "Immutable fields changed (-old +new): metadata.annotations[pelton.dev/socket-activation]\n-: \"\"\n\
             +: \"true\"",
        ),
    ];
    for (new, want) in rows {
        assert_eq!(update(&old, &new), want);
    }
}

#[test]
fn labels_and_scaling_of_a_revision_may_change() {
    let new = revision(|r| {
        r.metadata.labels.insert(labels::ROUTING_STATE.into(), "reserve".into());
        r.metadata.annotations.insert("autoscaling.knative.dev/min-scale".into(), "2".into());
        r.metadata.annotations.insert("pelton.dev/idle-pause".into(), "never".into());
    });
    assert_eq!(update(&revision(|_| {}), &new), "");
    let moved = revision(|r| {
        r.metadata.annotations.insert(RUNTIME.into(), "docker".into());
        r.spec.containers[0].image = "hello".into();
    });
    assert!(update(&revision(|_| {}), &moved).contains("annotations[pelton.dev/runtime]"));
}

#[test]
fn a_revision_says_whose_it_is() {
    let Resource::Revision(bare) = revision(|_| {}) else { unreachable!("it was made one") };
    assert_eq!((bare.configuration_name(), bare.service_name(), bare.routing_state()), (None, None, None));
    let labelled = revision(|r| {
        let labels = [(labels::CONFIGURATION, "hello"), (labels::SERVICE, "shop"), (labels::ROUTING_STATE, "active")];
        r.metadata.labels.extend(labels.map(|(key, value)| (key.to_owned(), value.to_owned())));
    });
    let Resource::Revision(labelled) = labelled else { unreachable!("it was made one") };
    assert_eq!(labelled.configuration_name(), Some("hello"));
    assert_eq!(labelled.service_name(), Some("shop"));
    assert_eq!(labelled.routing_state(), Some(RoutingState::Active));
}
