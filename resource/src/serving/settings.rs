//! The `pelton.dev/` annotations of a Revision: what Knative's fields have no place for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::go_duration::parse_go_duration;
use super::labels::PROGRESS_DEADLINE;
use super::revision::Revision;
use crate::field_error::{FieldError, FieldErrors, annotation_path_in};

/// Which runtime a Revision is run by: see [`RuntimeKind`].
pub const RUNTIME: &str = "pelton.dev/runtime";
/// How long an instance has nothing to do before it is paused: see [`IdleTime`].
pub const IDLE_PAUSE: &str = "pelton.dev/idle-pause";
/// How long a Revision has nothing to do before its last instance is stopped: see [`IdleTime`].
pub const IDLE_STOP: &str = "pelton.dev/idle-stop";
/// How long a request waits for an instance.
pub const ACTIVATION_TIMEOUT: &str = "pelton.dev/activation-timeout";
/// How a response ends whose time is up: see [`TimeoutMode`].
pub const TIMEOUT_MODE: &str = "pelton.dev/timeout-mode";
/// Whether a process is handed a socket that listens already.
pub const SOCKET_ACTIVATION: &str = "pelton.dev/socket-activation";

/// Annotations that cannot change once a Revision is there.
pub(super) const FIXED: [&str; 2] = [RUNTIME, SOCKET_ACTIVATION];

/// `pelton.dev/idle-pause` when it is missing.
pub const DEFAULT_IDLE_PAUSE: Duration = Duration::from_secs(5);
/// `pelton.dev/activation-timeout` when it is missing.
pub const DEFAULT_ACTIVATION_TIMEOUT: Duration = Duration::from_secs(60);
/// `serving.knative.dev/progress-deadline` when it is missing.
pub const DEFAULT_PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

/// The longest that an instance may be idle by an annotation; beyond it there is `never`.
pub const MAX_IDLE: Duration = Duration::from_secs(24 * 3600);
/// The largest `pelton.dev/activation-timeout`.
pub const MAX_ACTIVATION_TIMEOUT: Duration = Duration::from_secs(3600);

/// Who runs the instances of a Revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RuntimeKind {
    /// They are processes of this machine: `process`.
    #[default]
    Process,
    /// They are containers of this machine: `docker`.
    Docker,
    /// They are Pods of a Deployment: `kubernetes`.
    Kubernetes,
}

impl RuntimeKind {
    /// The value of the annotation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The runtime that a value of the annotation names.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Process, Self::Docker, Self::Kubernetes].into_iter().find(|runtime| runtime.as_str() == text)
    }

    pub(super) fn of_annotations(annotations: &BTreeMap<String, String>) -> Self {
        annotations.get(RUNTIME).and_then(|text| Self::of(text)).unwrap_or_default()
    }
}

/// After how long without work something happens: `5s`, `1m30s`, `0s` (at once) or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdleTime {
    /// After so long.
    After(Duration),
    /// Not at all.
    Never,
}

impl IdleTime {
    /// Reads `never` or a duration of at most [`MAX_IDLE`].
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::Never),
            _ => parse_go_duration(text).ok().filter(|duration| *duration <= MAX_IDLE).map(Self::After),
        }
    }
}

/// How a response ends that has begun when the time of its request is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TimeoutMode {
    /// As an error: the stream is reset, so that nobody takes the part for the whole.
    #[default]
    Reset,
    /// As if it were whole, which Knative does.
    Truncate,
}

impl TimeoutMode {
    /// The mode that a value of the annotation names.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "reset" => Some(Self::Reset),
            "truncate" => Some(Self::Truncate),
            _ => None,
        }
    }
}

/// What the annotations of a Revision say, but for how it scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionSettings {
    /// Who runs its instances.
    pub runtime: RuntimeKind,
    /// When an instance that has nothing to do is paused.
    pub idle_pause: IdleTime,
    /// When the last instance that has nothing to do is stopped. `None`: when autoscaling says so.
    pub idle_stop: Option<IdleTime>,
    /// How long a request waits for an instance, above zero. It is not part of the request's own time.
    pub activation_timeout: Duration,
    /// How a response ends whose time is up.
    pub timeout_mode: TimeoutMode,
    /// Whether a process is handed a socket that listens already.
    pub socket_activation: bool,
    /// How long it may take to come up.
    pub progress_deadline: Duration,
}

/// The settings of a Revision. A value that validation would have refused counts as missing.
#[must_use]
pub fn revision_settings(revision: &Revision) -> RevisionSettings {
    let value = |key| revision.metadata.annotation(key);
    RevisionSettings {
        runtime: revision.runtime(),
        idle_pause: value(IDLE_PAUSE).and_then(IdleTime::of).unwrap_or(IdleTime::After(DEFAULT_IDLE_PAUSE)),
        idle_stop: value(IDLE_STOP).and_then(IdleTime::of),
        activation_timeout: value(ACTIVATION_TIMEOUT).and_then(activation).unwrap_or(DEFAULT_ACTIVATION_TIMEOUT),
        timeout_mode: value(TIMEOUT_MODE).and_then(TimeoutMode::of).unwrap_or_default(),
        socket_activation: value(SOCKET_ACTIVATION) == Some("true"),
        progress_deadline: value(PROGRESS_DEADLINE).and_then(whole_seconds).unwrap_or(DEFAULT_PROGRESS_DEADLINE),
    }
}

/// Reads `pelton.dev/activation-timeout`.
pub(crate) fn activation(text: &str) -> Option<Duration> {
    let duration = parse_go_duration(text).ok()?;
    (!duration.is_zero() && duration <= MAX_ACTIVATION_TIMEOUT).then_some(duration)
}

/// Reads a duration of whole seconds, as `serving.knative.dev/progress-deadline` and the like must be.
pub(crate) fn whole_seconds(text: &str) -> Option<Duration> {
    parse_go_duration(text).ok().filter(|duration| duration.subsec_nanos() == 0)
}

/// Checks what one annotation says in view of the others. Each by itself is checked with all that are ours.
pub(super) fn validate(annotations: &BTreeMap<String, String>, meta_path: &str, errors: &mut FieldErrors) {
    let is_process = RuntimeKind::of_annotations(annotations) == RuntimeKind::Process;
    if !is_process && annotations.get(SOCKET_ACTIVATION).is_some_and(|value| value == "true") {
        let error = FieldError::invalid("true", annotation_path_in(meta_path, SOCKET_ACTIVATION));
        errors.push(error.with_details("only the process runtime can hand over a socket"));
    }
}

#[cfg(test)]
mod tests;
