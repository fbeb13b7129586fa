//! What Services and what they are made of get where they say nothing, and how far they may go.

use super::autoscaling::AutoscalingDefaults;
use super::settings::RuntimeKind;

/// What is filled in where a manifest of Knative Serving says nothing, and how far it may go: the keys of Knative's
/// `config-defaults`, and of ours. The default is Knative's, with processes as the runtime.
#[derive(Debug, Clone, PartialEq)]
pub struct ServingDefaults {
    /// Who runs Revisions that do not say so.
    pub runtime: RuntimeKind,
    /// `revision-timeout-seconds`: `timeoutSeconds`.
    pub revision_timeout_seconds: i64,
    /// `max-revision-timeout-seconds`: the most that each of the three timeouts may be.
    pub max_revision_timeout_seconds: i64,
    /// `revision-response-start-timeout-seconds`: `responseStartTimeoutSeconds`, where it is below `timeoutSeconds`.
    /// 0 fills in nothing.
    pub revision_response_start_timeout_seconds: i64,
    /// `revision-idle-timeout-seconds`: `idleTimeoutSeconds`. 0 fills in nothing.
    pub revision_idle_timeout_seconds: i64,
    /// `container-concurrency`: `containerConcurrency`.
    pub container_concurrency: i64,
    /// `container-concurrency-max-limit`: the most that `containerConcurrency` may be.
    pub container_concurrency_max_limit: i64,
    /// `allow-container-concurrency-zero`: whether `containerConcurrency` may set no limit.
    pub allow_container_concurrency_zero: bool,
    /// How Revisions scale.
    pub autoscaling: AutoscalingDefaults,
}

impl Default for ServingDefaults {
    fn default() -> Self {
        Self {
            runtime: RuntimeKind::Process,
            revision_timeout_seconds: 300,
            max_revision_timeout_seconds: 600,
            revision_response_start_timeout_seconds: 300,
            revision_idle_timeout_seconds: 0,
            container_concurrency: 0,
            container_concurrency_max_limit: 1000,
            allow_container_concurrency_zero: true,
            autoscaling: AutoscalingDefaults::default(),
        }
    }
}
