//! What is applied for a revision: a Deployment and a headless Service.

use std::collections::BTreeMap;

use pelton_serving_gateway::runtime::{PullPolicy, RuntimeError, WorkloadSpec};
use serde_json::{Value, json};

use crate::labels::{CONFIGURATION, GATEWAY, LIFE, MANAGED_BY, PELTON, REVISION, SERVICE, WORKLOAD};

/// The name of the container: Knative's.
pub const CONTAINER: &str = "user-container";

/// The name of its port: Knative's.
const PORT_NAME: &str = "user-port";

/// The port when none is declared (spec/serving.md, 1.1).
const DEFAULT_PORT: u16 = 8080;

/// The longest name of a Service.
const MOST_NAME: usize = 63;

/// Whose objects these are.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The gateway.
    pub gateway: String,
    /// Its life.
    pub life: String,
}

/// Whether a cluster can run it.
///
/// # Errors
/// [`RuntimeError::Unsupported`].
pub fn check(spec: &WorkloadSpec) -> Result<(), RuntimeError> {
    let unsupported = |field, why: &str| Err(RuntimeError::Unsupported { field, why: why.to_owned() });
    if spec.image.is_empty() {
        return unsupported("spec.containers[0].image", "a Pod needs an image");
    }
    if spec.socket_activation {
        return unsupported(
            "metadata.annotations[pelton.dev/socket-activation]",
            "a Pod cannot be handed a socket that listens",
        );
    }
    Ok(())
}

/// The port at which an instance of it listens.
pub fn port_of(spec: &WorkloadSpec) -> u16 {
    spec.port.unwrap_or(DEFAULT_PORT)
}

/// A name for the objects of a revision that no other has, though one of the same name was there or will be.
pub fn name_of(revision: &str, bits: u64) -> String {
    let unique = format!("{:08x}", bits >> 32);
    let revision: String = revision.chars().map(|c| if c == '.' { '-' } else { c }).collect();
    let room = revision.len().min(MOST_NAME - unique.len() - 1);
    let begin = revision.get(..room).unwrap_or_default().trim_end_matches('-');
    format!("{begin}-{unique}")
}

fn labels(name: &str, spec: &WorkloadSpec, origin: &Origin) -> BTreeMap<&'static str, String> {
    let all = [
        (REVISION, spec.revision.as_str()),
        (CONFIGURATION, &spec.configuration),
        (SERVICE, &spec.service),
        (MANAGED_BY, PELTON),
        (GATEWAY, &origin.gateway),
        (LIFE, &origin.life),
        (WORKLOAD, name),
    ];
    // What is longer than a label's value may be is left out; nothing is found by it.
    all.into_iter()
        .filter(|(_, value)| !value.is_empty() && value.len() <= MOST_NAME)
        .map(|(key, value)| (key, value.to_owned()))
        .collect()
}

/// The environment: what is written last counts, and what the contract says counts most (spec/serving.md, 1.1).
fn environment(spec: &WorkloadSpec) -> Vec<Value> {
    let port = port_of(spec).to_string();
    let ours = [
        ("PORT", port.as_str()),
        ("K_SERVICE", &spec.service),
        ("K_CONFIGURATION", &spec.configuration),
        ("K_REVISION", &spec.revision),
    ];
    let said = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut all: Vec<(&str, &str)> = Vec::new();
    for (name, value) in said.chain(ours) {
        // In a list by names, the server takes each name once.
        all.retain(|(before, _)| *before != name);
        all.push((name, value));
    }
    all.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn limits(spec: &WorkloadSpec) -> Value {
    let memory = spec.memory_bytes.map(|bytes| ("memory", bytes.to_string()));
    let cpu = spec.cpu_millis.map(|millis| ("cpu", format!("{millis}m")));
    json!(memory.into_iter().chain(cpu).collect::<BTreeMap<_, _>>())
}

/// The Deployment, with no replicas: from then on its scale says how many there are.
pub fn deployment(name: &str, spec: &WorkloadSpec, origin: &Origin) -> Value {
    let labels = labels(name, spec, origin);
    let mut container = json!({
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": match spec.image_pull_policy {
            PullPolicy::Always => "Always",
            PullPolicy::IfNotPresent => "IfNotPresent",
            PullPolicy::Never => "Never",
        },
        "command": spec.command,
        "args": spec.args,
        "env": environment(spec),
        "ports": [{"name": PORT_NAME, "containerPort": port_of(spec), "protocol": "TCP"}],
        "resources": {"limits": limits(spec)},
    });
    if let Some(folder) = &spec.working_dir {
        container["workingDir"] = json!(folder.to_string_lossy());
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {WORKLOAD: name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    // Kubernetes counts whole seconds.
                    "terminationGracePeriodSeconds": spec.grace.as_millis().div_ceil(1000) as u64,
                    // Its environment is its own.
                    "enableServiceLinks": false,
                },
            },
        },
    })
}

/// The headless Service whose EndpointSlices say where Pods are. It goes with the Deployment of that uid.
pub fn service(name: &str, spec: &WorkloadSpec, origin: &Origin, uid: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "labels": labels(name, spec, origin),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid}],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {WORKLOAD: name},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": PORT_NAME}],
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pelton_serving_gateway::runtime::conformance::plain_spec;

    use super::*;

    fn origin() -> Origin {
        Origin { gateway: "g".to_owned(), life: "l".to_owned() }
    }

    fn spec() -> WorkloadSpec {
        WorkloadSpec { image: "registry.test/hello:1".to_owned(), ..plain_spec() }
    }

    #[test]
    fn names_are_labels_and_differ() {
        for (revision, want) in [
            ("hello-00001", "hello-00001-000000ab"),
            ("hello.world-00001", "hello-world-00001-000000ab"),
            (&"a".repeat(63), &format!("{}-000000ab", "a".repeat(54))),
            (&format!("{}-b", "a".repeat(53)), &format!("{}-000000ab", "a".repeat(53))),
        ] {
            let name = name_of(revision, 0xab << 32);
            assert_eq!(name, want);
            assert!(name.len() <= 63, "{name}");
        }
        assert_ne!(name_of("hello", 1 << 32), name_of("hello", 2 << 32));
    }

    /// spec/serving.md, 1.1.
    #[test]
    fn the_container_is_what_the_revision_says() {
        let mut spec = spec();
        spec.command = vec!["serve".to_owned()];
        spec.args = vec!["-v".to_owned()];
        spec.working_dir = Some("/srv".into());
        spec.port = Some(9000);
        (spec.memory_bytes, spec.cpu_millis) = (Some(1 << 20), Some(1_500));
        spec.grace = Duration::from_millis(1_001);
        spec.image_pull_policy = PullPolicy::Always;
        let name = "consumer-00001-0";
        let made = deployment(name, &spec, &origin());
        assert_eq!(made["spec"]["replicas"], 0);
        assert_eq!(made["spec"]["selector"]["matchLabels"], json!({WORKLOAD: name}));
        assert_eq!(made["spec"]["template"]["metadata"]["labels"], made["metadata"]["labels"]);
        for (label, want) in [(REVISION, "consumer-00001"), (CONFIGURATION, "consumer"), (SERVICE, "consumer")] {
            assert_eq!(made["metadata"]["labels"][label], want, "{label}");
        }
        let pod = &made["spec"]["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], 2);
        let container = &pod["containers"][0];
        for (field, want) in [
            ("image", json!("registry.test/hello:1")),
            ("imagePullPolicy", json!("Always")),
            ("command", json!(["serve"])),
            ("args", json!(["-v"])),
            ("workingDir", json!("/srv")),
            ("resources", json!({"limits": {"memory": "1048576", "cpu": "1500m"}})),
        ] {
            assert_eq!(container[field], want, "{field}");
        }
        assert_eq!(container["ports"][0]["containerPort"], 9000);
    }

    #[test]
    fn each_variable_is_there_once_and_ours_count_most() {
        let mut spec = spec();
        spec.service = String::new();
        let said = [("A", "1"), ("PORT", "1"), ("A", "2"), ("EMPTY", "")];
        spec.env = said.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let want = json!([
            {"name": "A", "value": "2"},
            {"name": "EMPTY", "value": ""},
            {"name": "PORT", "value": "8080"},
            {"name": "K_SERVICE", "value": ""},
            {"name": "K_CONFIGURATION", "value": "consumer"},
            {"name": "K_REVISION", "value": "consumer-00001"},
        ]);
        assert_eq!(json!(environment(&spec)), want);
        assert!(labels("n", &spec, &origin()).keys().all(|label| *label != SERVICE), "it has none");
    }

    #[test]
    fn what_no_pod_can_do_is_refused_by_its_field() {
        let without_image = WorkloadSpec { image: String::new(), ..spec() };
        let with_socket = WorkloadSpec { socket_activation: true, ..spec() };
        for (spec, want) in [
            (without_image, "spec.containers[0].image"),
            (with_socket, "metadata.annotations[pelton.dev/socket-activation]"),
        ] {
            let Err(RuntimeError::Unsupported { field, .. }) = check(&spec) else { panic!("{want}") };
            assert_eq!(field, want);
        }
        assert!(check(&spec()).is_ok());
    }
}
