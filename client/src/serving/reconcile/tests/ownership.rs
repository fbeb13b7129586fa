//! What is made for what, and goes with it.

use super::*;
use crate::serving::gc::GcPolicy;

#[test]
fn everything_goes_with_the_service() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    house.apply(&service("hello", "two", "")).apply(&service("other", "one", ""));
    house.delete(Kind::Service, "hello");
    for (kind, want) in [(Kind::Configuration, "other"), (Kind::Revision, "other-00001"), (Kind::Route, "other")] {
        assert_eq!(house.names(kind), [want], "{kind}");
    }
}

#[test]
fn a_service_of_the_same_name_is_another_one() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    let before = house.revision("hello-00001").metadata.uid.clone();
    // Deleted and applied again before the controller looks.
    house.resources = house.resources.without(&ResourceKey::new(Kind::Service, "default", "hello"), 99);
    house.wait(secs(1)).apply(&service("hello", "two", ""));
    assert_ne!(house.revision("hello-00001").metadata.uid, before);
    assert_eq!(
        in_words(house.service("hello").status.conditions.find("Ready")),
        "Unknown Deploying",
        "facts are another's"
    );
}

#[test]
fn what_was_deleted_is_made_again_as_another() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    for (kind, name) in [(Kind::Configuration, "hello"), (Kind::Route, "hello"), (Kind::Revision, "hello-00001")] {
        let uid =
            |house: &House| house.resources.find(&ResourceKey::new(kind, "default", name)).unwrap().meta().uid.clone();
        let before = uid(&house);
        house.wait(secs(1)).delete(kind, name);
        assert_ne!(uid(&house), before, "{kind}");
        house.up("hello-00001");
        assert!(house.service("hello").status.conditions.is_ready(), "{kind}");
    }
}

#[test]
fn what_a_service_made_is_kept_as_it_says() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    let mut route = house.route("hello").clone();
    route.spec.traffic.clear();
    route.metadata.labels.clear();
    house.resources.put(route.into());
    house.settle();
    assert_eq!(house.route("hello").spec.traffic.len(), 1);
    assert_eq!(house.route("hello").metadata.labels[labels::SERVICE], "hello");
    assert_eq!(house.route("hello").metadata.generation, Some(2));
}

/// Section 5.1, "NotOwned".
#[test]
fn what_belongs_to_nobody_is_left_alone() {
    let mine = "apiVersion: serving.knative.dev/v1\nkind: Configuration\nmetadata: {name: hello}\nspec: {template: {spec: \
                {containers: [{command: [mine]}]}}}\n";
    let mut house = House::new();
    house.apply(mine).up("hello-00001");
    house.apply(&service("hello", "theirs", ""));
    let conditions = &house.service("hello").status.conditions;
    assert_eq!(in_words(conditions.find(conditions::CONFIGURATIONS_READY)), "False NotOwned");
    assert_eq!(house.configuration("hello").spec.template.spec.containers[0].command, ["mine"]);
    house.delete(Kind::Service, "hello");
    assert_eq!(house.names(Kind::Configuration), ["hello"]);
    assert_eq!(house.names(Kind::Route), [""; 0]);
    // Its revision's name is taken by somebody else's, too.
    let stray = house.revision("hello-00001").clone();
    house.delete(Kind::Configuration, "hello");
    let mut stray = stray;
    stray.metadata.owner_references.clear();
    stray.metadata.resource_version = None;
    house.resources = house.resources.with([stray.into()], 100);
    house.apply(&service("hello", "theirs", ""));
    let conditions = &house.configuration("hello").status.conditions;
    assert_eq!(in_words(conditions.find(conditions::READY)), "False RevisionFailed");
    assert_eq!(house.names(Kind::Revision), ["hello-00001"]);
}

/// Section 5.2, routingState.
#[test]
fn a_revision_knows_which_routes_point_to_it() {
    let state = |house: &House, name: &str| {
        let meta = &house.revision(name).metadata;
        (meta.labels[labels::ROUTING_STATE].clone(), meta.annotations.get(labels::ROUTES).cloned().unwrap_or_default())
    };
    let is = |state: &str, routes: &str| (state.to_owned(), routes.to_owned());
    let mut house = House::new();
    house.apply(&service("hello", "one", ""));
    assert_eq!(state(&house, "hello-00001"), is("pending", ""));
    house.up("hello-00001");
    assert_eq!(state(&house, "hello-00001"), is("active", "hello"));
    let since = house.revision("hello-00001").metadata.annotations[labels::ROUTING_STATE_MODIFIED].clone();
    house.wait(secs(5)).apply(&service("hello", "two", ""));
    assert_eq!(state(&house, "hello-00002"), is("pending", ""));
    house.apply(&service("hello", "three", "")).up("hello-00003");
    assert_eq!(state(&house, "hello-00002"), is("reserve", ""), "it never became the latest that is ready");
    assert_eq!(state(&house, "hello-00001"), is("reserve", ""));
    let modified = &house.revision("hello-00001").metadata.annotations[labels::ROUTING_STATE_MODIFIED];
    assert!(*modified > since, "{modified}");
    // Another Route names it.
    house.apply(
        "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {name: old}\nspec: {traffic: [{revisionName: \
         hello-00001, percent: 60}, {configurationName: hello, percent: 40}]}\n",
    );
    assert_eq!(state(&house, "hello-00001"), is("active", "old"));
    assert_eq!(state(&house, "hello-00003"), is("active", "hello,old"));
    house.delete(Kind::Route, "old");
    assert_eq!(state(&house, "hello-00001"), is("reserve", ""));
}

/// Section 5.5.
#[test]
fn revisions_that_nobody_needs_are_deleted() {
    let mut house = House::new();
    let (age, rest) = (Some(secs(100)), Some(secs(50)));
    house.policy.gc =
        GcPolicy { retain_since_create: age, retain_since_last_active: rest, min_non_active: 1, max_non_active: None };
    for (command, revision) in [("1", "hello-00001"), ("2", "hello-00002"), ("3", "hello-00003"), ("4", "hello-00004")]
    {
        house.apply(&service("hello", command, "")).up(revision).wait(secs(10));
    }
    let all = house.names(Kind::Revision);
    // The third is held, the fourth gets the traffic; of the first two one stays.
    let mut held = house.revision("hello-00003").clone();
    held.metadata.annotations.insert(labels::NO_GC.to_owned(), "true".to_owned());
    house.resources = house.resources.with([held.into()], 1000);
    let stale = house.changes().wake_at.unwrap();
    assert_eq!(stale, crate::serving::testing::START.plus(secs(100)));
    house.wait(stale.since(house.now) - secs(1));
    assert_eq!(house.names(Kind::Revision), all);
    house.wait(secs(1));
    assert_eq!(house.names(Kind::Revision), all[1..]);
    house.wait(secs(1_000_000));
    assert_eq!(house.names(Kind::Revision), all[1..]);
    // One that was asked lately is not stale.
    house.policy.gc.min_non_active = 0;
    let asked = RevisionFact { last_active: Some(house.now.minus(secs(20))), ..up() };
    house.tell("hello-00002", asked);
    assert_eq!(house.names(Kind::Revision), all[1..]);
    house.wait(secs(30));
    assert_eq!(house.names(Kind::Revision), all[2..]);
}
