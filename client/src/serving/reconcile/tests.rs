//! What controllers do, rule by rule (sections 5.1 to 5.6). [`House::settle`] checks after each step that one round was
//! enough.

use pelton_resource::serving::labels;
use pelton_resource::{Kind, conditions};

use super::*;
use crate::serving::testing::{House, in_words, service, up};

mod conditions_of_revisions;
mod domains;
mod ownership;
mod traffic;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every condition of a resource, in few words.
fn words_of(conditions: &pelton_resource::Conditions) -> Vec<String> {
    conditions.iter().map(|one| format!("{}={}", one.kind, in_words(Some(one)))).collect()
}

fn crashing() -> RevisionFact {
    RevisionFact {
        deployed: Some(Ok(())),
        desired_replicas: 1,
        crash_loop: Some("exit code 1: no database".to_owned()),
        ..RevisionFact::default()
    }
}

#[test]
fn a_service_becomes_a_configuration_a_revision_and_a_route() {
    let mut house = House::new();
    house.apply(&service("hello", "run", ""));
    for (kind, want) in [(Kind::Configuration, "hello"), (Kind::Revision, "hello-00001"), (Kind::Route, "hello")] {
        assert_eq!(house.names(kind), [want], "{kind}");
    }
    let (service, configuration) = (&house.service("hello").metadata, &house.configuration("hello").metadata);
    let revision = &house.revision("hello-00001").metadata;
    let rows = [
        (labels::SERVICE, "hello"),
        (labels::SERVICE_UID, service.uid.as_deref().unwrap()),
        (labels::CONFIGURATION, "hello"),
        (labels::CONFIGURATION_UID, configuration.uid.as_deref().unwrap()),
        (labels::CONFIGURATION_GENERATION, "1"),
        (labels::ROUTING_STATE, "pending"),
    ];
    for (label, want) in rows {
        assert_eq!(revision.labels.get(label).map(String::as_str), Some(want), "{label}");
    }
    for owned in [configuration, &house.route("hello").metadata] {
        assert_eq!(owned.owner_references[0].uid, *service.uid.as_ref().unwrap());
        assert_eq!(owned.labels[labels::SERVICE], "hello");
    }
    assert_eq!(revision.owner_references[0].uid, *configuration.uid.as_ref().unwrap());
    let target = &house.route("hello").spec.traffic[0];
    assert_eq!((target.configuration_name.as_str(), target.percent), ("hello", Some(100)));
    let want =
        ["ConfigurationsReady=Unknown Deploying", "Ready=Unknown Deploying", "RoutesReady=Unknown RevisionMissing"];
    assert_eq!(words_of(&house.service("hello").status.conditions), want);
}

#[test]
fn a_service_is_ready_when_a_gateway_says_that_its_revision_came_up() {
    let mut house = House::new();
    house.apply(&service("hello", "run", "")).up("hello-00001");
    let status = &house.service("hello").status;
    assert_eq!(words_of(&status.conditions), ["ConfigurationsReady=True", "Ready=True", "RoutesReady=True"]);
    assert_eq!(status.latest_created_revision_name, "hello-00001");
    assert_eq!(status.latest_ready_revision_name, "hello-00001");
    assert_eq!(status.url.as_deref(), Some("http://hello.default.example.com"));
    assert_eq!(status.address.as_ref().unwrap().url, status.url);
    assert_eq!(status.traffic, house.route("hello").status.traffic);
    assert_eq!(house.traffic("hello"), [("hello-00001".to_owned(), 100)]);
    let want =
        ["AllTrafficAssigned=True", "CertificateProvisioned=True TLSNotEnabled", "IngressReady=True", "Ready=True"];
    assert_eq!(words_of(&house.route("hello").status.conditions), want);
    let revision = house.revision("hello-00001");
    assert_eq!(revision.metadata.labels[labels::ROUTING_STATE], "active");
    assert_eq!(revision.metadata.annotations[labels::ROUTES], "hello");
    for (generation, observed) in [
        (house.service("hello").metadata.generation, house.service("hello").status.observed_generation),
        (house.configuration("hello").metadata.generation, house.configuration("hello").status.observed_generation),
        (house.route("hello").metadata.generation, house.route("hello").status.observed_generation),
        (revision.metadata.generation, revision.status.observed_generation),
    ] {
        assert_eq!((generation, observed), (Some(1), Some(1)));
    }
    assert_eq!(
        house.table().resolve("hello.default.example.com", None, 0).unwrap().revision.metadata.name,
        "hello-00001"
    );
}

/// Section 5.1: each change of the template makes a revision; the latest that is ready moves forward only.
#[test]
fn traffic_follows_the_latest_revision_that_is_ready() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    house.apply(&service("hello", "one", ""));
    assert_eq!(house.names(Kind::Revision), ["hello-00001"], "nothing changed");

    house.apply(&service("hello", "two", "")).tell("hello-00002", crashing());
    assert_eq!(house.traffic("hello"), [("hello-00001".to_owned(), 100)]);
    let configuration = &house.configuration("hello").status;
    assert_eq!(configuration.latest_created_revision_name, "hello-00002");
    assert_eq!(configuration.latest_ready_revision_name, "hello-00001");
    let ready = configuration.conditions.find(conditions::READY);
    assert_eq!(in_words(ready), "False RevisionFailed");
    assert!(ready.unwrap().message.contains("no database"), "{ready:?}");
    let want = ["ConfigurationsReady=False RevisionFailed", "Ready=False RevisionFailed", "RoutesReady=True"];
    assert_eq!(words_of(&house.service("hello").status.conditions), want);

    house.apply(&service("hello", "three", "")).up("hello-00003");
    assert_eq!(house.traffic("hello"), [("hello-00003".to_owned(), 100)]);
    house.up("hello-00002");
    assert_eq!(house.traffic("hello"), [("hello-00003".to_owned(), 100)], "never back");
    house.tell("hello-00003", crashing());
    assert_eq!(house.configuration("hello").status.latest_ready_revision_name, "hello-00003", "never back");
    assert_eq!(house.service("hello").metadata.generation, Some(3));
    assert_eq!(house.configuration("hello").metadata.generation, Some(3));
    assert_eq!(house.route("hello").metadata.generation, Some(1));
}

/// A revision between two that became ready before the second did takes over.
#[test]
fn an_earlier_revision_takes_over_while_the_latest_is_not_ready() {
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    house.apply(&service("hello", "two", ""));
    house.apply(&service("hello", "three", "")).up("hello-00002");
    assert_eq!(house.traffic("hello"), [("hello-00002".to_owned(), 100)]);
    assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "Unknown Deploying");
}

/// Section 5.2: the name that a template gives its revision.
#[test]
fn a_revision_has_the_name_that_its_template_gives() {
    let named = |command: &str, name: &str| {
        service("hello", command, "").replace("template: {", &format!("template: {{metadata: {{name: {name}}}, "))
    };
    let mut house = House::new();
    house.apply(&named("one", "hello-first")).up("hello-first");
    house.apply(&named("two", "hello-second")).up("hello-second");
    assert_eq!(house.names(Kind::Revision), ["hello-first", "hello-second"]);
    // Back to what was: the same revision again, and now the latest.
    house.apply(&named("one", "hello-first"));
    assert_eq!(house.names(Kind::Revision), ["hello-first", "hello-second"]);
    assert_eq!(house.revision("hello-first").metadata.labels[labels::CONFIGURATION_GENERATION], "3");
    assert_eq!(house.traffic("hello"), [("hello-first".to_owned(), 100)]);
    assert!(house.service("hello").status.conditions.is_ready());
    // The name of another template.
    house.apply(&named("three", "hello-second"));
    let ready = house.configuration("hello").status.conditions.find(conditions::READY).cloned();
    assert_eq!(in_words(ready.as_ref()), "False RevisionFailed");
    assert!(ready.unwrap().message.contains("\"hello-second\" is there already"));
    assert_eq!(house.traffic("hello"), [("hello-first".to_owned(), 100)]);
    house.apply(&service("hello", "three", ""));
    assert_eq!(house.names(Kind::Revision), ["hello-00005", "hello-first", "hello-second"]);
}

/// Section 5.3.
#[test]
fn a_service_that_only_the_cluster_sees_has_a_local_address() {
    let mut house = House::new();
    let local = service("hello", "run", "")
        .replace("{name: hello}", "{name: hello, labels: {networking.knative.dev/visibility: cluster-local}}");
    house.apply(&local).up("hello-00001");
    assert_eq!(house.service("hello").status.url.as_deref(), Some("http://hello.default.svc.cluster.local"));
    house.apply(&service("hello", "run", ""));
    assert_eq!(house.service("hello").status.url.as_deref(), Some("http://hello.default.example.com"));
}

/// "No answer is not an answer": a gateway that is gone for a moment makes nothing untrue.
#[test]
fn nothing_becomes_unready_because_nobody_tells() {
    let mut house = House::new();
    house.gateway = None;
    house.apply(&service("hello", "run", "")).up("hello-00001");
    let want =
        ["ConfigurationsReady=True", "Ready=Unknown IngressNotConfigured", "RoutesReady=Unknown IngressNotConfigured"];
    assert_eq!(words_of(&house.service("hello").status.conditions), want);
    house.gateway = House::new().gateway;
    house.settle();
    let before = house.resources.clone();
    assert!(house.service("hello").status.conditions.is_ready());
    house.gateway = None;
    house.told.clear();
    house.wait(secs(10_000));
    assert_eq!(house.settle(), Changes::default());
    assert_eq!(before.iter().collect::<Vec<_>>(), house.resources.iter().collect::<Vec<_>>());
    // A gateway that has just begun has seen no instance of it.
    let uid = house.revision("hello-00001").metadata.uid.clone().unwrap();
    house.told.insert(uid, RevisionFact { deployed: Some(Ok(())), ..RevisionFact::default() });
    house.settle();
    assert!(house.service("hello").status.conditions.is_ready());
    house.up("hello-00001");
    assert!(up().reached_initial_scale && house.service("hello").status.conditions.is_ready());
}
