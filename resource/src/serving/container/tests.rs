use super::*;
use crate::field_error::FieldErrors;
use crate::limits::MAX_ENV_VARS;
use crate::serving::probe::{HttpGetAction, ProbePort};
use crate::serving::settings::RuntimeKind::{self, Docker, Kubernetes, Process};

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// A valid container for a runtime, then changed.
fn container(runtime: RuntimeKind, change: impl FnOnce(&mut Container)) -> Container {
    let mut container = Container::default();
    match runtime {
        Process => container.command = texts(&["/bin/orders"]),
        Docker | Kubernetes => container.image = "ghcr.io/shop/orders:1".into(),
    }
    change(&mut container);
    container
}

fn port(number: i32) -> ContainerPort {
    ContainerPort { container_port: number, ..ContainerPort::default() }
}

fn errors_of(runtime: RuntimeKind, containers: &[Container]) -> Vec<String> {
    let mut containers = containers.to_vec();
    set_defaults(&mut containers);
    let mut errors = FieldErrors::new();
    validate(&containers, runtime, "containers", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn env(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.into(), value: value.into() }
}

/// Knative Serving, `k8s_validation.go`, and what a process needs.
#[test]
fn containers_that_cannot_run_are_refused() {
    const COMMAND: &str = "missing field(s): containers[0].command\nthe process runtime runs a program of this \
                           machine: write which, such as command: [\"/usr/local/bin/orders\"]; an image is run when \
                           the annotation pelton.dev/runtime is docker or kubernetes";
    type Change = fn(&mut Container);
    let rows: [(RuntimeKind, Change, &str); 32] = [
        (Process, |c| c.command.clear(), COMMAND),
        (Process, |c| c.command = texts(&["", "x"]), COMMAND),
        (Docker, |c| c.image.clear(), "missing field(s): containers[0].image"),
        (Kubernetes, |c| c.image.clear(), "missing field(s): containers[0].image"),
        (
            Docker,
            |c| c.image = "Shop Orders".into(),
            "invalid value: Shop Orders: containers[0].image\nFailed to parse image reference",
        ),
        (
            Process,
            |c| c.name = "queue-proxy".into(),
            "invalid value: queue-proxy: containers[0].name\nit is a reserved container name",
        ),
        (
            Process,
            |c| c.name = "A".into(),
            "invalid value: A: containers[0].name\na name has 1 to 63 lower-case letters, digits and hyphens, with no \
             hyphen at either end",
        ),
        (
            Docker,
            |c| c.image_pull_policy = "Sometimes".into(),
            "invalid value: Sometimes: containers[0].imagePullPolicy\nexpected Always, IfNotPresent or Never",
        ),
        (
            Process,
            |c| c.working_dir = "data".into(),
            "invalid value: data: containers[0].workingDir\nexpected an absolute path",
        ),
        (Process, |c| c.working_dir = "/a\0".into(), "must not have a NUL character: containers[0].workingDir"),
        (Process, |c| c.command.push("\0".into()), "must not have a NUL character: containers[0].command"),
        (Process, |c| c.args = texts(&["a", "\0"]), "must not have a NUL character: containers[0].args"),
        (
            Process,
            |c| c.ports = vec![port(8080), port(8081)],
            "more than one container port is set: containers[0].ports\n\
             Only a single port is allowed across all containers",
        ),
        (Process, |c| c.ports = vec![port(-1)], "expected 0 <= -1 <= 65535: containers[0].ports[0].containerPort"),
        (
            Process,
            |c| c.ports = vec![port(65_536)],
            "expected 0 <= 65536 <= 65535: containers[0].ports[0].containerPort",
        ),
        (
            Process,
            |c| c.ports = vec![ContainerPort { name: "grpc".into(), ..port(1) }],
            "Port name grpc is not allowed: containers[0].ports[0].name\n\
             Name must be empty, or one of: 'h2c', 'http1'",
        ),
        (
            Process,
            |c| c.ports = vec![ContainerPort { protocol: "UDP".into(), ..port(1) }],
            "invalid value: UDP: containers[0].ports[0].protocol\nexpected TCP",
        ),
        (Process, |c| c.env = vec![env("", "x")], "missing field(s): containers[0].env[0].name"),
        (
            Process,
            |c| c.env = vec![env("PORT", "1")],
            "\"PORT\" is a reserved environment variable: containers[0].env[0].name",
        ),
        (
            Process,
            |c| c.env = vec![env("A", ""), env("K_SERVICE", "x")],
            "\"K_SERVICE\" is a reserved environment variable: containers[0].env[1].name",
        ),
        (
            Process,
            |c| c.env = vec![env("K_CONFIGURATION", "x")],
            "\"K_CONFIGURATION\" is a reserved environment variable: containers[0].env[0].name",
        ),
        (
            Process,
            |c| c.env = vec![env("K_REVISION", "x")],
            "\"K_REVISION\" is a reserved environment variable: containers[0].env[0].name",
        ),
        (
            Process,
            |c| c.env = vec![env("A=B", "x")],
            "invalid value: \"A=B\": containers[0].env[0].name\na name has printable ASCII characters other than =",
        ),
        (Process, |c| c.env = vec![env("A", "\0")], "must not have a NUL character: containers[0].env[0].value"),
        (
            Process,
            |c| drop(c.resources.limits.insert("memory".into(), "lots".into())),
            "invalid value: lots: containers[0].resources.limits[memory]\n\
             expected a quantity such as 250m, 1.5 or 512Mi",
        ),
        (
            Process,
            |c| drop(c.resources.limits.insert("example.com/gpu".into(), "1".into())),
            "invalid key name \"example.com/gpu\": containers[0].resources.limits[example.com/gpu]\n\
             cpu and memory are limited here, and nothing else",
        ),
        (
            Kubernetes,
            |c| drop(c.resources.limits.insert("example.com/gpu".into(), "1".into())),
            "invalid key name \"example.com/gpu\": containers[0].resources.limits[example.com/gpu]\n\
             cpu and memory are limited here, and nothing else",
        ),
        (
            Docker,
            |c| drop(c.resources.limits.insert("ephemeral-storage".into(), "1Gi".into())),
            "invalid key name \"ephemeral-storage\": containers[0].resources.limits[ephemeral-storage]\n\
             cpu and memory are limited here, and nothing else",
        ),
        (
            Docker,
            |c| drop(c.resources.requests.insert("mem".into(), "1".into())),
            "invalid key name \"mem\": containers[0].resources.requests[mem]\n\
             cpu and memory are limited here, and nothing else",
        ),
        (
            Docker,
            |c| {
                c.ports = vec![port(3000)];
                let action = HttpGetAction { port: ProbePort::Number(3001), ..HttpGetAction::default() };
                c.liveness_probe = Some(Probe { http_get: Some(action), ..Probe::default() });
            },
            "invalid value: 3001: containers[0].livenessProbe.httpGet.port\n\
             an instance is asked at the port that takes requests, and at no other; leave this out",
        ),
        (
            Process,
            |c| {
                c.resources.limits.insert("cpu".into(), "500m".into());
                c.resources.requests.insert("cpu".into(), "0.501".into());
            },
            "invalid value: 0.501: containers[0].resources.requests[cpu]\nit is more than the limit, 500m",
        ),
        (
            Process,
            |c| c.liveness_probe = Some(Probe::default()),
            "expected exactly one, got neither: containers[0].livenessProbe.httpGet, \
             containers[0].livenessProbe.tcpSocket, containers[0].livenessProbe.grpc, \
             containers[0].livenessProbe.exec",
        ),
    ];
    for (runtime, change, want) in rows {
        assert_eq!(errors_of(runtime, &[container(runtime, change)]), [want], "{runtime:?}");
    }
    assert_eq!(errors_of(Process, &[]), ["missing field(s): containers"]);
}

/// Knative Serving, `k8s_validation.go`: ports that Knative keeps for itself.
#[test]
fn reserved_ports_are_refused() {
    for number in [8012, 8013, 8022, 9090, 9091, 8008] {
        let want = format!(
            "invalid value: {number}: containers[0].ports[0].containerPort\nit is a reserved port; use another"
        );
        assert_eq!(errors_of(Process, &[container(Process, |c| c.ports = vec![port(number)])]), [want]);
    }
    for number in [0, 1, 8080, 8112, 65_535] {
        let found = errors_of(Process, &[container(Process, |c| c.ports = vec![port(number)])]);
        assert_eq!(found, Vec::<String>::new(), "{number}");
    }
}

#[test]
fn containers_that_can_run_are_taken() {
    type Change = fn(&mut Container);
    let rows: [(RuntimeKind, Change); 9] = [
        (Process, |_| {}),
        (Docker, |_| {}),
        (Kubernetes, |_| {}),
        // An image says what to run, and a process needs none.
        (Docker, |c| c.command.clear()),
        (Process, |c| c.image = "dev.local/orders".into()),
        (Process, |c| c.ports = vec![ContainerPort { name: "h2c".into(), protocol: "TCP".into(), ..port(0) }]),
        (Process, |c| c.env = vec![env("A.b-c d", "ä=\n"), env("A.b-c d", ""), env("TARGET", "$(HOME)")]),
        (Kubernetes, |c| drop(c.resources.limits.insert("memory".into(), "1Gi".into()))),
        (Process, |c| {
            c.resources.limits.extend([("cpu".to_owned(), "1".to_owned()), ("memory".to_owned(), "64Mi".to_owned())]);
            c.resources.requests.insert("cpu".into(), "1000m".into());
            c.working_dir = "/srv".into();
        }),
    ];
    for (runtime, change) in rows {
        let container = container(runtime, change);
        assert_eq!(errors_of(runtime, std::slice::from_ref(&container)), Vec::<String>::new(), "{container:?}");
    }
}

/// Knative runs several, of which one has a port. No runtime here does, and one that is admitted must be run.
#[test]
fn an_instance_is_one_container_whatever_runs_it() {
    for runtime in [Process, Docker, Kubernetes] {
        let main = container(runtime, |c| c.ports = vec![port(8080)]);
        let side = container(runtime, |_| {});
        for containers in [vec![main.clone(), side.clone()], vec![side.clone(), main.clone()], vec![side; 33]] {
            let want = format!(
                "invalid value: {} containers: containers\nan instance is one program here, whatever runs it; give \
                 others a Service of their own",
                containers.len()
            );
            assert_eq!(errors_of(runtime, &containers), [want], "{runtime:?}");
        }
        assert_eq!(errors_of(runtime, &[main]), Vec::<String>::new(), "{runtime:?}");
    }
}

#[test]
fn there_is_a_most_of_variables() {
    let with = |count: usize| [container(Process, |c| c.env = vec![env("A", ""); count])];
    assert_eq!(errors_of(Process, &with(MAX_ENV_VARS)), Vec::<String>::new());
    let want = "invalid value: 4097 variables: containers[0].env\nat most 4096 variables";
    assert_eq!(errors_of(Process, &with(MAX_ENV_VARS + 1)), [want]);
}

/// Knative Serving, `revision_defaults.go`.
#[test]
fn names_and_probes_are_filled_in() {
    let mut only = [Container::default()];
    set_defaults(&mut only);
    assert_eq!(only[0].name, "user-container");
    let readiness = only[0].readiness_probe.clone().unwrap();
    assert_eq!(
        serde_json::to_value(&readiness).unwrap(),
        serde_json::json!({"tcpSocket": {"port": 0}, "successThreshold": 1})
    );

    let named = |name: &str| Container { name: name.into(), ..Container::default() };
    let mut several = [named(""), named("user-container-0"), Container { ports: vec![port(1)], ..named("") }];
    set_defaults(&mut several);
    let names: Vec<_> = several.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["user-container-1", "user-container-0", "user-container-2"]);
    let probed: Vec<_> = several.iter().map(|container| container.readiness_probe.is_some()).collect();
    assert_eq!(probed, [false, false, true]);

    let get = HttpGetAction { path: "/healthz".into(), port: ProbePort::Number(0), ..HttpGetAction::default() };
    let probe = |period_seconds| Probe { http_get: Some(get.clone()), period_seconds, ..Probe::default() };
    let mut own = [Container {
        readiness_probe: Some(probe(5)),
        liveness_probe: Some(probe(0)),
        startup_probe: Some(probe(3)),
        ..Container::default()
    }];
    set_defaults(&mut own);
    let numbers = |probe: &Option<Probe>| {
        let probe = probe.clone().unwrap();
        assert!(probe.tcp_socket.is_none(), "{probe:?}");
        (probe.period_seconds, probe.timeout_seconds, probe.success_threshold, probe.failure_threshold)
    };
    assert_eq!(numbers(&own[0].readiness_probe), (5, 1, 1, 3));
    assert_eq!(numbers(&own[0].liveness_probe), (10, 1, 1, 3));
    assert_eq!(numbers(&own[0].startup_probe), (3, 1, 1, 3));
}

#[test]
fn a_container_says_its_port_protocol_and_limits() {
    let of = |name: &str, number| ContainerPort { name: name.into(), ..port(number) };
    let rows = [
        (vec![], None, Protocol::Http1),
        (vec![of("", 0)], None, Protocol::Http1),
        (vec![of("http1", 80)], Some(80), Protocol::Http1),
        (vec![of("h2c", 65_535)], Some(65_535), Protocol::H2c),
        (vec![of("grpc", 65_536)], None, Protocol::Http1),
    ];
    for (ports, number, protocol) in rows {
        let container = Container { ports, ..Container::default() };
        assert_eq!((container.port(), container.protocol()), (number, protocol), "{container:?}");
    }
    let limited = |cpu: &str, memory: &str| {
        let mut resources = ResourceRequirements::default();
        resources.limits.extend([("cpu".to_owned(), cpu.to_owned()), ("memory".to_owned(), memory.to_owned())]);
        (resources.cpu_limit_millis(), resources.memory_limit_bytes())
    };
    assert_eq!(limited("1.5", "64Mi"), (Some(1_500), Some(64 << 20)));
    assert_eq!(limited("", "lots"), (None, None));
    assert_eq!(ResourceRequirements::default().memory_limit_bytes(), None);
}
