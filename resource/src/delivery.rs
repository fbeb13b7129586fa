//! `spec.delivery`: how often, how fast and in which form events are sent, and where to when that fails.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::{self, BACKOFF_MAX};
use crate::broker::Broker;
use crate::destination::Destination;
use crate::duration::parse_duration;
use crate::field_error::{FieldError, FieldErrors, child};
use crate::trigger::Trigger;

/// Retries when `retry` is missing: Knative's cluster default.
pub const DEFAULT_RETRY: u32 = 10;
/// `backoffDelay` when it is missing, as written into a Broker: Knative's cluster default.
pub const DEFAULT_BACKOFF_DELAY_ISO: &str = "PT0.2S";
/// `backoffDelay` when it is missing.
pub const DEFAULT_BACKOFF_DELAY: Duration = Duration::from_millis(200);
/// `timeout` of one attempt when it is missing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// `retryAfterMax` when it is missing.
pub const DEFAULT_RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// `pelton.dev/backoff-max` when it is missing.
pub const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// `spec.delivery` as written. What it means is a [`DeliveryPolicy`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "How events are delivered, and what becomes of those that cannot be.")]
pub struct DeliverySpec {
    /// Where events go that could not be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_sink: Option<Destination>,
    /// Attempts after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<i32>,
    /// The longest that one attempt may take, an ISO-8601 duration above zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// `linear` or `exponential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["exponential", "linear"]))]
    pub backoff_policy: Option<String>,
    /// The wait before the first retry, an ISO-8601 duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_delay: Option<String>,
    /// The longest `Retry-After` that is honoured, an ISO-8601 duration; `PT0S` ignores the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_max: Option<String>,
    /// `json` or `binary`. Missing: `binary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["binary", "json"]))]
    pub format: Option<String>,
}

impl DeliverySpec {
    pub(crate) fn set_defaults(&mut self, namespace: &str) {
        if let Some(sink) = &mut self.dead_letter_sink {
            sink.set_defaults(namespace);
        }
    }

    pub(crate) fn validate(&self, path: &str, errors: &mut FieldErrors) {
        if let Some(sink) = &self.dead_letter_sink {
            sink.validate(&child(path, "deadLetterSink"), errors);
        }
        if let Some(retry) = self.retry.filter(|retry| *retry < 0) {
            errors.push(FieldError::invalid(retry, child(path, "retry")));
        }
        if let Some(timeout) = &self.timeout {
            let path = child(path, "timeout");
            if check_duration(timeout, &path, errors).is_some_and(|timeout| timeout.is_zero()) {
                errors.push(FieldError::invalid(timeout, path).with_details("a timeout must be above zero"));
            }
        }
        if let Some(policy) = &self.backoff_policy
            && BackoffPolicy::of(policy).is_none()
        {
            let error = FieldError::invalid(policy, child(path, "backoffPolicy"));
            errors.push(error.with_details("expected linear or exponential"));
        }
        for (value, field) in [(&self.backoff_delay, "backoffDelay"), (&self.retry_after_max, "retryAfterMax")] {
            if let Some(value) = value {
                check_duration(value, &child(path, field), errors);
            }
        }
        if let Some(format) = &self.format
            && ContentMode::of_format(format).is_none()
        {
            errors.push(FieldError::invalid(format, child(path, "format")).with_details("expected json or binary"));
        }
    }
}

fn check_duration(text: &str, path: &str, errors: &mut FieldErrors) -> Option<Duration> {
    match parse_duration(text) {
        Ok(duration) => Some(duration),
        Err(why) => {
            errors.push(FieldError::invalid(text, path).with_details(why.to_string()));
            None
        }
    }
}

/// How the wait grows from retry to retry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BackoffPolicy {
    /// d, 2d, 3d, ...
    Linear,
    /// d, 2d, 4d, ...
    #[default]
    Exponential,
}

impl BackoffPolicy {
    /// The policy of that name in a manifest.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "linear" => Some(Self::Linear),
            "exponential" => Some(Self::Exponential),
            _ => None,
        }
    }

    /// The name in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Exponential => "exponential",
        }
    }
}

/// In which content mode an event is sent (CloudEvents HTTP binding, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentMode {
    /// Attributes in headers, `data` in the body. `format: binary`.
    Binary,
    /// The whole event as JSON in the body. `format: json`.
    Structured,
}

impl ContentMode {
    fn of_format(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Structured),
            "binary" => Some(Self::Binary),
            _ => None,
        }
    }
}

/// The wait between attempts, before jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// How it grows.
    pub policy: BackoffPolicy,
    /// The wait before the first retry.
    pub delay: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait before retry `n`, counted from 0: the smaller of d(n+1) or d*2^n and `max`. Never overflows.
    #[must_use]
    pub fn wait(&self, n: u32) -> Duration {
        let factor = match self.policy {
            BackoffPolicy::Linear => n.saturating_add(1),
            BackoffPolicy::Exponential => 1u32.checked_shl(n).unwrap_or(u32::MAX),
        };
        self.delay.saturating_mul(factor).min(self.max)
    }
}

/// How the events of one Trigger are delivered: every default filled in, every text read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPolicy {
    /// Attempts after the first.
    pub retry: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// The longest that one attempt may take; above zero.
    pub timeout: Duration,
    /// The longest `Retry-After` that is honoured; zero ignores the header.
    pub retry_after_max: Duration,
    /// Where events go that could not be delivered; `None` keeps them as dead letters here.
    pub dead_letter_sink: Option<Destination>,
    /// The content mode that was asked for. `None` is binary: the log does not keep in which mode an event came.
    pub format: Option<ContentMode>,
}

/// The delivery policy of a Trigger of a Broker.
///
/// The `delivery` of the Trigger replaces that of the Broker as a whole, except that `deadLetterSink` falls back by
/// itself. A value that validation would have refused counts as missing. The resources should have their defaults:
/// the namespace of a `ref` that comes from the Broker is the Broker's.
#[must_use]
pub fn effective_delivery(trigger: &Trigger, broker: &Broker) -> DeliveryPolicy {
    let (of_trigger, of_broker) = (trigger.spec.delivery.as_ref(), broker.spec.delivery.as_ref());
    let none = DeliverySpec::default();
    let spec = of_trigger.or(of_broker).unwrap_or(&none);
    let duration = |text: &Option<String>| text.as_deref().and_then(|text| parse_duration(text).ok());
    let annotated = |key| annotations::effective(trigger, broker, key);
    DeliveryPolicy {
        retry: spec.retry.and_then(|retry| u32::try_from(retry).ok()).unwrap_or(DEFAULT_RETRY),
        backoff: Backoff {
            policy: spec.backoff_policy.as_deref().and_then(BackoffPolicy::of).unwrap_or_default(),
            delay: duration(&spec.backoff_delay).unwrap_or(DEFAULT_BACKOFF_DELAY),
            max: annotated(BACKOFF_MAX).and_then(|text| parse_duration(text).ok()).unwrap_or(DEFAULT_BACKOFF_MAX),
        },
        timeout: duration(&spec.timeout).filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT),
        retry_after_max: duration(&spec.retry_after_max).unwrap_or(DEFAULT_RETRY_AFTER_MAX),
        dead_letter_sink: [of_trigger, of_broker].into_iter().flatten().find_map(|d| d.dead_letter_sink.clone()),
        format: spec.format.as_deref().and_then(ContentMode::of_format),
    }
}

#[cfg(test)]
mod tests;
