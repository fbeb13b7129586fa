//! What of a cluster's objects matters here.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use pelton_serving_gateway::runtime::Exit;

use crate::manifest::CONTAINER;

/// Reasons of a container that waits from which it does not come by itself, or not soon: the kubelet has tried, and does so
/// again after a pause that grows up to five minutes. `ErrImagePull`, the first failure, is not one of them.
const TROUBLES: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// Runtimes of containers tell the end by a signal as a code of so much more than the signal.
const SIGNAL_CODES: i32 = 128;

/// The highest signal.
const LAST_SIGNAL: i32 = 64;

/// What is known of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFact {
    /// Its name.
    pub name: String,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// It is being deleted.
    pub is_leaving: bool,
    /// It will never run again, as a whole: it was evicted, or its node would not have it. Kubernetes replaces it.
    pub is_over: bool,
    /// Why it is lost, if it is.
    pub lost: String,
    /// How its container ended, the first time.
    pub end: Option<Exit>,
    /// Whether the container was started again since.
    pub is_restarted: bool,
    /// Why it does not come.
    pub trouble: Option<String>,
    /// Why an image could not be fetched at the first try.
    pub pull_error: Option<String>,
    /// What it waits for, while it does.
    pub waits_for: Option<String>,
}

impl PodFact {
    /// What is known of this one.
    pub fn of(pod: &Pod) -> Self {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let is_leaving = pod.metadata.deletion_timestamp.is_some();
        let none = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&none);
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let container = containers.iter().find(|container| container.name == CONTAINER).or_else(|| containers.first());
        let before = status.init_container_statuses.as_deref().unwrap_or_default();
        let waiting = || before.iter().chain(container).filter_map(waits);
        let said = |(reason, message): (String, String)| joined(&reason, &message);
        let is_restarted = container.is_some_and(|container| container.restart_count > 0);
        Self {
            name,
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            is_leaving,
            is_over: matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")),
            lost: lost(status),
            end: container.and_then(terminated).map(exit_of),
            is_restarted,
            trouble: waiting().find(|(reason, _)| TROUBLES.contains(&reason.as_str())).map(said),
            pull_error: waiting().find(|(reason, _)| reason == "ErrImagePull").map(said),
            waits_for: unscheduled(status).or_else(|| waiting().next().map(said)),
        }
    }
}

/// `Reason: what it says`, as far as something is said.
fn joined(reason: &str, message: &str) -> String {
    match (reason.is_empty(), message.is_empty()) {
        (false, false) => format!("{reason}: {message}"),
        (false, true) => reason.to_owned(),
        (true, _) => message.to_owned(),
    }
}

fn waits(container: &ContainerStatus) -> Option<(String, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let of = |state: &'_ Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let state = if of(&container.last_state) { &container.last_state } else { &container.state };
    state.as_ref()?.terminated.as_ref()
}

fn exit_of(end: &ContainerStateTerminated) -> Exit {
    if end.reason.as_deref() == Some("OOMKilled") {
        return Exit::OutOfMemory;
    }
    let by_code = end.exit_code.saturating_sub(SIGNAL_CODES).clamp(0, LAST_SIGNAL + 1);
    match end.signal.filter(|signal| *signal > 0) {
        Some(signal) => Exit::Signal(signal),
        None if (1..=LAST_SIGNAL).contains(&by_code) => Exit::Signal(by_code),
        None => Exit::Code(end.exit_code),
    }
}

/// Why a Pod is taken away, as far as Kubernetes says so.
fn lost(status: &PodStatus) -> String {
    let (reason, message) = (status.reason.as_deref(), status.message.as_deref());
    if reason.is_some() || message.is_some() {
        return joined(reason.unwrap_or_default(), message.unwrap_or_default());
    }
    let conditions = status.conditions.iter().flatten();
    let disrupted = conditions
        .filter(|c| c.type_ == "DisruptionTarget" && c.status == "True")
        .find_map(|c| Some(joined(c.reason.as_deref()?, c.message.as_deref().unwrap_or_default())));
    disrupted.unwrap_or_else(|| "its Pod was deleted".to_owned())
}

fn unscheduled(status: &PodStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    Some(joined(condition.reason.as_deref()?, condition.message.as_deref().unwrap_or_default()))
}

/// Where a Pod is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The Pod's name.
    pub pod: String,
    /// Where it listens, or is going to.
    pub address: SocketAddr,
}

/// The endpoints of a slice whose Pods run. All of a slice have the same port.
pub fn endpoints_of(slice: &EndpointSlice) -> Vec<Endpoint> {
    let ports = slice.ports.as_ref().into_iter().flatten();
    let Some(port) = ports.filter_map(|port| u16::try_from(port.port?).ok()).next() else { return Vec::new() };
    let endpoints = slice.endpoints.iter().filter_map(|endpoint| {
        // Without a word it is to be taken as ready.
        let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let pod = endpoint.target_ref.as_ref()?.name.clone()?;
        is_ready.then_some(Endpoint { pod, address: SocketAddr::new(ip, port) })
    });
    endpoints.collect()
}

/// What is known of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentFact {
    /// How many replicas it is to have.
    pub replicas: u32,
    /// When this was so, where versions can be compared.
    pub version: Option<u64>,
    /// Why Kubernetes makes no Pods for it, as of the number of replicas that it is to have now.
    pub shortage: Option<String>,
}

impl DeploymentFact {
    /// What is known of this one.
    pub fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let is_current = status.observed_generation >= deployment.metadata.generation;
        let mut conditions = status.conditions.into_iter().flatten();
        let failure = conditions.find(|c| c.type_ == "ReplicaFailure" && c.status == "True");
        let failure = failure.map(|c| joined(&c.reason.unwrap_or_default(), &c.message.unwrap_or_default()));
        Self {
            replicas: replicas_of(deployment.spec.as_ref().and_then(|spec| spec.replicas)),
            version: version_of(deployment.metadata.resource_version.as_deref()),
            shortage: failure.filter(|_| is_current),
        }
    }
}

/// A number of replicas: one where nothing is said.
pub fn replicas_of(said: Option<i32>) -> u32 {
    said.map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0))
}

/// A version that can be compared with others.
pub fn version_of(said: Option<&str>) -> Option<u64> {
    said?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> PodFact {
        PodFact::of(&serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap())
    }

    fn container(state: Value) -> Value {
        json!({"containerStatuses": [
            {"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
        ]})
    }

    #[test]
    fn an_end_is_told_as_the_container_runtime_means_it() {
        for (terminated, want) in [
            (json!({"exitCode": 0, "reason": "Completed"}), Exit::Code(0)),
            (json!({"exitCode": 3}), Exit::Code(3)),
            (json!({"exitCode": 128}), Exit::Code(128)),
            (json!({"exitCode": 134, "reason": "Error"}), Exit::Signal(6)),
            (json!({"exitCode": 192}), Exit::Signal(64)),
            (json!({"exitCode": 193}), Exit::Code(193)),
            (json!({"exitCode": 255}), Exit::Code(255)),
            (json!({"exitCode": -2147483648}), Exit::Code(i32::MIN)),
            (json!({"exitCode": 1, "signal": 9}), Exit::Signal(9)),
            (json!({"exitCode": 137, "reason": "OOMKilled"}), Exit::OutOfMemory),
        ] {
            assert_eq!(pod(container(json!({"terminated": terminated.clone()}))).end, Some(want), "{terminated}");
        }
        assert_eq!(pod(container(json!({"running": {}}))).end, None);
    }

    #[test]
    fn a_container_that_was_started_again_has_ended() {
        let fact = pod(json!({"containerStatuses": [{
            "name": CONTAINER, "image": "", "imageID": "", "ready": true, "restartCount": 1,
            "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 3}},
        }]}));
        assert_eq!((fact.end, fact.is_restarted), (Some(Exit::Code(3)), true));
    }

    #[test]
    fn what_does_not_come_says_why() {
        for (reason, is_trouble) in [
            ("ContainerCreating", false),
            ("PodInitializing", false),
            ("ErrImagePull", false),
            ("ImagePullBackOff", true),
            ("ErrImageNeverPull", true),
            ("InvalidImageName", true),
            ("CreateContainerConfigError", true),
            ("CreateContainerError", true),
            ("RunContainerError", true),
            ("CrashLoopBackOff", true),
        ] {
            let fact = pod(container(json!({"waiting": {"reason": reason, "message": "so"}})));
            assert_eq!(fact.trouble.is_some(), is_trouble, "{reason}");
            assert_eq!(fact.waits_for, Some(format!("{reason}: so")));
            assert_eq!(fact.pull_error.is_some(), reason == "ErrImagePull");
        }
        let fact = pod(json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},
        ]}));
        assert_eq!(fact.waits_for.unwrap(), "Unschedulable: 0/3 nodes are available");
    }

    #[test]
    fn what_is_taken_away_says_why() {
        let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}));
        assert_eq!((evicted.is_over, evicted.lost.as_str()), (true, "Evicted: The node was low on memory"));
        let drained = pod(json!({"phase": "Running", "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drain"},
        ]}));
        assert_eq!((drained.is_over, drained.lost.as_str()), (false, "EvictionByEvictionAPI: drain"));
        assert_eq!(pod(json!({})).lost, "its Pod was deleted");
    }

    #[test]
    fn endpoints_are_the_ready_ones_with_the_port_of_their_slice() {
        let slice = |ports: Value| -> EndpointSlice {
            serde_json::from_value(json!({
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"name": "a"}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": false}, "targetRef": {"name": "b"}},
                    {"addresses": ["10.0.0.3"], "targetRef": {"name": "c"}},
                    {"addresses": ["fd00::4"], "conditions": {}, "targetRef": {"name": "d"}},
                    {"addresses": ["somewhere.test"], "targetRef": {"name": "e"}},
                    {"addresses": ["10.0.0.6"]},
                ],
            }))
            .unwrap()
        };
        let found = endpoints_of(&slice(json!([{"name": "http", "port": 8080}])));
        let found: Vec<_> = found.iter().map(|e| format!("{} {}", e.pod, e.address)).collect();
        assert_eq!(found, ["a 10.0.0.1:8080", "c 10.0.0.3:8080", "d [fd00::4]:8080"]);
        assert_eq!(endpoints_of(&slice(json!([]))), []);
    }

    #[test]
    fn a_shortage_counts_once_the_number_of_replicas_was_seen() {
        let deployment = |observed: i64| -> DeploymentFact {
            DeploymentFact::of(
                &serde_json::from_value(json!({
                    "metadata": {"generation": 2, "resourceVersion": "17"},
                    "spec": {"replicas": 3, "selector": {}, "template": {}},
                    "status": {"observedGeneration": observed, "conditions": [
                        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"},
                    ]},
                }))
                .unwrap(),
            )
        };
        let shortage = Some("FailedCreate: quota".to_owned());
        assert_eq!(deployment(2), DeploymentFact { replicas: 3, version: Some(17), shortage });
        assert_eq!(deployment(1).shortage, None);
    }
}
