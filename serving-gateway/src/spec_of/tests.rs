use pelton_resource::serving::{ContainerPort, EnvVar, HttpGetAction};

use super::*;

fn revision(annotations: &[(&str, &str)]) -> Revision {
    let mut revision = Revision::default();
    revision.metadata.namespace = "default".to_owned();
    revision.metadata.name = "hello-00001".to_owned();
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    revision.metadata.annotations = annotations.collect();
    revision.spec.containers = vec![Container {
        command: vec!["/bin/hello".to_owned()],
        args: vec!["-v".to_owned()],
        env: vec![EnvVar { name: "A".to_owned(), value: "1".to_owned() }],
        ..Container::default()
    }];
    revision
}

fn spec(revision: &Revision) -> RevisionSpec {
    spec_of(revision, &Defaults::default())
}

#[test]
fn what_is_run_is_what_the_container_says() {
    let mut said = revision(&[]);
    said.metadata.labels.insert("serving.knative.dev/service".to_owned(), "hello".to_owned());
    said.metadata.labels.insert("serving.knative.dev/configuration".to_owned(), "hello-c".to_owned());
    let workload = spec(&said).workload;
    assert_eq!(
        (workload.command.as_slice(), workload.args.as_slice()),
        (&["/bin/hello".to_owned()][..], &["-v".to_owned()][..])
    );
    assert_eq!(workload.env, [("A".to_owned(), "1".to_owned())]);
    assert_eq!((workload.service.as_str(), workload.configuration.as_str()), ("hello", "hello-c"));
    assert_eq!((workload.working_dir.clone(), workload.port), (None, None));
}

/// spec/serving.md 1.2 (6) and 1.4.
#[test]
fn the_port_names_the_protocol_and_the_probe_is_what_is_said() {
    let mut said = revision(&[]);
    let plain = spec(&said);
    assert_eq!(plain.protocol, Protocol::Http1);
    assert!(matches!(plain.probe.check, Check::Tcp));
    let container = &mut said.spec.containers[0];
    container.ports = vec![ContainerPort { name: "h2c".to_owned(), container_port: 9000, ..ContainerPort::default() }];
    let get = HttpGetAction { host: "me".to_owned(), ..HttpGetAction::default() };
    container.readiness_probe =
        Some(SaidProbe { http_get: Some(get), timeout_seconds: 3, success_threshold: 2, ..SaidProbe::default() });
    let spec = spec(&said);
    assert_eq!((spec.protocol, spec.workload.port), (Protocol::H2c, Some(9000)));
    assert_eq!((spec.probe.timeout, spec.probe.success_threshold), (Duration::from_secs(3), 2));
    match spec.probe.check {
        Check::Http { path, headers } => assert_eq!((path.as_str(), headers["host"].to_str().unwrap()), ("/", "me")),
        other => panic!("{other:?}"),
    }
}

/// spec/serving.md 1.5 and 3.5: the target of an instance with a limit is 70 % of it.
#[test]
fn limits_and_timeouts_follow_the_spec() {
    let mut said = revision(&[]);
    let plain = spec(&said);
    assert_eq!((plain.core.concurrency, plain.core.scaling.target.target), (0, 70.0));
    assert_eq!(plain.timeouts.total, Duration::from_secs(300));
    assert_eq!((plain.timeouts.response_start, plain.timeouts.idle), (None, None));
    said.spec.container_concurrency = Some(10);
    said.spec.timeout_seconds = Some(20);
    said.spec.response_start_timeout_seconds = Some(5);
    said.spec.idle_timeout_seconds = Some(0);
    let spec = spec(&said);
    assert_eq!((spec.core.concurrency, spec.core.scaling.target.target), (10, 7.0));
    assert_eq!(spec.timeouts.total, Duration::from_secs(20));
    assert_eq!((spec.timeouts.response_start, spec.timeouts.idle), (Some(Duration::from_secs(5)), None));
    assert_eq!(spec.workload.grace, Duration::from_secs(20));
}

#[test]
fn annotations_say_when_an_instance_rests_and_how_many_there_are() {
    let plain = spec(&revision(&[]));
    assert_eq!((plain.core.idle_pause, plain.core.idle_stop), (Some(Duration::from_secs(5)), None));
    assert_eq!(plain.activation_timeout, Duration::from_secs(60));
    let said = revision(&[
        ("pelton.dev/idle-pause", "never"),
        ("pelton.dev/idle-stop", "30s"),
        ("pelton.dev/activation-timeout", "7s"),
        ("pelton.dev/timeout-mode", "truncate"),
        ("autoscaling.knative.dev/min-scale", "2"),
        ("autoscaling.knative.dev/max-scale", "5"),
        ("autoscaling.knative.dev/target-burst-capacity", "-1"),
    ]);
    let spec = spec(&said);
    assert_eq!((spec.core.idle_pause, spec.core.idle_stop), (None, Some(Duration::from_secs(30))));
    assert_eq!((spec.activation_timeout, spec.timeouts.cut), (Duration::from_secs(7), Cut::Truncate));
    assert_eq!((spec.core.scaling.min_scale, spec.core.scaling.max_scale), (2, Some(5)));
    assert_eq!(spec.core.scaling.burst_capacity, crate::autoscaler::BurstCapacity::Unlimited);
}

#[test]
fn a_revision_that_no_route_leads_to_is_unreachable_and_one_that_was_ready_is_proved() {
    let mut said = revision(&[]);
    assert!(spec(&said).core.scaling.reachable && !spec(&said).is_proved);
    said.metadata.labels.insert("serving.knative.dev/routingState".to_owned(), "reserve".to_owned());
    let now = pelton_resource::Time::from_unix_millis(0);
    let mut write = said.status.write_conditions(now);
    for condition in pelton_resource::conditions::REVISION_CONDITIONS {
        write.mark_true(condition);
    }
    assert!(!spec(&said).core.scaling.reachable && spec(&said).is_proved);
}

/// spec/serving.md 1.4 (4), and Kubernetes' own defaults.
#[test]
fn liveness_and_startup_are_asked_as_often_as_is_said() {
    let mut said = revision(&[]);
    assert!(spec(&said).liveness.is_none() && spec(&said).startup.is_none());
    let get = HttpGetAction { path: "/healthz".to_owned(), ..HttpGetAction::default() };
    let container = &mut said.spec.containers[0];
    container.liveness_probe = Some(SaidProbe {
        http_get: Some(get),
        initial_delay_seconds: 4,
        period_seconds: 2,
        timeout_seconds: 5,
        failure_threshold: 7,
        ..SaidProbe::default()
    });
    container.startup_probe = Some(SaidProbe::default());
    let spec = spec(&said);
    let liveness = spec.liveness.unwrap();
    assert!(matches!(liveness.probe.check, Check::Http { ref path, .. } if path == "/healthz"));
    let numbers = |watch: &Repeated| {
        let seconds = [watch.initial_delay, watch.period, watch.probe.timeout].map(|time| time.as_secs());
        (seconds, watch.failure_threshold)
    };
    assert_eq!(numbers(&liveness), ([4, 2, 5], 7));
    assert_eq!(numbers(&spec.startup.unwrap()), ([0, 10, 1], 3));
}
