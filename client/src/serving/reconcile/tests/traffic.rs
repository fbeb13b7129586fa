//! Where Routes send requests while something changes.

use super::*;

fn owned(traffic: &[(&str, i64)]) -> Vec<(String, i64)> {
    traffic.iter().map(|(revision, percent)| ((*revision).to_owned(), *percent)).collect()
}

/// Section 5.3: a Route keeps the last good traffic when a new target is missing.
#[test]
fn a_route_keeps_its_traffic_while_a_target_is_missing() {
    let pinned = |traffic: &str| service("hello", "one", &format!("  traffic: [{traffic}]\n"));
    let mut house = House::new();
    house.apply(&service("hello", "one", "")).up("hello-00001");
    house.apply(&pinned("{revisionName: hello-nope, percent: 50}, {latestRevision: true, percent: 50}"));
    assert_eq!(house.traffic("hello"), owned(&[("hello-00001", 100)]));
    let want = [
        "AllTrafficAssigned=False RevisionMissing",
        "CertificateProvisioned=True TLSNotEnabled",
        "IngressReady=True",
        "Ready=False RevisionMissing",
    ];
    assert_eq!(words_of(&house.route("hello").status.conditions), want);
    assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "False RevisionMissing");
    house.apply(&pinned("{revisionName: hello-00001, percent: 100, tag: stable}"));
    assert!(house.service("hello").status.conditions.is_ready());
    let target = &house.service("hello").status.traffic[0];
    assert_eq!((target.url.as_str(), target.latest_revision), ("http://stable-hello.default.example.com", Some(false)));
    // A Route whose Configuration goes away altogether.
    house.apply(
        "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {name: r}\nspec: {traffic: [{configurationName: hello, \
         percent: 100}]}\n",
    );
    house.delete(Kind::Service, "hello");
    let all = house.route("r").status.conditions.find(conditions::ALL_TRAFFIC_ASSIGNED);
    assert_eq!(in_words(all), "False ConfigurationMissing");
    assert_eq!(house.traffic("r"), owned(&[("hello-00001", 100)]));
}

/// Section 5.4, from the annotation to the end.
#[test]
fn traffic_moves_to_a_new_revision_step_by_step() {
    let manifest = |command: &str| {
        service("hello", command, "")
            .replace("{name: hello}", "{name: hello, annotations: {serving.knative.dev/rollout-duration: 120s}}")
    };
    let mut house = House::new();
    house.apply(&manifest("one")).up("hello-00001").apply(&manifest("two"));
    assert_eq!(house.traffic("hello"), owned(&[("hello-00001", 100)]));
    assert_eq!(house.changes().wake_at, None);
    house.up("hello-00002");
    assert_eq!(house.traffic("hello"), owned(&[("hello-00001", 99), ("hello-00002", 1)]));
    let route = &house.route("hello").status.conditions;
    assert_eq!(in_words(route.find(conditions::INGRESS_READY)), "Unknown RolloutInProgress");
    assert_eq!(in_words(house.service("hello").status.conditions.find("Ready")), "Unknown RolloutInProgress");
    for revision in ["hello-00001", "hello-00002"] {
        assert_eq!(house.revision(revision).metadata.labels[labels::ROUTING_STATE], "active", "{revision}");
    }
    let start = house.now;
    for step in 1..=99 {
        let due = house.changes().wake_at.unwrap();
        assert_eq!(due.since(house.now), Duration::from_millis(1_202), "step {step}");
        house.wait(due.since(house.now));
        let newest = house.traffic("hello").last().cloned().unwrap();
        assert_eq!(newest, ("hello-00002".to_owned(), 1 + step), "step {step}");
    }
    assert_eq!(house.now.since(start), Duration::from_millis(99 * 1_202));
    assert_eq!(house.traffic("hello"), owned(&[("hello-00002", 100)]));
    assert_eq!(house.revision("hello-00001").metadata.labels[labels::ROUTING_STATE], "reserve");
    assert!(house.service("hello").status.conditions.is_ready());
    // Gateways that are gone do not serve what they are told: nothing moves meanwhile.
    house.apply(&manifest("three")).up("hello-00003");
    house.gateway = None;
    house.wait(secs(60));
    assert_eq!(house.traffic("hello"), owned(&[("hello-00002", 99), ("hello-00003", 1)]));
}

#[test]
fn the_operator_says_how_long_a_rollout_takes_where_the_route_does_not() {
    let with = |command: &str, annotations: &str| {
        service("hello", command, "")
            .replace("{name: hello}", &format!("{{name: hello, annotations: {{{annotations}}}}}"))
    };
    let rows = [
        (0, "", vec![("hello-00002", 100)]),
        (60, "", vec![("hello-00001", 99), ("hello-00002", 1)]),
        (60, "serving.knative.dev/rollout-duration: 0s", vec![("hello-00002", 100)]),
        (0, "serving.knative.dev/rollout-duration: 1m", vec![("hello-00001", 99), ("hello-00002", 1)]),
    ];
    for (seconds, annotations, want) in rows {
        let mut house = House::new();
        house.policy.rollout_duration = secs(seconds);
        house.apply(&with("one", annotations)).up("hello-00001");
        house.apply(&with("two", annotations)).up("hello-00002");
        assert_eq!(house.traffic("hello"), owned(&want), "{seconds} {annotations}");
    }
}

/// What is written while no Route knows the gateway is put right when one does.
#[test]
fn a_tag_keeps_its_url_while_there_is_no_gateway() {
    let traffic = "  traffic: [{latestRevision: true, percent: 100, tag: t}]\n";
    let mut house = House::new();
    house.apply(&service("hello", "one", traffic)).up("hello-00001");
    let url = |house: &House| house.route("hello").status.traffic[0].url.clone();
    assert_eq!(url(&house), "http://t-hello.default.example.com");
    house.gateway = None;
    house.apply(&service("hello", "two", traffic)).up("hello-00002");
    assert_eq!(house.traffic("hello"), owned(&[("hello-00002", 100)]));
    assert_eq!(url(&house), "http://t-hello.default.example.com");
    house.gateway = Some(GatewayAddress { domain: "localhost".to_owned(), port: 8081 });
    house.settle();
    assert_eq!(url(&house), "http://t-hello.default.localhost:8081");
    assert_eq!(house.service("hello").status.url.as_deref(), Some("http://hello.default.localhost:8081"));
}
