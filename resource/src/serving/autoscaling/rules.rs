//! Which values the autoscaling annotations can have.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    ACTIVATION_SCALE, AGGREGATION, Aggregation, AutoscalerClass, AutoscalingDefaults, CLASS, INITIAL_SCALE, MAX_SCALE,
    METRIC, MIN_SCALE, Metric, PANIC_THRESHOLD, PANIC_WINDOW, PREFIX, RETENTION, SCALE_DOWN_DELAY, ScalingKey, TARGET,
    TARGET_BURST_CAPACITY, TARGET_UTILIZATION, WINDOW,
};
use crate::field_error::{FieldError, FieldErrors, annotation_path_in};
use crate::serving::go_duration::parse_go_duration;
use crate::serving::settings::whole_seconds;

/// Numbers from one to another, both among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    low: f64,
    high: f64,
}

pub(super) const TARGETS: Range = Range { low: 0.01, high: f64::MAX };
pub(super) const PERCENTAGES: Range = Range { low: 1.0, high: 100.0 };
pub(super) const THRESHOLDS: Range = Range { low: 110.0, high: 1000.0 };
/// The longest `scale-down-delay` and `scale-to-zero-pod-retention-period`.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(3600);

impl Range {
    pub(super) fn holds(self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }

    pub(super) fn read(self, text: &str) -> Option<f64> {
        text.parse().ok().filter(|number| self.holds(*number))
    }
}

pub(super) fn is_burst_capacity(number: f64) -> bool {
    number == -1.0 || (number >= 0.0 && number.is_finite())
}

pub(super) fn burst_capacity(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number| is_burst_capacity(*number))
}

pub(super) fn is_window(window: Duration) -> bool {
    window.subsec_nanos() == 0 && (6..=3600).contains(&window.as_secs())
}

pub(super) fn window(text: &str) -> Option<Duration> {
    parse_go_duration(text).ok().filter(|window| is_window(*window))
}

pub(super) fn retention(text: &str) -> Option<Duration> {
    parse_go_duration(text).ok().filter(|retention| *retention <= MAX_DELAY)
}

/// A number of instances: digits, at most 2^31 - 1.
pub(super) fn scale(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let scale: u32 = digits.then(|| text.parse().ok())??;
    i32::try_from(scale).is_ok().then_some(scale)
}

/// One annotation that is checked by itself.
struct Rule {
    key: ScalingKey,
    is_good: fn(&str) -> bool,
    expected: &'static str,
}

const fn rule(key: ScalingKey, is_good: fn(&str) -> bool, expected: &'static str) -> Rule {
    Rule { key, is_good, expected }
}

const SCALES: &str = "expected a whole number from 0 to 2147483647";
const RULES: &[Rule] = &[
    rule(
        CLASS,
        |v| AutoscalerClass::of(v).is_some(),
        "expected kpa.autoscaling.knative.dev or hpa.autoscaling.knative.dev",
    ),
    // What a metric may be depends on the class: see `validate_metric`.
    rule(METRIC, |_| true, ""),
    rule(TARGET, |v| TARGETS.read(v).is_some(), "expected a number of 0.01 or more"),
    rule(TARGET_UTILIZATION, |v| PERCENTAGES.read(v).is_some(), "expected a number from 1 to 100"),
    rule(TARGET_BURST_CAPACITY, |v| burst_capacity(v).is_some(), "expected a number of 0 or more, or -1"),
    rule(WINDOW, |v| window(v).is_some(), "expected a duration from 6s to 1h in whole seconds"),
    rule(PANIC_WINDOW, |v| PERCENTAGES.read(v).is_some(), "expected a number from 1 to 100"),
    rule(PANIC_THRESHOLD, |v| THRESHOLDS.read(v).is_some(), "expected a number from 110 to 1000"),
    rule(MIN_SCALE, |v| scale(v).is_some(), SCALES),
    rule(MAX_SCALE, |v| scale(v).is_some(), SCALES),
    rule(INITIAL_SCALE, |v| scale(v).is_some(), SCALES),
    rule(ACTIVATION_SCALE, |v| scale(v).is_some_and(|n| n >= 2), "expected a whole number from 2 to 2147483647"),
    rule(
        SCALE_DOWN_DELAY,
        |v| whole_seconds(v).is_some_and(|delay| delay <= MAX_DELAY),
        "expected a duration from 0s to 1h in whole seconds",
    ),
    rule(RETENTION, |v| retention(v).is_some(), "expected a duration from 0s to 1h"),
    // Another class may know other ways: see `validate_aggregation`.
    rule(AGGREGATION, |_| true, ""),
];

/// Checks the autoscaling annotations among those of a Revision, or of the template of one.
pub(in crate::serving) fn validate(
    annotations: &BTreeMap<String, String>,
    defaults: &AutoscalingDefaults,
    meta_path: &str,
    errors: &mut FieldErrors,
) {
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let path = annotation_path_in(meta_path, key);
        match RULES.iter().find(|rule| rule.key.name == name || rule.key.alias == name) {
            Some(rule) if (rule.is_good)(value) => {}
            Some(rule) => errors.push(FieldError::invalid(value, path).with_details(rule.expected)),
            None => {
                let known: Vec<_> = RULES.iter().map(|rule| rule.key.name).collect();
                let why = format!("known here: {}", known.join(", "));
                errors.push(FieldError::invalid_key(key, path).with_details(why));
            }
        }
    }
    let it = Annotations { annotations, defaults, meta_path };
    for rule in RULES {
        it.validate_names(rule.key, errors);
    }
    it.validate_metric(errors);
    it.validate_scales(errors);
    it.validate_activation(errors);
}

/// The annotations, for the rules about several of them.
struct Annotations<'a> {
    annotations: &'a BTreeMap<String, String>,
    defaults: &'a AutoscalingDefaults,
    meta_path: &'a str,
}

impl Annotations<'_> {
    fn value(&self, key: ScalingKey) -> Option<&str> {
        key.value(self.annotations)
    }

    fn scale(&self, key: ScalingKey) -> Option<u32> {
        self.value(key).and_then(scale)
    }

    /// The path under whichever name it is there.
    fn path(&self, key: ScalingKey) -> String {
        let name = key.entries(self.annotations).next().map_or_else(|| key.annotation(), |(name, _)| name.to_owned());
        annotation_path_in(self.meta_path, &name)
    }

    /// One setting under two names cannot say two things.
    fn validate_names(&self, key: ScalingKey, errors: &mut FieldErrors) {
        let entries: Vec<_> = key.entries(self.annotations).collect();
        if let [(first, a), (second, b)] = entries.as_slice()
            && a != b
        {
            let paths = [first, second].map(|name| annotation_path_in(self.meta_path, name));
            errors.push(FieldError::multiple_one_of(&paths));
        }
    }

    /// What can be measured, and how a window is summed up, depends on the class.
    fn validate_metric(&self, errors: &mut FieldErrors) {
        let class = self.value(CLASS).map_or_else(|| Some(self.defaults.class.clone()), AutoscalerClass::of);
        let Some(class) = class else { return };
        if let Some(metric) = self.value(METRIC)
            && Metric::of(&class, metric).is_none()
        {
            let expected = match class {
                AutoscalerClass::Kpa => "expected concurrency or rps",
                AutoscalerClass::Hpa | AutoscalerClass::Foreign(_) => "expected the name of a metric",
            };
            errors.push(FieldError::invalid(metric, self.path(METRIC)).with_details(expected));
        }
        if let Some(aggregation) = self.value(AGGREGATION)
            && class == AutoscalerClass::Kpa
            && Aggregation::of(aggregation).is_none()
        {
            let error = FieldError::invalid(aggregation, self.path(AGGREGATION));
            errors.push(error.with_details("expected linear or weighted-exponential"));
        }
    }

    fn validate_scales(&self, errors: &mut FieldErrors) {
        let (min, max) = (self.scale(MIN_SCALE), self.scale(MAX_SCALE));
        let limit = self.defaults.max_scale_limit;
        if let (Some(min), Some(max @ 1..)) = (min, max)
            && min > max
        {
            let message = format!("max-scale={max} is less than min-scale={min}");
            let paths = vec![self.path(MAX_SCALE), self.path(MIN_SCALE)];
            errors.push(FieldError { message, paths, details: String::new() });
        }
        if let Some(max) = max.filter(|max| limit > 0 && !(1..=limit).contains(max)) {
            errors.push(FieldError::out_of_bounds(max, 1, limit, self.path(MAX_SCALE)));
        }
        if self.scale(INITIAL_SCALE) == Some(0) && !self.defaults.allow_zero_initial_scale {
            let error = FieldError::invalid(0, self.path(INITIAL_SCALE));
            errors.push(error.with_details("expected 1 or more, as allow-zero-initial-scale is false"));
        }
    }

    fn validate_activation(&self, errors: &mut FieldErrors) {
        let Some(activation) = self.scale(ACTIVATION_SCALE).filter(|scale| *scale >= 2) else { return };
        let mut refuse = |why: String| {
            errors.push(FieldError::invalid(activation, self.path(ACTIVATION_SCALE)).with_details(why));
        };
        if let Some(min) = self.scale(MIN_SCALE).filter(|min| activation < *min) {
            refuse(format!("expected min-scale, {min}, or more"));
        }
        if let Some(max) = self.scale(MAX_SCALE).filter(|max| *max > 0 && activation > *max) {
            refuse(format!("expected at most max-scale, {max}"));
        }
    }
}

#[cfg(test)]
pub(super) fn names() -> Vec<ScalingKey> {
    RULES.iter().map(|rule| rule.key).collect()
}
