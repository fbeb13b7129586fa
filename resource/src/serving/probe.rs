//! How one finds out whether an instance has come up, can take requests, or must be replaced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{Container, DEFAULT_PORT};
use crate::field_error::{FieldError, FieldErrors, child};

/// A probe: one of four ways to ask, and how often. Each number is 0 when it is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Succeeds when a GET is answered with 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGetAction>,
    /// Succeeds when a connection can be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocketAction>,
    /// Succeeds when the health service of gRPC says SERVING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcAction>,
    /// Succeeds when a program run beside the instance ends with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    /// Wait before the first, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub initial_delay_seconds: i32,
    /// From one to the next, in seconds. For readiness, 0 means as often as makes sense until the first success.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub period_seconds: i32,
    /// The longest that one may take, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout_seconds: i32,
    /// So many in a row make a success.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub success_threshold: i32,
    /// So many in a row make a failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failure_threshold: i32,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A GET. Headers of the probe's own are refused when a manifest is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpGetAction {
    /// The path, with a query if there is one. Empty: `/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The port; the container's own unless said.
    #[serde(default)]
    pub port: ProbePort,
    /// The `Host` that is sent; the instance's address unless said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// `HTTP` or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheme: String,
}

/// A connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TcpSocketAction {
    /// The port; the container's own unless said.
    #[serde(default)]
    pub port: ProbePort,
}

/// A question to the health service of gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrpcAction {
    /// The port; the container's own when 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: i32,
    /// The name of the service to ask about. Empty: the server as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
}

/// A program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecAction {
    /// The program and its arguments. No shell reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// A port in a probe: a number, or the name of a declared port. 0 is the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "IntOrString", extend("x-kubernetes-int-or-string" = true))]
pub enum ProbePort {
    /// By number.
    Number(i32),
    /// By name.
    Name(String),
}

impl Default for ProbePort {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Probe {
    /// A readiness probe asks for a connection unless it says something else. With a period of 0 it has no thresholds
    /// of time: it is asked as often as makes sense.
    pub(super) fn set_readiness_defaults(&mut self) {
        if self.actions().is_empty() {
            self.tcp_socket = Some(TcpSocketAction::default());
        }
        set(&mut self.success_threshold, 1);
        if self.period_seconds > 0 {
            set(&mut self.failure_threshold, 3);
            set(&mut self.timeout_seconds, 1);
        }
    }

    /// Liveness and startup: as Kubernetes does.
    pub(super) fn set_defaults(&mut self) {
        set(&mut self.period_seconds, 10);
        set(&mut self.timeout_seconds, 1);
        set(&mut self.success_threshold, 1);
        set(&mut self.failure_threshold, 3);
    }

    /// The names of the ways to ask that are given.
    fn actions(&self) -> Vec<&'static str> {
        let all = [
            ("httpGet", self.http_get.is_some()),
            ("tcpSocket", self.tcp_socket.is_some()),
            ("grpc", self.grpc.is_some()),
            ("exec", self.exec.is_some()),
        ];
        all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }
}

fn set(field: &mut i32, value: i32) {
    if *field == 0 {
        *field = value;
    }
}

/// What a probe is for, and so which numbers it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To know when requests can be sent.
    Readiness,
    /// To know when an instance must be replaced, or has come up.
    Life,
}

/// Checks a probe of `container`. It may be asked at no port but its own, whatever runs it.
pub(super) fn validate(probe: &Probe, purpose: Purpose, container: &Container, path: &str, errors: &mut FieldErrors) {
    match probe.actions().as_slice() {
        [] => {
            let all = ["httpGet", "tcpSocket", "grpc", "exec"];
            errors.push(FieldError::missing_one_of(&all.map(|action| child(path, action))));
        }
        [_] => {}
        several => {
            let paths: Vec<_> = several.iter().map(|action| child(path, action)).collect();
            errors.push(FieldError::multiple_one_of(&paths));
        }
    }
    let mut port = |port: &ProbePort, path: String| validate_port(port, container, path, errors);
    if let Some(get) = &probe.http_get {
        port(&get.port, child(path, "httpGet.port"));
    }
    if let Some(socket) = &probe.tcp_socket {
        port(&socket.port, child(path, "tcpSocket.port"));
    }
    if let Some(grpc) = &probe.grpc {
        port(&ProbePort::Number(grpc.port), child(path, "grpc.port"));
    }
    validate_texts(probe, path, errors);
    validate_numbers(probe, purpose, path, errors);
}

fn validate_port(port: &ProbePort, container: &Container, path: String, errors: &mut FieldErrors) {
    match port {
        ProbePort::Number(0) => {}
        ProbePort::Number(number @ 1..=65_535) => {
            let own = i32::from(container.port().unwrap_or(DEFAULT_PORT));
            if *number != own {
                let why = "an instance is asked at the port that takes requests, and at no other; leave this out";
                errors.push(FieldError::invalid(number, path).with_details(why));
            }
        }
        ProbePort::Number(number) => errors.push(FieldError::out_of_bounds(*number, 0, 65_535, path)),
        ProbePort::Name(name) => {
            if name.is_empty() || !container.ports.iter().any(|port| port.name == *name) {
                errors.push(FieldError::invalid(name, path).with_details("the container has no port of that name"));
            }
        }
    }
}

fn validate_texts(probe: &Probe, path: &str, errors: &mut FieldErrors) {
    if let Some(get) = &probe.http_get {
        if !matches!(get.scheme.as_str(), "" | "HTTP") {
            let error = FieldError::invalid(&get.scheme, child(path, "httpGet.scheme"));
            errors.push(error.with_details("HTTP is supported here, and no other scheme"));
        }
        let is_visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if !is_visible(&get.path) || !(get.path.is_empty() || get.path.starts_with('/')) {
            let error = FieldError::invalid(format_args!("{:?}", get.path), child(path, "httpGet.path"));
            errors.push(error.with_details("expected a path that begins with / and has no spaces"));
        }
        if !is_visible(&get.host) {
            errors.push(FieldError::invalid(format_args!("{:?}", get.host), child(path, "httpGet.host")));
        }
    }
    if probe.exec.as_ref().is_some_and(|exec| exec.command.is_empty()) {
        errors.push(FieldError::missing(child(path, "exec.command")));
    }
}

fn validate_numbers(probe: &Probe, purpose: Purpose, path: &str, errors: &mut FieldErrors) {
    let mut at_least = |low: i32, number: i32, field: &str| {
        if number < low {
            errors.push(FieldError::out_of_bounds(number, low, i32::MAX, child(path, field)));
        }
    };
    at_least(0, probe.initial_delay_seconds, "initialDelaySeconds");
    at_least(1, probe.success_threshold, "successThreshold");
    let is_eager = purpose == Purpose::Readiness && probe.period_seconds == 0;
    if !is_eager {
        at_least(if purpose == Purpose::Readiness { 0 } else { 1 }, probe.period_seconds, "periodSeconds");
        at_least(1, probe.timeout_seconds, "timeoutSeconds");
        at_least(1, probe.failure_threshold, "failureThreshold");
    }
    if is_eager {
        for (number, field) in
            [(probe.timeout_seconds, "timeoutSeconds"), (probe.failure_threshold, "failureThreshold")]
        {
            if number != 0 {
                let error = FieldError::disallowed(child(path, field));
                errors.push(error.with_details("it has no meaning when periodSeconds is 0"));
            }
        }
    }
    if purpose == Purpose::Life && probe.success_threshold > 1 {
        let error = FieldError::invalid(probe.success_threshold, child(path, "successThreshold"));
        errors.push(error.with_details("a liveness or startup probe succeeds at once: expected 1"));
    }
}

#[cfg(test)]
mod tests;
