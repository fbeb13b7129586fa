//! A container: what is run, with which arguments and environment, and what it may use.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::quantity::Quantity;

/// The port of a container that declares none.
pub const DEFAULT_PORT: u16 = 8080;
/// The name of a container that has none. When there are several, a number is added.
pub const DEFAULT_CONTAINER_NAME: &str = "user-container";

/// A container. For the process runtime it is a program of this machine: `command` says which, and `image` is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// A DNS label, unique within the Revision. Defaulting fills it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The image. Containers need one; a process has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The program and what stands in the place of an image's entry point. A process needs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// What follows `command`, or the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The environment, in this order. Of a name that stands twice the last counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Where it runs; an absolute path. Empty: what the image says, or a private folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The port that takes requests: at most one among all containers of a Revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
    /// When it can take requests. Defaulting gives the serving container a TCP probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// When it must be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// When it has come up, so that the other probes begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    /// How much it may use.
    #[serde(default, skip_serializing_if = "ResourceRequirements::is_empty")]
    pub resources: ResourceRequirements,
    /// When the image is fetched: `Always`, `IfNotPresent` or `Never`. Empty: the runtime decides.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_pull_policy: String,
}

/// One variable of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("required" = ["name"]))]
pub struct EnvVar {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its value. A value that comes from elsewhere (`valueFrom`) is refused when a manifest is read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// The port that takes requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Which protocol is spoken there: see [`Protocol::of_port_name`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(description = "Which protocol is spoken there: http1 (or empty), or h2c for HTTP/2 without TLS.")]
    pub name: String,
    /// The number, 1 to 65,535. 0 is not said, and then [`DEFAULT_PORT`] for a container. A process hears its number
    /// from `PORT`.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(
        description = "The number, 1 to 65535. 8080 when it is not said. A process hears its number from PORT."
    )]
    pub container_port: i32,
    /// `TCP` or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protocol: String,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The protocol that an instance speaks, told by the name of its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1: `http1`, or no name.
    #[default]
    Http1,
    /// HTTP/2 without TLS from the first byte: `h2c`. gRPC needs it.
    H2c,
}

impl Protocol {
    /// The protocol that a port's name stands for.
    #[must_use]
    pub fn of_port_name(name: &str) -> Option<Self> {
        match name {
            "" | "http1" => Some(Self::Http1),
            "h2c" => Some(Self::H2c),
            _ => None,
        }
    }
}

/// How much of each resource a container asks for, and how much it may have at most. Quantities as Kubernetes writes
/// them: see [`Quantity`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "How much of each resource a container asks for, and how much it may have at most.")]
pub struct ResourceRequirements {
    /// The most it may have, by `cpu` and `memory`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// What it asks for; a scheduler looks at it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
}

impl ResourceRequirements {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.requests.is_empty()
    }

    /// The most memory, in bytes. A quantity that validation would have refused counts as missing.
    #[must_use]
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        Some(Quantity::parse(self.limits.get("memory")?).ok()?.ceil_units())
    }

    /// The most processor time, in thousandths of a processor. A quantity that validation would have refused counts as
    /// missing.
    #[must_use]
    pub fn cpu_limit_millis(&self) -> Option<u64> {
        Some(Quantity::parse(self.limits.get("cpu")?).ok()?.ceil_millis())
    }
}

impl Container {
    /// The declared port's number, when one is declared.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let number = self.ports.first()?.container_port;
        u16::try_from(number).ok().filter(|port| *port != 0)
    }

    /// The protocol spoken at its port. A name that validation would have refused counts as missing.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.ports.first().and_then(|port| Protocol::of_port_name(&port.name)).unwrap_or_default()
    }
}

/// Fills in what is missing. The container that takes requests is the only one, or the one with a port.
pub(super) fn set_defaults(containers: &mut [Container]) {
    name_all(containers);
    let is_only = containers.len() == 1;
    for container in containers {
        if is_only || !container.ports.is_empty() {
            container.readiness_probe.get_or_insert_default().set_readiness_defaults();
        }
        for probe in [&mut container.liveness_probe, &mut container.startup_probe].into_iter().flatten() {
            probe.set_defaults();
        }
    }
}

/// Gives a name to each that has none, around the names that are taken.
fn name_all(containers: &mut [Container]) {
    if let [only] = containers {
        if only.name.is_empty() {
            DEFAULT_CONTAINER_NAME.clone_into(&mut only.name);
        }
        return;
    }
    let taken: BTreeSet<String> = containers.iter().map(|container| container.name.clone()).collect();
    let mut free = (0..).map(|n| format!("{DEFAULT_CONTAINER_NAME}-{n}")).filter(|name| !taken.contains(name));
    for container in containers.iter_mut().filter(|container| container.name.is_empty()) {
        container.name = free.next().unwrap_or_default();
    }
}

mod rules;
#[cfg(test)]
mod tests;

pub(super) use rules::validate;
