//! What a container is created from: the specification of a revision, in the words of the Engine API (`ContainerCreate`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pelton_serving_gateway::runtime::{RuntimeError, WorkloadSpec};
use serde_json::{Map, Value, json};

use crate::engine::Inspected;
use crate::image::Reference;

/// The label by which the containers of a gateway are known. Its value is the gateway's own.
pub const OWNER: &str = "dev.pelton.owner";

/// Labels for people: whose container it is.
const NAMESPACE: &str = "dev.pelton.namespace";
const REVISION: &str = "dev.pelton.revision";

/// The port of a container that declares none (spec/serving.md 1.1).
const DEFAULT_PORT: u16 = 8080;

/// Billionths of a processor in a thousandth.
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Whether containers can be run as `spec` says. Gives the image.
///
/// # Errors
/// [`RuntimeError::Unsupported`].
pub fn check(spec: &WorkloadSpec) -> Result<Reference, RuntimeError> {
    let unsupported = |field, why: &str| RuntimeError::Unsupported { field, why: why.to_owned() };
    if spec.socket_activation {
        let field = "metadata.annotations[pelton.dev/socket-activation]";
        return Err(unsupported(field, "no socket can be handed over to a container"));
    }
    if spec.env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(unsupported("spec.containers[0].env", "a name must not be empty or have `=` in it"));
    }
    let is_relative = spec.working_dir.as_ref().is_some_and(|folder| folder.is_relative());
    if is_relative {
        return Err(unsupported("spec.containers[0].workingDir", "a container needs an absolute path"));
    }
    let image = Reference::parse(&spec.image);
    image.ok_or_else(|| unsupported("spec.containers[0].image", "a container needs the name of an image"))
}

/// The port at which the program listens, within its container.
pub fn port(spec: &WorkloadSpec) -> u16 {
    spec.port.unwrap_or(DEFAULT_PORT)
}

/// The body that creates a container of `spec`, which belongs to `owner`.
///
/// What is not said is left out, so that the image says it. The port is published on the loopback interface alone, at one
/// that the engine finds (an empty `HostPort`, which Docker chooses at each start and Podman at the creation).
///
/// # Errors
/// [`RuntimeError::Unsupported`].
pub fn body(spec: &WorkloadSpec, owner: &str) -> Result<Value, RuntimeError> {
    // Engines leave `$(NAME)` as it is.
    let spec = &*spec.expanded(port(spec))?;
    let port = format!("{}/tcp", port(spec));
    let mut host = Map::new();
    host.insert("PortBindings".into(), json!({ &port: [{ "HostIp": Ipv4Addr::LOCALHOST, "HostPort": "" }] }));
    // Whoever started it decides whether there is another.
    host.insert("RestartPolicy".into(), json!({ "Name": "no" }));
    if let Some(bytes) = spec.memory_bytes {
        host.insert("Memory".into(), json!(bytes));
    }
    if let Some(millis) = spec.cpu_millis {
        host.insert("NanoCpus".into(), json!(millis.saturating_mul(NANOS_PER_MILLI)));
    }
    let mut body = Map::new();
    body.insert("Image".into(), json!(spec.image));
    if !spec.command.is_empty() {
        body.insert("Entrypoint".into(), json!(spec.command));
    }
    if !spec.args.is_empty() {
        body.insert("Cmd".into(), json!(spec.args));
    }
    if let Some(folder) = &spec.working_dir {
        body.insert("WorkingDir".into(), json!(folder.to_string_lossy()));
    }
    body.insert("Env".into(), json!(environment(spec)));
    body.insert("ExposedPorts".into(), json!({ port: {} }));
    body.insert("Labels".into(), json!({ OWNER: owner, NAMESPACE: spec.namespace, REVISION: spec.revision }));
    body.insert("HostConfig".into(), Value::Object(host));
    Ok(Value::Object(body))
}

/// What the specification sets, and the contract over it (spec/serving.md 1.1).
fn environment(spec: &WorkloadSpec) -> Vec<String> {
    let port = port(spec).to_string();
    let contract = [
        ("PORT", port.as_str()),
        ("K_SERVICE", &spec.service),
        ("K_CONFIGURATION", &spec.configuration),
        ("K_REVISION", &spec.revision),
    ];
    let is_ours = |name: &str| contract.iter().any(|(ours, _)| *ours == name);
    let said = spec.env.iter().filter(|(name, _)| !is_ours(name)).map(|(name, value)| format!("{name}={value}"));
    said.chain(contract.iter().map(|(name, value)| format!("{name}={value}"))).collect()
}

/// Where a container is reached. Podman says nothing, or all addresses, for one of the host.
pub fn address(container: &Inspected, port: u16) -> Option<SocketAddr> {
    let ports = container.network_settings.ports.as_ref()?;
    let bound = ports.get(&format!("{port}/tcp"))?.as_ref()?;
    bound.iter().find_map(|binding| {
        let host = binding.host_ip.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified());
        let port = binding.host_port.parse().ok().filter(|port| *port != 0)?;
        Some(SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), port))
    })
}

#[cfg(test)]
mod tests {
    use pelton_serving_gateway::runtime::conformance::plain_spec;

    use super::*;

    fn spec() -> WorkloadSpec {
        WorkloadSpec { image: "hello".to_owned(), ..plain_spec() }
    }

    #[test]
    fn what_is_not_said_is_left_to_the_image() {
        let body = body(&spec(), "me").unwrap();
        let want = json!({
            "Image": "hello",
            "Env": ["PORT=8080", "K_SERVICE=consumer", "K_CONFIGURATION=consumer", "K_REVISION=consumer-00001"],
            "ExposedPorts": { "8080/tcp": {} },
            "Labels": {
                "dev.pelton.owner": "me", "dev.pelton.namespace": "default", "dev.pelton.revision": "consumer-00001",
            },
            "HostConfig": {
                "PortBindings": { "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "" }] },
                "RestartPolicy": { "Name": "no" },
            },
        });
        assert_eq!(body, want);
    }

    #[test]
    fn what_is_said_is_said_to_the_engine() {
        let spec = WorkloadSpec {
            command: vec!["/run".to_owned()],
            args: vec!["-v".to_owned()],
            env: vec![("A".to_owned(), "1=2".to_owned()), ("PORT".to_owned(), "1".to_owned())],
            working_dir: Some("/srv".into()),
            port: Some(3000),
            memory_bytes: Some(1 << 30),
            cpu_millis: Some(250),
            ..spec()
        };
        let body = body(&spec, "me").unwrap();
        for (path, want) in [
            ("/Entrypoint", json!(["/run"])),
            ("/Cmd", json!(["-v"])),
            ("/WorkingDir", json!("/srv")),
            ("/Env/0", json!("A=1=2")),
            ("/Env/1", json!("PORT=3000")),
            ("/HostConfig/Memory", json!(1 << 30)),
            ("/HostConfig/NanoCpus", json!(250_000_000)),
            ("/HostConfig/PortBindings/3000~1tcp/0/HostIp", json!("127.0.0.1")),
        ] {
            assert_eq!(body.pointer(path), Some(&want), "{path}");
        }
    }

    #[test]
    fn what_no_container_can_do_is_refused() {
        type Row = (&'static str, fn(&mut WorkloadSpec));
        let rows: [Row; 6] = [
            ("spec.containers[0].image", |spec| spec.image.clear()),
            ("spec.containers[0].image", |spec| spec.image = "a b".to_owned()),
            ("spec.containers[0].env", |spec| spec.env = vec![(String::new(), String::new())]),
            ("spec.containers[0].env", |spec| spec.env = vec![("A=B".to_owned(), String::new())]),
            ("spec.containers[0].workingDir", |spec| spec.working_dir = Some("here".into())),
            ("metadata.annotations[pelton.dev/socket-activation]", |spec| spec.socket_activation = true),
        ];
        for (want, change) in rows {
            let mut spec = spec();
            change(&mut spec);
            match check(&spec) {
                Err(RuntimeError::Unsupported { field, .. }) => assert_eq!(field, want),
                other => panic!("{want}: {other:?}"),
            }
        }
        assert!(check(&spec()).is_ok());
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        let spec = WorkloadSpec { args: vec!["$$".to_owned(), "x".repeat(2 << 20)], ..spec() };
        let Err(RuntimeError::Unsupported { field, .. }) = body(&spec, "me") else { panic!("the engine is asked") };
        assert_eq!(field, "spec.containers[0].args");
    }

    #[test]
    fn the_address_is_that_which_was_published() {
        for (ports, want) in [
            (json!({ "8080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "41" }] }), Some("127.0.0.1:41")),
            (json!({ "8080/tcp": [{ "HostIp": "", "HostPort": "41" }] }), Some("127.0.0.1:41")),
            (json!({ "8080/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "41" }] }), Some("127.0.0.1:41")),
            (json!({ "8080/tcp": [{ "HostIp": "::1", "HostPort": "41" }] }), Some("[::1]:41")),
            (json!({ "8080/tcp": [{ "HostPort": "0" }, { "HostPort": "42" }] }), Some("127.0.0.1:42")),
            (json!({ "8080/tcp": null }), None),
            (json!({ "8080/udp": [{ "HostPort": "41" }] }), None),
            (json!({}), None),
            (json!(null), None),
        ] {
            let answer = json!({ "State": {}, "NetworkSettings": { "Ports": ports } });
            let container: Inspected = serde_json::from_value(answer).unwrap();
            assert_eq!(address(&container, 8080), want.map(|want| want.parse().unwrap()), "{ports}");
        }
    }
}
