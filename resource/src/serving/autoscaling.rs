//! How a Revision scales: the `autoscaling.knative.dev/` annotations of its template, over the defaults.
//!
//! | annotation | value | default |
//! | --- | --- | --- |
//! | `class` | `kpa.autoscaling.knative.dev`, `hpa.autoscaling.knative.dev`, or one outside `.knative.dev` | kpa |
//! | `metric` | kpa: `concurrency`, `rps`; hpa: any | `concurrency`; hpa: `cpu` |
//! | `target` | 0.01 or more | 100, and 200 for `rps` |
//! | `target-utilization-percentage` | 1 to 100 | 70 |
//! | `target-burst-capacity` | 0 or more, or -1 | 211 |
//! | `window` | 6s to 1h, whole seconds | 60s |
//! | `panic-window-percentage` | 1 to 100 | 10 |
//! | `panic-threshold-percentage` | 110 to 1000 | 200 |
//! | `min-scale` | 0 or more | 0 |
//! | `max-scale` | 0 (no limit), or `min-scale` or more | 0 |
//! | `initial-scale` | 1 or more; 0 when that is allowed | 1 |
//! | `activation-scale` | 2 or more, from `min-scale` to `max-scale` | none |
//! | `scale-down-delay` | 0s to 1h, whole seconds | 0s |
//! | `scale-to-zero-pod-retention-period` | 0s to 1h | 0s |
//! | `metric-aggregation-algorithm` | `linear`, `weighted-exponential` | `linear` |
//!
//! Names in camel case (`minScale`) are read as well. Any other annotation with this prefix is refused, because a
//! misspelt setting that is silently ignored is found out too late.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settings::whole_seconds;

mod defaults;
mod rules;

pub use defaults::AutoscalingDefaults;
pub(super) use rules::validate;

/// The prefix of annotations that say how a Revision scales.
pub const PREFIX: &str = "autoscaling.knative.dev/";

/// One annotation, with the names it can have. The first counts before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScalingKey {
    /// The name that the documentation uses, after the prefix: `min-scale`.
    pub name: &'static str,
    /// The name in camel case: `minScale`. The same when there is only one.
    pub alias: &'static str,
}

const fn key(name: &'static str, alias: &'static str) -> ScalingKey {
    ScalingKey { name, alias }
}

/// Which autoscaler decides.
pub const CLASS: ScalingKey = key("class", "class");
/// What is measured.
pub const METRIC: ScalingKey = key("metric", "metric");
/// How much of it one instance is to have.
pub const TARGET: ScalingKey = key("target", "target");
/// How much of the target is aimed at, in percent.
pub const TARGET_UTILIZATION: ScalingKey = key("target-utilization-percentage", "targetUtilizationPercentage");
/// The burst that is to find room at once.
pub const TARGET_BURST_CAPACITY: ScalingKey = key("target-burst-capacity", "targetBurstCapacity");
/// The stable window.
pub const WINDOW: ScalingKey = key("window", "window");
/// The panic window, in percent of the stable window.
pub const PANIC_WINDOW: ScalingKey = key("panic-window-percentage", "panicWindowPercentage");
/// The demand at which panic begins, in percent of what the ready instances can do.
pub const PANIC_THRESHOLD: ScalingKey = key("panic-threshold-percentage", "panicThresholdPercentage");
/// The fewest instances.
pub const MIN_SCALE: ScalingKey = key("min-scale", "minScale");
/// The most instances.
pub const MAX_SCALE: ScalingKey = key("max-scale", "maxScale");
/// How many instances must come up before a new Revision is Ready.
pub const INITIAL_SCALE: ScalingKey = key("initial-scale", "initialScale");
/// The fewest instances when there are any.
pub const ACTIVATION_SCALE: ScalingKey = key("activation-scale", "activationScale");
/// How long demand must be lower before there are fewer instances.
pub const SCALE_DOWN_DELAY: ScalingKey = key("scale-down-delay", "scaleDownDelay");
/// The shortest time that the last instance is kept.
pub const RETENTION: ScalingKey = key("scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod");
/// How a window makes one number out of many.
pub const AGGREGATION: ScalingKey = key("metric-aggregation-algorithm", "metricAggregationAlgorithm");

impl ScalingKey {
    /// The annotation's whole name.
    #[must_use]
    pub fn annotation(self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// Its value, under whichever name.
    #[must_use]
    pub fn value(self, annotations: &BTreeMap<String, String>) -> Option<&str> {
        self.entries(annotations).next().map(|(_, value)| value)
    }

    /// Every name under which it is there, with its value.
    fn entries(self, annotations: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
        let alias = (self.alias != self.name).then_some(self.alias);
        [Some(self.name), alias].into_iter().flatten().filter_map(|name| {
            let (key, value) = annotations.get_key_value(&format!("{PREFIX}{name}"))?;
            Some((key.as_str(), value.as_str()))
        })
    }
}

/// Which autoscaler decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum AutoscalerClass {
    /// Knative's own, by concurrency or requests.
    #[default]
    Kpa,
    /// That of Kubernetes, by what instances use. It never scales to zero.
    Hpa,
    /// Somebody else's.
    Foreign(String),
}

impl AutoscalerClass {
    /// The class that a value of the annotation names. Names under `.knative.dev` other than the two are none.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "kpa.autoscaling.knative.dev" => Some(Self::Kpa),
            "hpa.autoscaling.knative.dev" => Some(Self::Hpa),
            _ if text.is_empty() || text.ends_with(".knative.dev") => None,
            _ => Some(Self::Foreign(text.to_owned())),
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Requests in flight: `concurrency`.
    #[default]
    Concurrency,
    /// Requests a second: `rps`.
    RequestsPerSecond,
    /// Something that only another class than kpa knows, such as `cpu`.
    Other(String),
}

impl Metric {
    /// The metric that a value of the annotation names for a class.
    #[must_use]
    pub fn of(class: &AutoscalerClass, text: &str) -> Option<Self> {
        match (class, text) {
            (_, "") => None,
            (_, "concurrency") => Some(Self::Concurrency),
            (_, "rps") => Some(Self::RequestsPerSecond),
            (AutoscalerClass::Kpa, _) => None,
            (AutoscalerClass::Hpa | AutoscalerClass::Foreign(_), other) => Some(Self::Other(other.to_owned())),
        }
    }

    fn default_of(class: &AutoscalerClass) -> Self {
        match class {
            AutoscalerClass::Kpa | AutoscalerClass::Foreign(_) => Self::Concurrency,
            AutoscalerClass::Hpa => Self::Other("cpu".to_owned()),
        }
    }
}

/// How a window makes one number out of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// The average.
    #[default]
    Linear,
    /// The average, with more weight on what is newer.
    WeightedExponential,
}

impl Aggregation {
    /// The way that a value of the annotation names.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "linear" => Some(Self::Linear),
            "weighted-exponential" | "weightedExponential" => Some(Self::WeightedExponential),
            _ => None,
        }
    }
}

/// How a Revision scales: its annotations over the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoscalingSettings {
    /// Which autoscaler decides.
    pub class: AutoscalerClass,
    /// What is measured.
    pub metric: Metric,
    /// How much of it one instance is to have, when the annotation says so; 0.01 or more.
    pub target: Option<f64>,
    /// How much of it one instance is to have when neither the annotation nor `containerConcurrency` says so.
    pub default_target: f64,
    /// Which part of the target is aimed at, above 0 and at most 1.
    pub target_utilization: f64,
    /// The burst that is to find room at once: 0 or more, or -1 for any.
    pub target_burst_capacity: f64,
    /// The stable window, whole seconds.
    pub stable_window: Duration,
    /// The panic window, in percent of the stable window: 1 to 100.
    pub panic_window_percentage: f64,
    /// The demand at which panic begins, in percent of what the ready instances can do: 110 to 1000.
    pub panic_threshold_percentage: f64,
    /// So many times as many instances at most in one decision, above 1.
    pub max_scale_up_rate: f64,
    /// So many times fewer instances at most in one decision, above 1.
    pub max_scale_down_rate: f64,
    /// The fewest instances.
    pub min_scale: u32,
    /// The most instances; `None` sets no limit.
    pub max_scale: Option<u32>,
    /// How many instances must come up before a new Revision is Ready.
    pub initial_scale: u32,
    /// The fewest instances when there are any; 1 or more.
    pub activation_scale: u32,
    /// How long demand must be lower before there are fewer instances, whole seconds.
    pub scale_down_delay: Duration,
    /// Whether there may be none at all.
    pub enable_scale_to_zero: bool,
    /// How long the last instance is kept once it is not needed.
    pub scale_to_zero_grace_period: Duration,
    /// The shortest time that the last instance is kept.
    pub scale_to_zero_pod_retention_period: Duration,
    /// How a window makes one number out of many.
    pub aggregation: Aggregation,
}

impl AutoscalingSettings {
    /// Reads the annotations of a Revision over the defaults. A value that validation would have refused counts as
    /// missing.
    #[must_use]
    pub fn of(annotations: &BTreeMap<String, String>, defaults: &AutoscalingDefaults) -> Self {
        let value = |key: ScalingKey| key.value(annotations);
        let number = |key, range: rules::Range| value(key).and_then(|text| range.read(text));
        let scale = |key| value(key).and_then(rules::scale);
        let class = value(CLASS).and_then(AutoscalerClass::of).unwrap_or_else(|| defaults.class.clone());
        let metric = value(METRIC).and_then(|text| Metric::of(&class, text));
        let metric = metric.unwrap_or_else(|| Metric::default_of(&class));
        let min_scale = scale(MIN_SCALE).unwrap_or(defaults.min_scale);
        let limit = |scale: u32| (scale > 0).then_some(scale);
        Self {
            target: number(TARGET, rules::TARGETS),
            default_target: match metric {
                Metric::RequestsPerSecond => defaults.requests_per_second_target,
                Metric::Concurrency | Metric::Other(_) => defaults.container_concurrency_target,
            },
            target_utilization: number(TARGET_UTILIZATION, rules::PERCENTAGES)
                .map_or_else(|| defaults.target_utilization(), |percentage| percentage / 100.0),
            target_burst_capacity: value(TARGET_BURST_CAPACITY)
                .and_then(rules::burst_capacity)
                .unwrap_or(defaults.target_burst_capacity),
            stable_window: value(WINDOW).and_then(rules::window).unwrap_or(defaults.stable_window),
            panic_window_percentage: number(PANIC_WINDOW, rules::PERCENTAGES)
                .unwrap_or(defaults.panic_window_percentage),
            panic_threshold_percentage: number(PANIC_THRESHOLD, rules::THRESHOLDS)
                .unwrap_or(defaults.panic_threshold_percentage),
            max_scale_up_rate: defaults.max_scale_up_rate,
            max_scale_down_rate: defaults.max_scale_down_rate,
            min_scale,
            max_scale: scale(MAX_SCALE).map_or_else(|| limit(defaults.max_scale), limit),
            initial_scale: scale(INITIAL_SCALE).unwrap_or(defaults.initial_scale),
            activation_scale: scale(ACTIVATION_SCALE).unwrap_or(1).max(1),
            scale_down_delay: value(SCALE_DOWN_DELAY)
                .and_then(whole_seconds)
                .filter(|delay| *delay <= rules::MAX_DELAY)
                .unwrap_or(defaults.scale_down_delay),
            enable_scale_to_zero: defaults.enable_scale_to_zero,
            scale_to_zero_grace_period: defaults.scale_to_zero_grace_period,
            scale_to_zero_pod_retention_period: value(RETENTION)
                .and_then(rules::retention)
                .unwrap_or(defaults.scale_to_zero_pod_retention_period),
            aggregation: value(AGGREGATION).and_then(Aggregation::of).unwrap_or_default(),
            class,
            metric,
        }
    }
}

#[cfg(test)]
mod tests;
