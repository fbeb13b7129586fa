//! What a Revision's conditions say of what gateways tell.

use super::*;

fn fact(ready: u32, desired: u32) -> RevisionFact {
    RevisionFact { ready_replicas: ready, desired_replicas: desired, ..up() }
}

fn ready_words(house: &House) -> Vec<String> {
    let conditions = &house.revision("hello-00001").status.conditions;
    [conditions::RESOURCES_AVAILABLE, conditions::CONTAINER_HEALTHY, conditions::READY]
        .map(|kind| in_words(conditions.find(kind)))
        .to_vec()
}

/// Section 5.1, "Reasons worth keeping".
#[test]
fn health_follows_from_what_gateways_tell() {
    const DEPLOYING: &str = "Unknown Deploying";
    let begun = RevisionFact { desired_replicas: 1, ..RevisionFact::default() };
    let refused = RevisionFact { deployed: Some(Err("no such image".to_owned())), ..begun.clone() };
    let started = RevisionFact { deployed: Some(Ok(())), ..begun.clone() };
    let one_of_two_crashes = RevisionFact { ready_replicas: 1, ..crashing() };
    // What was told before, what is told, and ResourcesAvailable, ContainerHealthy and Ready.
    let rows = [
        ("nothing", None, None, [DEPLOYING, DEPLOYING, DEPLOYING]),
        ("begun", None, Some(begun.clone()), [DEPLOYING, DEPLOYING, DEPLOYING]),
        ("started", None, Some(started.clone()), [DEPLOYING, DEPLOYING, DEPLOYING]),
        ("refused", None, Some(refused.clone()), [DEPLOYING, "False ContainerMissing", "False ContainerMissing"]),
        ("ends", None, Some(crashing()), [DEPLOYING, "False CrashLoop", "False CrashLoop"]),
        ("up", None, Some(up()), ["True", "True", "True"]),
        ("at zero", None, Some(fact(0, 0)), ["True", "True", "True"]),
        ("up, then ends", Some(up()), Some(crashing()), ["True", "False CrashLoop", "False CrashLoop"]),
        ("up, then one of two ends", Some(up()), Some(one_of_two_crashes), ["True", "True", "True"]),
        ("up, then a new gateway", Some(up()), Some(begun), ["True", "True", "True"]),
        ("ended, then tried again", Some(crashing()), Some(started), [DEPLOYING, DEPLOYING, DEPLOYING]),
        ("ended, then up", Some(crashing()), Some(up()), ["True", "True", "True"]),
        ("refused, then up", Some(refused), Some(up()), ["True", "True", "True"]),
    ];
    for (what, before, told, want) in rows {
        let mut house = House::new();
        house.apply(&service("hello", "run", ""));
        for fact in before.into_iter().chain(told) {
            house.tell("hello-00001", fact);
        }
        assert_eq!(ready_words(&house), want, "{what}");
    }
}

#[test]
fn the_last_lines_of_what_crashes_are_in_the_message() {
    let mut house = House::new();
    house.apply(&service("hello", "run", "")).tell("hello-00001", crashing());
    let message = &house.revision("hello-00001").status.conditions.find("Ready").unwrap().message;
    assert_eq!(message, "exit code 1: no database");
}

/// Section 1.1, "Deployment": a revision that does not come up within its progress deadline has failed, until it does.
#[test]
fn a_revision_that_does_not_come_up_in_time_fails() {
    let with = |deadline: &str| {
        let annotation =
            format!("template: {{metadata: {{annotations: {{{}: {deadline}}}}}, ", labels::PROGRESS_DEADLINE);
        service("hello", "run", "").replace("template: {", &annotation)
    };
    for (manifest, deadline) in [(service("hello", "run", ""), 600), (with("90s"), 90)] {
        let started = RevisionFact { deployed: Some(Ok(())), desired_replicas: 1, ..RevisionFact::default() };
        let mut house = House::new();
        house.apply(&manifest).tell("hello-00001", started.clone());
        assert_eq!(house.changes().wake_at, Some(house.now.plus(secs(deadline))), "{deadline}");
        house.wait(secs(deadline - 1));
        assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "Unknown Deploying");
        house.wait(secs(1));
        let ready = house.revision("hello-00001").status.conditions.find("Ready").cloned();
        assert_eq!(in_words(ready.as_ref()), "False ProgressDeadlineExceeded");
        assert_eq!(ready.unwrap().message, "initial scale was never achieved");
        assert_eq!(house.changes().wake_at, None);
        assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "False RevisionFailed");
        house.up("hello-00001");
        assert!(house.service("hello").status.conditions.is_ready());
        // Nobody who tries: nothing has failed.
        let mut house = House::new();
        house.apply(&manifest).wait(secs(deadline));
        assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "Unknown Deploying");
    }
}

/// Section 3.8, "PA condition table".
#[test]
fn activity_follows_from_what_is_wanted_and_what_is_there() {
    const QUEUED: &str = "Unknown Queued";
    const NO_TRAFFIC: &str = "False NoTraffic";
    let coming = |ready, desired| RevisionFact { reached_initial_scale: false, ..fact(ready, desired) };
    // Annotations of the template, what is told one after the other, and the condition in the end.
    let rows = [
        ("", vec![], "absent"),
        ("", vec![coming(0, 1)], QUEUED),
        ("", vec![coming(0, 1), fact(1, 1)], "True"),
        ("", vec![fact(1, 1), fact(1, 0)], NO_TRAFFIC),
        ("", vec![fact(1, 1), fact(0, 0)], NO_TRAFFIC),
        ("", vec![fact(0, 0), fact(0, 1)], QUEUED),
        ("", vec![fact(0, 0), fact(0, 1), fact(1, 1)], "True"),
        ("", vec![fact(0, 0), fact(0, 1), fact(0, 0)], "False TimedOut"),
        ("", vec![fact(0, 0), fact(0, 1), fact(0, 0), fact(0, 1)], QUEUED),
        ("", vec![fact(1, 1), fact(1, 5)], "True"),
        ("", vec![fact(1, 1), fact(0, 5)], QUEUED),
        ("min-scale: '3'", vec![fact(2, 3)], QUEUED),
        ("min-scale: '3'", vec![fact(3, 3)], "True"),
        ("initial-scale: '4'", vec![coming(3, 4)], QUEUED),
        ("initial-scale: '4'", vec![coming(4, 4)], "True"),
        ("initial-scale: '4'", vec![fact(1, 4)], "True"),
    ];
    for (annotation, facts, want) in rows {
        let annotation =
            annotation.split_once(": ").map(|(key, value)| format!("autoscaling.knative.dev/{key}: {value}"));
        let annotations = annotation.unwrap_or_default();
        let manifest = service("hello", "run", "")
            .replace("template: {", &format!("template: {{metadata: {{annotations: {{{annotations}}}}}, "));
        let row = format!("{annotations} {facts:?}");
        let mut house = House::new();
        house.apply(&manifest);
        for fact in facts {
            house.tell("hello-00001", fact);
        }
        let status = &house.revision("hello-00001").status;
        assert_eq!(in_words(status.conditions.find(conditions::ACTIVE)), want, "{row}");
    }
}

/// Section 3.8: a revision that no Route points to has no minimum.
#[test]
fn a_revision_in_reserve_is_active_with_less_than_its_minimum() {
    let manifest = |command: &str| {
        let annotations = "template: {metadata: {annotations: {autoscaling.knative.dev/min-scale: '3'}}, ";
        service("hello", command, "").replace("template: {", annotations)
    };
    let mut house = House::new();
    house.apply(&manifest("one")).tell("hello-00001", fact(3, 3));
    house.apply(&manifest("two")).tell("hello-00002", fact(3, 3)).tell("hello-00001", fact(1, 1));
    let revision = house.revision("hello-00001");
    assert_eq!(revision.metadata.labels[labels::ROUTING_STATE], "reserve");
    assert_eq!(in_words(revision.status.conditions.find(conditions::ACTIVE)), "True");
    assert_eq!((revision.status.actual_replicas, revision.status.desired_replicas), (Some(1), Some(1)));
}
