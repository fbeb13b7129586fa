use super::*;

fn latest(percent: Option<i64>) -> TrafficTarget {
    TrafficTarget { latest_revision: Some(true), percent, ..TrafficTarget::default() }
}

fn pinned(revision: &str, percent: Option<i64>) -> TrafficTarget {
    let revision_name = revision.to_owned();
    TrafficTarget { revision_name, latest_revision: Some(false), percent, ..TrafficTarget::default() }
}

fn of_configuration(name: &str, percent: Option<i64>) -> TrafficTarget {
    TrafficTarget { configuration_name: name.to_owned(), ..latest(percent) }
}

fn tagged(tag: &str, target: TrafficTarget) -> TrafficTarget {
    TrafficTarget { tag: tag.to_owned(), ..target }
}

fn errors_of(of: TrafficOf, traffic: &[TrafficTarget]) -> Vec<String> {
    let mut errors = FieldErrors::new();
    validate(traffic, of, "hello", "spec.traffic", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// Knative Serving, `route_validation.go`.
#[test]
fn traffic_that_can_be_assigned_is_taken() {
    use TrafficOf::{Route, Service};
    let fits = "t".repeat(MAX_NAME_BYTES - "-hello".len());
    let rows = [
        (Service, vec![latest(Some(100))]),
        (Service, vec![latest(Some(0)), pinned("hello-00001", Some(100))]),
        (Service, vec![latest(Some(90)), pinned("hello-00001", Some(10)), tagged("old", pinned("hello-00000", None))]),
        (Service, vec![tagged("a", latest(Some(50))), tagged("b", latest(Some(50)))]),
        (Service, vec![tagged(&fits, latest(Some(100)))]),
        (Route, vec![of_configuration("hello", Some(100))]),
        (Route, vec![of_configuration("hello", Some(1)), pinned("other-00001", Some(99))]),
        (Route, vec![TrafficTarget { latest_revision: None, ..of_configuration("hello", Some(100)) }]),
    ];
    for (of, traffic) in rows {
        assert_eq!(errors_of(of, &traffic), Vec::<String>::new(), "{of:?} {traffic:?}");
    }
}

/// Knative Serving, `route_validation.go`.
#[test]
fn traffic_that_cannot_be_assigned_is_refused() {
    use TrafficOf::{Route, Service};
    let too_long = "t".repeat(MAX_NAME_BYTES - "-hello".len() + 1);
    let rows = [
        (Route, vec![], "Traffic targets sum to 0, want 100: spec.traffic".to_owned()),
        (Service, vec![latest(Some(99))], "Traffic targets sum to 99, want 100: spec.traffic".to_owned()),
        (Service, vec![latest(None)], "Traffic targets sum to 0, want 100: spec.traffic".to_owned()),
        (
            Service,
            vec![latest(Some(100)), pinned("hello-00001", Some(1))],
            "Traffic targets sum to 101, want 100: spec.traffic".to_owned(),
        ),
        (
            Service,
            vec![latest(Some(101)), pinned("hello-00001", Some(-1))],
            "expected 0 <= 101 <= 100: spec.traffic[0].percent\nexpected 0 <= -1 <= 100: spec.traffic[1].percent"
                .to_owned(),
        ),
        (
            Service,
            vec![of_configuration("hello", Some(100))],
            "must not set the field(s): spec.traffic[0].configurationName\n\
             a Service's traffic goes to its own Configuration"
                .to_owned(),
        ),
        (
            Route,
            vec![latest(Some(100))],
            "expected exactly one, got neither: spec.traffic[0].revisionName, spec.traffic[0].configurationName"
                .to_owned(),
        ),
        (
            Route,
            vec![TrafficTarget { configuration_name: "hello".into(), ..pinned("hello-00001", Some(100)) }],
            "expected exactly one, got both: spec.traffic[0].revisionName, spec.traffic[0].configurationName"
                .to_owned(),
        ),
        (
            Service,
            vec![TrafficTarget { latest_revision: Some(true), ..pinned("hello-00001", Some(100)) }],
            "may not set revisionName \"hello-00001\" when latestRevision is true: spec.traffic[0].latestRevision"
                .to_owned(),
        ),
        (
            Service,
            vec![TrafficTarget { latest_revision: Some(false), ..latest(Some(100)) }],
            "may not set revisionName \"\" when latestRevision is false: spec.traffic[0].latestRevision".to_owned(),
        ),
        (
            Service,
            vec![pinned("Hello", Some(100))],
            format!("invalid value: Hello: spec.traffic[0].revisionName\n{}", crate::serving::NAME_SHAPE),
        ),
        (
            Route,
            vec![of_configuration("a.b", Some(100))],
            format!("invalid value: a.b: spec.traffic[0].configurationName\n{}", crate::serving::NAME_SHAPE),
        ),
        (
            Service,
            vec![TrafficTarget { url: "http://a".into(), ..latest(Some(100)) }],
            "must not set the field(s): spec.traffic[0].url".to_owned(),
        ),
        (
            Service,
            vec![tagged("0", latest(Some(100)))],
            format!("invalid value: 0: spec.traffic[0].tag\n{}", crate::serving::NAME_SHAPE),
        ),
        (
            Service,
            vec![tagged("a", latest(Some(100))), tagged("b", latest(None)), tagged("a", latest(None))],
            "Multiple definitions for \"a\": spec.traffic[2].tag, spec.traffic[0].tag".to_owned(),
        ),
        (
            Service,
            vec![tagged(&too_long, latest(Some(100)))],
            format!(
                "invalid value: {too_long}: spec.traffic[0].tag\n\
                 the host of the tag begins with \"{too_long}-hello\", which may have 63 bytes"
            ),
        ),
    ];
    for (of, traffic, want) in rows {
        assert_eq!(errors_of(of, &traffic).join("\n"), want, "{of:?} {traffic:?}");
    }
}

#[test]
fn there_is_a_most_of_targets() {
    let mut traffic = vec![latest(None); MAX_TRAFFIC_TARGETS - 1];
    traffic.push(latest(Some(100)));
    assert_eq!(errors_of(TrafficOf::Service, &traffic), Vec::<String>::new());
    traffic.push(latest(None));
    let want = "invalid value: 257 targets: spec.traffic\nat most 256 targets";
    assert_eq!(errors_of(TrafficOf::Service, &traffic), [want]);
}

#[test]
fn percents_that_overflow_are_refused_and_no_panic() {
    let traffic = [latest(Some(i64::MAX)), latest(Some(i64::MAX)), latest(Some(i64::MIN))];
    assert_eq!(errors_of(TrafficOf::Service, &traffic).len(), 3);
}

/// Knative Serving, `route_defaults.go`.
#[test]
fn whether_the_latest_is_meant_follows_from_the_name() {
    let bare = |target: TrafficTarget| TrafficTarget { latest_revision: None, ..target };
    let mut traffic = [bare(latest(Some(1))), bare(pinned("hello-00001", None)), bare(of_configuration("a", None))];
    set_defaults(&mut traffic);
    let found: Vec<_> = traffic.iter().map(|target| target.latest_revision).collect();
    assert_eq!(found, [Some(true), Some(false), Some(true)]);
}
