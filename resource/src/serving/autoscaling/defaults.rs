//! How Revisions scale whose annotations say nothing: the keys of Knative's `config-autoscaler`.

use std::time::Duration;

use super::{AutoscalerClass, rules};
use crate::field_error::{FieldError, FieldErrors};

/// How Revisions scale whose annotations say nothing. Each field is a key of Knative's `config-autoscaler`; those that
/// concern the activator are missing, because there is none here. The default is Knative's.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoscalingDefaults {
    /// `container-concurrency-target-percentage`: which part of the target is aimed at, in percent. A value of at most
    /// 1 is the part itself.
    pub container_concurrency_target_percentage: f64,
    /// `container-concurrency-target-default`: the target when there is no other.
    pub container_concurrency_target: f64,
    /// `requests-per-second-target-default`: the target of the metric `rps`.
    pub requests_per_second_target: f64,
    /// `target-burst-capacity`: 0 or more, or -1.
    pub target_burst_capacity: f64,
    /// `stable-window`: 6 s to 1 h, whole seconds.
    pub stable_window: Duration,
    /// `panic-window-percentage`: 1 to 100.
    pub panic_window_percentage: f64,
    /// `panic-threshold-percentage`: 110 to 1000.
    pub panic_threshold_percentage: f64,
    /// `max-scale-up-rate`: above 1.
    pub max_scale_up_rate: f64,
    /// `max-scale-down-rate`: above 1.
    pub max_scale_down_rate: f64,
    /// `enable-scale-to-zero`: whether there may be no instance at all.
    pub enable_scale_to_zero: bool,
    /// `scale-to-zero-grace-period`: above 0.
    pub scale_to_zero_grace_period: Duration,
    /// `scale-to-zero-pod-retention-period`.
    pub scale_to_zero_pod_retention_period: Duration,
    /// `scale-down-delay`: whole seconds.
    pub scale_down_delay: Duration,
    /// `initial-scale`.
    pub initial_scale: u32,
    /// `allow-zero-initial-scale`: whether a Revision may be Ready before it ever ran.
    pub allow_zero_initial_scale: bool,
    /// `min-scale`.
    pub min_scale: u32,
    /// `max-scale`; 0 sets no limit.
    pub max_scale: u32,
    /// `max-scale-limit`: how far `max-scale` of a Revision may go; 0 sets no limit.
    pub max_scale_limit: u32,
    /// `pod-autoscaler-class`.
    pub class: AutoscalerClass,
}

impl Default for AutoscalingDefaults {
    fn default() -> Self {
        Self {
            container_concurrency_target_percentage: 70.0,
            container_concurrency_target: 100.0,
            requests_per_second_target: 200.0,
            target_burst_capacity: 211.0,
            stable_window: Duration::from_secs(60),
            panic_window_percentage: 10.0,
            panic_threshold_percentage: 200.0,
            max_scale_up_rate: 1000.0,
            max_scale_down_rate: 2.0,
            enable_scale_to_zero: true,
            scale_to_zero_grace_period: Duration::from_secs(30),
            scale_to_zero_pod_retention_period: Duration::ZERO,
            scale_down_delay: Duration::ZERO,
            initial_scale: 1,
            allow_zero_initial_scale: false,
            min_scale: 0,
            max_scale: 0,
            max_scale_limit: 0,
            class: AutoscalerClass::Kpa,
        }
    }
}

impl AutoscalingDefaults {
    /// Which part of a target is aimed at, above 0 and at most 1.
    #[must_use]
    pub fn target_utilization(&self) -> f64 {
        let percentage = self.container_concurrency_target_percentage;
        if percentage <= 1.0 { percentage } else { percentage / 100.0 }
    }

    /// Checks what an administrator wrote. The paths are Knative's keys.
    ///
    /// # Errors
    /// All mistakes.
    pub fn validate(&self) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        self.validate_numbers(&mut errors);
        self.validate_times(&mut errors);
        self.validate_scales(&mut errors);
        errors.into_result()
    }

    fn validate_numbers(&self, errors: &mut FieldErrors) {
        let percentage = self.container_concurrency_target_percentage;
        let target = self.container_concurrency_target;
        let is_percentage = percentage > 0.0 && percentage <= 100.0;
        let rows = [
            (percentage, "container-concurrency-target-percentage", is_percentage, "above 0 and at most 100"),
            (
                target,
                "container-concurrency-target-default",
                target.is_finite() && (!is_percentage || self.target_utilization() * target >= 0.01),
                "0.01 or more, when the percentage of it is taken",
            ),
            (
                self.requests_per_second_target,
                "requests-per-second-target-default",
                rules::TARGETS.holds(self.requests_per_second_target),
                "0.01 or more",
            ),
            (
                self.target_burst_capacity,
                "target-burst-capacity",
                rules::is_burst_capacity(self.target_burst_capacity),
                "0 or more, or -1",
            ),
            (
                self.panic_window_percentage,
                "panic-window-percentage",
                rules::PERCENTAGES.holds(self.panic_window_percentage),
                "1 to 100",
            ),
            (
                self.panic_threshold_percentage,
                "panic-threshold-percentage",
                rules::THRESHOLDS.holds(self.panic_threshold_percentage),
                "110 to 1000",
            ),
            (self.max_scale_up_rate, "max-scale-up-rate", self.max_scale_up_rate > 1.0, "above 1"),
            (self.max_scale_down_rate, "max-scale-down-rate", self.max_scale_down_rate > 1.0, "above 1"),
        ];
        for (value, key, is_good, expected) in rows {
            if !is_good {
                errors.push(FieldError::invalid(value, key).with_details(format!("expected {expected}")));
            }
        }
    }

    fn validate_times(&self, errors: &mut FieldErrors) {
        let is_whole = |duration: Duration| duration.subsec_nanos() == 0;
        let rows = [
            (self.stable_window, "stable-window", rules::is_window(self.stable_window), "6s to 1h, whole seconds"),
            (self.scale_down_delay, "scale-down-delay", is_whole(self.scale_down_delay), "whole seconds"),
            (
                self.scale_to_zero_grace_period,
                "scale-to-zero-grace-period",
                !self.scale_to_zero_grace_period.is_zero(),
                "above 0s",
            ),
        ];
        for (value, key, is_good, expected) in rows {
            if !is_good {
                let error = FieldError::invalid(format_args!("{value:?}"), key);
                errors.push(error.with_details(format!("expected {expected}")));
            }
        }
    }

    fn validate_scales(&self, errors: &mut FieldErrors) {
        if self.initial_scale == 0 && !self.allow_zero_initial_scale {
            let error = FieldError::invalid(0, "initial-scale");
            errors.push(error.with_details("expected 1 or more, as allow-zero-initial-scale is false"));
        }
        if self.max_scale > 0 && self.min_scale > self.max_scale {
            let why = format!("expected at most max-scale, {}", self.max_scale);
            errors.push(FieldError::invalid(self.min_scale, "min-scale").with_details(why));
        }
        if self.max_scale_limit > 0 && !(1..=self.max_scale_limit).contains(&self.max_scale) {
            errors.push(FieldError::out_of_bounds(self.max_scale, 1, self.max_scale_limit, "max-scale"));
        }
    }
}
