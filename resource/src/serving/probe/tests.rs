use super::*;
use crate::serving::container::ContainerPort;

fn errors_of(purpose: Purpose, probe: &Probe) -> Vec<String> {
    let port = ContainerPort { name: "http1".into(), container_port: 8000, ..ContainerPort::default() };
    let container = Container { ports: vec![port], ..Container::default() };
    let mut errors = FieldErrors::new();
    validate(probe, purpose, &container, "p", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// A probe as defaulting makes it, then changed.
fn probe(purpose: Purpose, change: impl FnOnce(&mut Probe)) -> Probe {
    let mut probe = Probe { tcp_socket: Some(TcpSocketAction::default()), ..Probe::default() };
    match purpose {
        Purpose::Readiness => probe.set_readiness_defaults(),
        Purpose::Life => probe.set_defaults(),
    }
    change(&mut probe);
    probe
}

fn tcp(port: ProbePort) -> Option<TcpSocketAction> {
    Some(TcpSocketAction { port })
}

fn get(change: impl FnOnce(&mut HttpGetAction)) -> Option<HttpGetAction> {
    let mut get = HttpGetAction::default();
    change(&mut get);
    Some(get)
}

/// Knative Serving, `k8s_validation.go`, probes.
#[test]
fn probes_that_cannot_be_made_are_refused() {
    use Purpose::{Life, Readiness};
    type Change = fn(&mut Probe);
    let rows: [(Purpose, Change, &str); 22] = [
        (
            Readiness,
            |p| p.tcp_socket = None,
            "expected exactly one, got neither: p.httpGet, p.tcpSocket, p.grpc, p.exec",
        ),
        (Readiness, |p| p.grpc = Some(GrpcAction::default()), "expected exactly one, got both: p.tcpSocket, p.grpc"),
        (Readiness, |p| p.tcp_socket = tcp(ProbePort::Number(-1)), "expected 0 <= -1 <= 65535: p.tcpSocket.port"),
        (
            Readiness,
            |p| p.tcp_socket = tcp(ProbePort::Number(65_536)),
            "expected 0 <= 65536 <= 65535: p.tcpSocket.port",
        ),
        (
            Readiness,
            |p| p.tcp_socket = tcp(ProbePort::Name("h2c".into())),
            "invalid value: h2c: p.tcpSocket.port\nthe container has no port of that name",
        ),
        (Readiness, |p| p.initial_delay_seconds = -1, "expected 0 <= -1 <= 2147483647: p.initialDelaySeconds"),
        (Readiness, |p| p.success_threshold = 0, "expected 1 <= 0 <= 2147483647: p.successThreshold"),
        (
            Readiness,
            |p| p.timeout_seconds = 1,
            "must not set the field(s): p.timeoutSeconds\nit has no meaning when periodSeconds is 0",
        ),
        (
            Readiness,
            |p| p.failure_threshold = 1,
            "must not set the field(s): p.failureThreshold\nit has no meaning when periodSeconds is 0",
        ),
        (
            Readiness,
            |p| (p.period_seconds, p.timeout_seconds) = (1, 1),
            "expected 1 <= 0 <= 2147483647: p.failureThreshold",
        ),
        (
            Readiness,
            |p| (p.period_seconds, p.failure_threshold) = (1, 1),
            "expected 1 <= 0 <= 2147483647: p.timeoutSeconds",
        ),
        (
            Readiness,
            |p| (p.period_seconds, p.failure_threshold, p.timeout_seconds) = (-1, 1, 1),
            "expected 0 <= -1 <= 2147483647: p.periodSeconds",
        ),
        (Life, |p| p.period_seconds = 0, "expected 1 <= 0 <= 2147483647: p.periodSeconds"),
        (Life, |p| p.timeout_seconds = 0, "expected 1 <= 0 <= 2147483647: p.timeoutSeconds"),
        (Life, |p| p.failure_threshold = 0, "expected 1 <= 0 <= 2147483647: p.failureThreshold"),
        (
            Life,
            |p| p.success_threshold = 2,
            "invalid value: 2: p.successThreshold\na liveness or startup probe succeeds at once: expected 1",
        ),
        (Life, |p| (p.tcp_socket, p.exec) = (None, Some(ExecAction::default())), "missing field(s): p.exec.command"),
        (
            Life,
            |p| (p.tcp_socket, p.http_get) = (None, get(|g| g.scheme = "HTTPS".into())),
            "invalid value: HTTPS: p.httpGet.scheme\nHTTP is supported here, and no other scheme",
        ),
        (
            Life,
            |p| (p.tcp_socket, p.http_get) = (None, get(|g| g.path = "health".into())),
            "invalid value: \"health\": p.httpGet.path\nexpected a path that begins with / and has no spaces",
        ),
        (
            Life,
            |p| (p.tcp_socket, p.http_get) = (None, get(|g| g.path = "/a\r\nb".into())),
            "invalid value: \"/a\\r\\nb\": p.httpGet.path\nexpected a path that begins with / and has no spaces",
        ),
        (
            Life,
            |p| (p.tcp_socket, p.http_get) = (None, get(|g| g.host = "a b".into())),
            "invalid value: \"a b\": p.httpGet.host",
        ),
        (
            Life,
            |p| (p.tcp_socket, p.grpc) = (None, Some(GrpcAction { port: 65_536, ..GrpcAction::default() })),
            "expected 0 <= 65536 <= 65535: p.grpc.port",
        ),
    ];
    for (purpose, change, want) in rows {
        assert_eq!(errors_of(purpose, &probe(purpose, change)), [want]);
    }
}

#[test]
fn probes_that_can_be_made_are_taken() {
    use Purpose::{Life, Readiness};
    type Change = fn(&mut Probe);
    let rows: [(Purpose, Change); 8] = [
        (Readiness, |_| {}),
        (Life, |_| {}),
        (Readiness, |p| (p.initial_delay_seconds, p.success_threshold) = (i32::MAX, i32::MAX)),
        (Readiness, |p| (p.period_seconds, p.timeout_seconds, p.failure_threshold) = (1, i32::MAX, i32::MAX)),
        (Life, |p| p.tcp_socket = tcp(ProbePort::Name("http1".into()))),
        (Life, |p| (p.tcp_socket, p.http_get) = (None, get(|g| g.path = "/healthz?full=1".into()))),
        (Life, |p| (p.tcp_socket, p.grpc) = (None, Some(GrpcAction { service: "orders".into(), port: 0 }))),
        (Life, |p| (p.tcp_socket, p.exec) = (None, Some(ExecAction { command: vec!["/bin/true".into()] }))),
    ];
    for (purpose, change) in rows {
        let probe = probe(purpose, change);
        assert_eq!(errors_of(purpose, &probe), Vec::<String>::new(), "{probe:?}");
    }
}

/// A gateway knows no other, whatever runs it. A liveness probe of another would kill what is alive, for ever.
#[test]
fn an_instance_is_asked_at_its_own_port() {
    use Purpose::{Life, Readiness};
    const WHY: &str = "an instance is asked at the port that takes requests, and at no other; leave this out";
    type Change = fn(&mut Probe, i32);
    let rows: [(Change, &str); 3] = [
        (|p, number| p.tcp_socket = tcp(ProbePort::Number(number)), "tcpSocket"),
        (|p, number| (p.tcp_socket, p.http_get) = (None, get(|g| g.port = ProbePort::Number(number))), "httpGet"),
        (|p, port| (p.tcp_socket, p.grpc) = (None, Some(GrpcAction { port, ..GrpcAction::default() })), "grpc"),
    ];
    for (change, action) in rows {
        for purpose in [Readiness, Life] {
            let errors_at = |number| errors_of(purpose, &probe(purpose, |p| change(p, number)));
            for own in [0, 8000] {
                assert_eq!(errors_at(own), Vec::<String>::new(), "{purpose:?} {action} {own}");
            }
            for other in [8080, 9000] {
                assert_eq!(
                    errors_at(other),
                    [format!("invalid value: {other}: p.{action}.port\n{WHY}")],
                    "{purpose:?}"
                );
            }
        }
    }
}
