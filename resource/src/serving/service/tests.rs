use serde_json::json;

use super::*;
use crate::Kind;
use crate::serving::{Configuration, Container, RevisionSpec, Route, ServingDefaults, TemplateMeta};
use crate::{Resource, parse_documents};

/// A valid Service with its defaults, then changed.
fn service(change: impl FnOnce(&mut Service)) -> Resource {
    let mut service = Service::default();
    service.metadata.name = "hello".into();
    service.spec.template.spec.containers =
        vec![Container { command: vec!["/bin/hello".into()], ..Container::default() }];
    change(&mut service);
    let mut resource = Resource::Service(service);
    resource.set_defaults(&Defaults::default());
    resource
}

fn of_template(change: impl FnOnce(&mut TemplateMeta, &mut RevisionSpec)) -> Resource {
    service(|s| change(&mut s.spec.template.metadata, &mut s.spec.template.spec))
}

fn errors_of(resource: &Resource) -> String {
    resource.validate(&Defaults::default()).map_or_else(|errors| errors.to_string(), |()| String::new())
}

/// Knative Serving, `service_defaults.go`, `revision_defaults.go`; the runtime is ours.
#[test]
fn a_service_is_filled_in() {
    assert_eq!(
        serde_json::to_value(service(|_| {})).unwrap(),
        json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "hello", "namespace": "default"},
            "spec": {
                "template": {
                    "metadata": {"annotations": {"pelton.dev/runtime": "process"}},
                    "spec": {
                        "containers": [{
                            "name": "user-container",
                            "command": ["/bin/hello"],
                            "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
                        }],
                        "containerConcurrency": 0,
                        "timeoutSeconds": 300,
                    },
                },
                "traffic": [{"latestRevision": true, "percent": 100}],
            },
        })
    );
}

#[test]
fn what_is_configured_is_filled_in_and_bounds_what_is_written() {
    let serving = ServingDefaults {
        runtime: crate::serving::RuntimeKind::Docker,
        revision_timeout_seconds: 1000,
        max_revision_timeout_seconds: 1000,
        revision_idle_timeout_seconds: 7,
        container_concurrency: 5,
        container_concurrency_max_limit: 10,
        allow_container_concurrency_zero: false,
        ..ServingDefaults::default()
    };
    let defaults = Defaults { serving, ..Defaults::default() };
    let mut bare = Service::default();
    bare.metadata.name = "hello".into();
    bare.spec.template.spec.containers = vec![Container { image: "hello".into(), ..Container::default() }];
    let mut resource = Resource::Service(bare);
    resource.set_defaults(&defaults);
    assert_eq!(resource.validate(&defaults), Ok(()));
    let Resource::Service(mut it) = resource else { unreachable!("it was made one") };
    let spec = &it.spec.template.spec;
    let timeouts = [spec.timeout_seconds, spec.response_start_timeout_seconds, spec.idle_timeout_seconds];
    assert_eq!(timeouts, [Some(1000), Some(300), Some(7)]);
    assert_eq!(it.spec.template.runtime().as_str(), "docker");
    for (concurrency, want) in [(0, "expected 1 <= 0 <= 10"), (11, "expected 1 <= 11 <= 10")] {
        it.spec.template.spec.container_concurrency = Some(concurrency);
        let errors = Resource::Service(it.clone()).validate(&defaults).unwrap_err().to_string();
        assert_eq!(errors, format!("{want}: spec.template.spec.containerConcurrency"));
    }
}

/// Knative Serving, timeouts: the default of `responseStartTimeoutSeconds` is written where it is below the whole.
#[test]
fn timeouts_are_filled_in() {
    let rows = [
        ((None, None), (300, None)),
        ((Some(0), None), (300, None)),
        ((Some(10), None), (10, None)),
        ((Some(300), None), (300, None)),
        ((Some(301), None), (301, Some(300))),
        ((Some(600), None), (600, Some(300))),
        ((Some(600), Some(0)), (600, Some(0))),
        ((Some(10), Some(5)), (10, Some(5))),
    ];
    for ((timeout, start), (want, want_start)) in rows {
        let resource = of_template(|_, spec| {
            (spec.timeout_seconds, spec.response_start_timeout_seconds) = (timeout, start);
        });
        assert_eq!(errors_of(&resource), "");
        let Resource::Service(it) = resource else { unreachable!("it was made one") };
        let spec = &it.spec.template.spec;
        let found = (spec.timeout_seconds, spec.response_start_timeout_seconds);
        assert_eq!(found, (Some(want), want_start), "{timeout:?} {start:?}");
        assert_eq!(spec.idle_timeout_seconds, None);
    }
}

/// Knative Serving, `revision_validation.go`: each bound, and one past it.
#[test]
fn timeouts_and_concurrency_have_bounds() {
    type Field = fn(&mut RevisionSpec) -> &mut Option<i64>;
    let rows: [(Field, &str, i64); 4] = [
        (|s| &mut s.timeout_seconds, "timeoutSeconds", 600),
        (|s| &mut s.response_start_timeout_seconds, "responseStartTimeoutSeconds", 600),
        (|s| &mut s.idle_timeout_seconds, "idleTimeoutSeconds", 600),
        (|s| &mut s.container_concurrency, "containerConcurrency", 1000),
    ];
    for (field, name, max) in rows {
        for value in [0, 1, max] {
            assert_eq!(errors_of(&of_template(|_, spec| *field(spec) = Some(value))), "", "{name} {value}");
        }
        for value in [-1, max + 1, i64::MIN, i64::MAX] {
            let want = format!("expected 0 <= {value} <= {max}: spec.template.spec.{name}");
            assert_eq!(errors_of(&of_template(|_, spec| *field(spec) = Some(value))), want);
        }
    }
}

#[test]
fn services_that_cannot_work_are_refused() {
    let shape = super::super::NAME_SHAPE;
    let annotated =
        |key: &str, value: &str| service(|s| drop(s.metadata.annotations.insert(key.to_owned(), value.to_owned())));
    let in_template =
        |key: &str, value: &str| of_template(|meta, _| drop(meta.annotations.insert(key.to_owned(), value.to_owned())));
    let rows = [
        (service(|s| s.metadata.name.clear()), "missing field(s): metadata.name".to_owned()),
        (service(|s| s.metadata.name = "0a".into()), format!("invalid value: 0a: metadata.name\n{shape}")),
        (service(|s| s.metadata.name = "a.b".into()), format!("invalid value: a.b: metadata.name\n{shape}")),
        (of_template(|_, spec| spec.containers.clear()), "missing field(s): spec.template.spec.containers".to_owned()),
        (
            of_template(|meta, _| meta.name = "other-v2".into()),
            "invalid value: other-v2: spec.template.metadata.name\n\
             expected hello- and then lower-case letters, digits and hyphens, 63 in all"
                .to_owned(),
        ),
        (
            annotated("autoscaling.knative.dev/min-scale", "1"),
            "autoscaling annotations must be put under \"spec.template.metadata.annotations\" to work: \
             metadata.annotations[autoscaling.knative.dev/min-scale]"
                .to_owned(),
        ),
        (
            annotated("pelton.dev/runtime", "docker"),
            "must not set the field(s): metadata.annotations[pelton.dev/runtime]\n\
             it must be put under spec.template.metadata.annotations to work"
                .to_owned(),
        ),
        (
            in_template("autoscaling.knative.dev/min-scale", "-1"),
            "invalid value: -1: spec.template.metadata.annotations[autoscaling.knative.dev/min-scale]\n\
             expected a whole number from 0 to 2147483647"
                .to_owned(),
        ),
        (
            in_template("pelton.dev/idle-stop", "1d"),
            "invalid value: 1d: spec.template.metadata.annotations[pelton.dev/idle-stop]\n\
             expected never, or a duration from 0s to 24h such as 5s or 1m30s"
                .to_owned(),
        ),
        (
            in_template("pelton.dev/idle", "5s"),
            "invalid key name \"pelton.dev/idle\": spec.template.metadata.annotations[pelton.dev/idle]\n\
             a Revision can have pelton.dev/runtime, pelton.dev/idle-pause, pelton.dev/idle-stop, \
             pelton.dev/activation-timeout, pelton.dev/timeout-mode, pelton.dev/socket-activation"
                .to_owned(),
        ),
        (
            annotated("serving.knative.dev/rollout-duration", "1500ms"),
            "invalid value: 1500ms: metadata.annotations[serving.knative.dev/rollout-duration]\n\
             expected a duration of whole seconds, such as 90s or 5m"
                .to_owned(),
        ),
        (
            service(|s| drop(s.metadata.labels.insert("networking.knative.dev/visibility".into(), "local".into()))),
            "invalid value: local: metadata.labels[networking.knative.dev/visibility]\nexpected cluster-local"
                .to_owned(),
        ),
        (
            service(|s| s.spec.traffic = vec![TrafficTarget { percent: Some(1), ..TrafficTarget::default() }]),
            "Traffic targets sum to 1, want 100: spec.traffic".to_owned(),
        ),
        (
            in_template("k", &"v".repeat(crate::limits::MAX_ANNOTATIONS_BYTES)),
            "invalid value: 262170 bytes: spec.template.metadata.annotations\n\
             all annotations together may have 262144 bytes"
                .to_owned(),
        ),
    ];
    for (resource, want) in rows {
        assert_eq!(errors_of(&resource), want);
    }
}

#[test]
fn services_that_can_work_are_taken() {
    let rows = [
        service(|_| {}),
        service(|s| drop(s.metadata.labels.insert("networking.knative.dev/visibility".into(), "cluster-local".into()))),
        service(|s| drop(s.metadata.annotations.insert("serving.knative.dev/creator".into(), "me".into()))),
        of_template(|meta, _| meta.name = "hello-v2".into()),
        of_template(|meta, spec| {
            meta.annotations.insert("pelton.dev/runtime".into(), "kubernetes".into());
            spec.containers = vec![Container { image: "hello:1".into(), ..Container::default() }];
        }),
    ];
    for resource in rows {
        assert_eq!(errors_of(&resource), "", "{resource:?}");
    }
}

/// Knative Serving, `configuration_validation.go`: a name that was given stands for one template.
#[test]
fn a_name_of_ones_own_changes_with_the_template() {
    let named = |name: &str, timeout| {
        of_template(|meta, spec| {
            meta.name = name.into();
            spec.timeout_seconds = Some(timeout);
        })
    };
    let update = |old: &Resource, new: &Resource| {
        new.validate_update(old, &Defaults::default()).map_or_else(|errors| errors.to_string(), |()| String::new())
    };
    let old = named("hello-v1", 1);
    let rows = [
        (named("hello-v1", 1), String::new()),
        (named("hello-v2", 2), String::new()),
        (named("", 2), String::new()),
        (
            named("hello-v1", 2),
            "Saw the following changes without a name change (-old +new): spec.template.metadata.name\n\
             spec.template.spec.timeoutSeconds\n-: 1\n+: 2"
                .to_owned(),
        ),
    ];
    for (new, want) in rows {
        assert_eq!(update(&old, &new), want);
    }
    assert_eq!(update(&named("", 1), &named("", 2)), "");
    let configuration = |resource: &Resource| {
        let Resource::Service(it) = resource else { unreachable!("it was made one") };
        let (metadata, spec) = (it.metadata.clone(), it.configuration_spec());
        Resource::Configuration(Configuration { metadata, spec, ..Configuration::default() })
    };
    let changed = update(&configuration(&old), &configuration(&named("hello-v1", 2)));
    assert!(changed.starts_with("Saw the following changes"), "{changed}");
}

/// Traffic that names no Revision goes to the Service's own Configuration.
#[test]
fn a_service_makes_a_configuration_and_a_route() {
    let pinned = TrafficTarget { revision_name: "hello-00001".into(), percent: Some(10), ..TrafficTarget::default() };
    let latest = TrafficTarget { percent: Some(90), tag: "next".into(), ..TrafficTarget::default() };
    let Resource::Service(it) = service(|s| s.spec.traffic = vec![pinned, latest]) else {
        unreachable!("it was made one")
    };
    let metadata = it.metadata.clone();
    let route = Resource::Route(Route { metadata: metadata.clone(), spec: it.route_spec(), ..Route::default() });
    assert_eq!(errors_of(&route), "");
    let names: Vec<_> = it.route_spec().traffic.iter().map(|target| target.configuration_name.clone()).collect();
    assert_eq!(names, ["", "hello"]);
    let spec = it.configuration_spec();
    let configuration = Resource::Configuration(Configuration { metadata, spec, ..Configuration::default() });
    assert_eq!(errors_of(&configuration), "");
    // Filling in again changes nothing: a controller that makes them finds them as it made them.
    for made in [route, configuration] {
        let mut again = made.clone();
        again.set_defaults(&Defaults::default());
        assert_eq!(again, made);
    }
}

/// What `kn` and `kubectl` write, and what people write for a process.
#[test]
fn services_are_read_from_manifests() {
    let text = "
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  creationTimestamp: null
  name: hello
  labels: {app: shop}
spec:
  template:
    metadata:
      creationTimestamp: null
      annotations:
        autoscaling.knative.dev/min-scale: \"1\"
        pelton.dev/idle-pause: never
    spec:
      containerConcurrency: 10
      enableServiceLinks: false
      timeoutSeconds: 300
      containers:
      - command: [/usr/local/bin/orders]
        args: [--verbose]
        env:
        - {name: TARGET, value: World}
        - name: EMPTY
        ports:
        - {name: h2c}
        readinessProbe:
          httpGet: {path: /healthz, port: 0}
        livenessProbe:
          tcpSocket: {port: h2c}
        resources:
          limits: {cpu: 1, memory: 128Mi}
          requests: {cpu: 0.5}
  traffic:
  - {latestRevision: true, percent: 90}
  - {revisionName: hello-00001, percent: 10, tag: old}
status: {}
";
    let mut resource = parse_documents(text, "hello.yaml").unwrap().remove(0);
    resource.set_defaults(&Defaults::default());
    assert_eq!(errors_of(&resource), "");
    let Resource::Service(it) = &resource else { panic!("a Service") };
    let spec = &it.spec.template.spec;
    let container = spec.serving_container().unwrap();
    assert_eq!(container.protocol(), crate::serving::Protocol::H2c);
    assert_eq!(container.resources.limits["cpu"], "1");
    assert_eq!(container.resources.requests["cpu"], "0.5");
    assert_eq!(container.resources.memory_limit_bytes(), Some(128 << 20));
    assert_eq!(parse_documents(&resource.to_yaml().unwrap(), "again"), Ok(vec![resource.clone()]));
}

/// Knative conformance: unsupported fields are refused with an error for people.
#[test]
fn fields_that_are_not_supported_are_named() {
    let text = "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec:
  template:
    spec:
      volumes: []
      serviceAccountName: x
      terminationGracePeriodSeconds: 5
      containers:
      - image: hello
        envFrom: []
        env:
        - {name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}
        volumeMounts: []
        lifecycle: {}
        tty: null
        prots: []
        readinessProbe: {httpGet: {httpHeaders: []}}
        resources: {limits: {cpu: true}}
";
    let errors: Vec<_> = parse_documents(text, "x").unwrap_err().iter().map(ToString::to_string).collect();
    let path = "x:2: Service hello: must not set the field(s): spec.template.spec";
    let secrets = "secrets and config maps do not exist here yet; write the value itself, with name and value";
    let want = [
        "x:2: Service hello: unknown field: spec.template.spec.containers[0].prots\nknown here: name, image, command, \
         args, env, workingDir, ports, readinessProbe, livenessProbe, startupProbe, resources, imagePullPolicy"
            .to_owned(),
        format!("{path}.containers[0].env[0].valueFrom, spec.template.spec.containers[0].envFrom\n{secrets}"),
        format!("{path}.containers[0].readinessProbe.httpGet.httpHeaders\na probe cannot send headers of its own here"),
        "x:2: Service hello: invalid value: true: spec.template.spec.containers[0].resources.limits[cpu]\n\
         expected a string; put it in quotes"
            .to_owned(),
        format!(
            "{path}.containers[0].lifecycle, spec.template.spec.serviceAccountName\nthis field is not supported here"
        ),
        format!("{path}.containers[0].volumeMounts, spec.template.spec.volumes\nvolumes are not supported here"),
        format!("{path}.terminationGracePeriodSeconds\nan instance has timeoutSeconds to stop; set that"),
    ];
    assert_eq!(errors, want);
}

/// A Service of Kubernetes itself is another than one of Knative, as a document and as a reference.
#[test]
fn a_core_service_is_another() {
    let core = parse_documents("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n", "x").unwrap();
    assert_eq!(core[0].kind(), Kind::CoreService);
    let reference = |api_version: &str, kind: &str| {
        let reference = crate::KReference {
            kind: kind.into(),
            api_version: api_version.into(),
            namespace: "shop".into(),
            name: "hello".into(),
            ..crate::KReference::default()
        };
        reference.key().map(|key| (key.kind, key.to_string()))
    };
    let rows = [
        ("v1", "Service", Some((Kind::CoreService, "Service shop/hello"))),
        ("v1", "Pod", None),
        ("serving.knative.dev/v1", "Service", Some((Kind::Service, "Service shop/hello"))),
        ("serving.knative.dev/v1", "Route", Some((Kind::Route, "Route shop/hello"))),
        ("serving.knative.dev/v1beta1", "DomainMapping", Some((Kind::DomainMapping, "DomainMapping shop/hello"))),
        ("serving.knative.dev/v1alpha1", "Service", None),
    ];
    for (api_version, kind, want) in rows {
        let got = reference(api_version, kind);
        assert_eq!(got.as_ref().map(|(kind, text)| (*kind, text.as_str())), want, "{api_version} {kind}");
    }
}
