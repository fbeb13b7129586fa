//! What a Revision says, as a gateway serves it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use pelton_resource::ConditionStatus;
use pelton_resource::conditions::READY;
use pelton_resource::serving::{
    AutoscalingDefaults, Container, IdleTime, Probe as SaidProbe, Protocol as SaidProtocol, Revision, TimeoutMode,
    revision_settings,
};

use crate::autoscaler::Spec;
use crate::probe::{Check, Probe, Repeated};
use crate::proxy::{Cut, Protocol, Timeouts};
use crate::revision::{QueueBounds, RevisionSpec, Settings};
use crate::runtime::{PullPolicy, WorkloadSpec};

/// `timeoutSeconds` of a Revision that was stored without it (spec/serving.md 1.5).
const DEFAULT_TIMEOUT_SECONDS: i64 = 300;

/// What an operator has set for all revisions.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// How Revisions scale that do not say so.
    pub autoscaling: AutoscalingDefaults,
    /// How much may wait for each.
    pub queue: QueueBounds,
}

/// What a gateway must know of `revision`. It was admitted, so nothing in it is wrong; what a version before this one has
/// stored, and this one would refuse, counts as not said.
#[must_use]
pub fn spec_of(revision: &Revision, defaults: &Defaults) -> RevisionSpec {
    let container = revision.spec.serving_container().cloned().unwrap_or_default();
    let settings = revision_settings(revision);
    let concurrency = revision.spec.container_concurrency.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let total = seconds(revision.spec.timeout_seconds).unwrap_or(Duration::from_secs(DEFAULT_TIMEOUT_SECONDS as u64));
    let idle = |time: IdleTime| match time {
        IdleTime::After(time) => Some(time),
        IdleTime::Never => None,
    };
    RevisionSpec {
        core: Settings {
            concurrency,
            queue: defaults.queue,
            idle_pause: idle(settings.idle_pause),
            idle_stop: settings.idle_stop.map(|time| idle(time).unwrap_or(Duration::MAX)),
            scaling: Spec::of(revision, &defaults.autoscaling),
        },
        timeouts: Timeouts {
            total,
            response_start: seconds(revision.spec.response_start_timeout_seconds),
            idle: seconds(revision.spec.idle_timeout_seconds),
            cut: match settings.timeout_mode {
                TimeoutMode::Reset => Cut::Reset,
                TimeoutMode::Truncate => Cut::Truncate,
            },
        },
        activation_timeout: settings.activation_timeout,
        start_deadline: settings.progress_deadline,
        protocol: match container.protocol() {
            SaidProtocol::Http1 => Protocol::Http1,
            SaidProtocol::H2c => Protocol::H2c,
        },
        probe: probe_of(container.readiness_probe.as_ref()),
        is_shared: false,
        startup: repeated_of(container.startup_probe.as_ref()),
        liveness: repeated_of(container.liveness_probe.as_ref()),
        is_proved: revision.status.conditions.status(READY) == ConditionStatus::True,
        workload: Arc::new(workload_of(revision, container, total, settings.socket_activation)),
    }
}

/// A time that is set: 0 is the same as not.
fn seconds(seconds: Option<i64>) -> Option<Duration> {
    seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn workload_of(revision: &Revision, container: Container, grace: Duration, socket_activation: bool) -> WorkloadSpec {
    let port = container.port();
    let (memory_bytes, cpu_millis) = (container.resources.memory_limit_bytes(), container.resources.cpu_limit_millis());
    WorkloadSpec {
        namespace: revision.metadata.namespace.clone(),
        revision: revision.metadata.name.clone(),
        configuration: revision.configuration_name().unwrap_or_default().to_owned(),
        service: revision.service_name().unwrap_or_default().to_owned(),
        image: container.image,
        command: container.command,
        args: container.args,
        env: container.env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
        working_dir: Some(PathBuf::from(container.working_dir)).filter(|path| !path.as_os_str().is_empty()),
        port,
        memory_bytes,
        cpu_millis,
        grace,
        socket_activation,
        image_pull_policy: match container.image_pull_policy.as_str() {
            "Always" => PullPolicy::Always,
            "Never" => PullPolicy::Never,
            _ => PullPolicy::IfNotPresent,
        },
    }
}

/// A probe of a kind that only a kubelet can make is made as Knative's queue-proxy does: by a connection.
fn probe_of(said: Option<&SaidProbe>) -> Probe {
    let Some(said) = said else { return Probe::default() };
    let check = match (&said.http_get, &said.grpc) {
        (Some(get), _) => {
            let mut headers = HeaderMap::new();
            if let Ok(host) = HeaderValue::from_str(&get.host)
                && !get.host.is_empty()
            {
                headers.insert(http::header::HOST, host);
            }
            let path = if get.path.is_empty() { "/".to_owned() } else { get.path.clone() };
            Check::Http { path, headers }
        }
        (None, Some(grpc)) => Check::Grpc { service: grpc.service.clone() },
        (None, None) => Check::Tcp,
    };
    let timeout = u64::try_from(said.timeout_seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    Probe {
        check,
        timeout: timeout.unwrap_or(Probe::default().timeout),
        success_threshold: u32::try_from(said.success_threshold).unwrap_or(1).max(1),
    }
}

/// A probe of liveness or startup. Numbers that were not said are Kubernetes' (admission has set them already).
fn repeated_of(said: Option<&SaidProbe>) -> Option<Repeated> {
    let said = said?;
    let positive =
        |number: i32, default: u32| u32::try_from(number).ok().filter(|number| *number > 0).unwrap_or(default);
    Some(Repeated {
        probe: probe_of(Some(said)),
        initial_delay: Duration::from_secs(u64::from(positive(said.initial_delay_seconds, 0))),
        period: Duration::from_secs(u64::from(positive(said.period_seconds, 10))),
        failure_threshold: positive(said.failure_threshold, 3),
    })
}

#[cfg(test)]
mod tests;
