use proptest::prelude::*;

use super::*;
use crate::field_error::FieldErrors;

fn annotated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect()
}

fn errors_within(pairs: &[(&str, &str)], defaults: &AutoscalingDefaults) -> Vec<String> {
    let mut errors = FieldErrors::new();
    validate(&annotated(pairs), defaults, "metadata", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn errors_of(pairs: &[(&str, &str)]) -> Vec<String> {
    errors_within(pairs, &AutoscalingDefaults::default())
}

/// Knative Serving, `annotation_validation.go`: each annotation at its bounds, under each of its names.
#[test]
fn values_are_taken_to_the_bound() {
    let rows: [(&[(&str, &str)], &str); 42] = [
        (&[("class", "kpa.autoscaling.knative.dev")], ""),
        (&[("class", "hpa.autoscaling.knative.dev")], ""),
        (&[("class", "keda.autoscaling.example.com")], "a foreign class"),
        (&[("metric", "concurrency")], ""),
        (&[("metric", "rps")], ""),
        (&[("class", "hpa.autoscaling.knative.dev"), ("metric", "memory")], ""),
        (&[("class", "hpa.autoscaling.knative.dev"), ("metric", "my-metric")], ""),
        (&[("target", "0.01")], "lowest"),
        (&[("target", "1e6")], ""),
        (&[("target-utilization-percentage", "1")], "lowest"),
        (&[("target-utilization-percentage", "100")], "highest"),
        (&[("targetUtilizationPercentage", "70.5")], "alias"),
        (&[("target-burst-capacity", "0")], "lowest"),
        (&[("target-burst-capacity", "-1")], "without a bound"),
        (&[("targetBurstCapacity", "0.5")], "alias"),
        (&[("window", "6s")], "lowest"),
        (&[("window", "1h")], "highest"),
        (&[("panic-window-percentage", "1")], "lowest"),
        (&[("panic-window-percentage", "100")], "highest"),
        (&[("panicWindowPercentage", "10")], "alias"),
        (&[("panic-threshold-percentage", "110")], "lowest"),
        (&[("panic-threshold-percentage", "1000")], "highest"),
        (&[("panicThresholdPercentage", "200")], "alias"),
        (&[("min-scale", "0")], "lowest"),
        (&[("min-scale", "2147483647")], "highest"),
        (&[("minScale", "1")], "alias"),
        (&[("max-scale", "0")], "no limit"),
        (&[("maxScale", "2147483647")], "alias"),
        (&[("min-scale", "5"), ("max-scale", "5")], "equal"),
        (&[("min-scale", "5"), ("max-scale", "0")], "no limit"),
        (&[("initial-scale", "1")], "lowest"),
        (&[("initialScale", "2147483647")], "alias"),
        (&[("activation-scale", "2")], "lowest"),
        (&[("activationScale", "5"), ("min-scale", "5"), ("max-scale", "5")], "alias; equal"),
        (&[("scale-down-delay", "0s")], "lowest"),
        (&[("scaleDownDelay", "1h")], "alias; highest"),
        (&[("scale-to-zero-pod-retention-period", "0s")], "lowest"),
        (&[("scaleToZeroPodRetentionPeriod", "1h")], "alias; highest"),
        (&[("scale-to-zero-pod-retention-period", "1.5s")], "no whole seconds"),
        (&[("metric-aggregation-algorithm", "weighted-exponential")], ""),
        (&[("metricAggregationAlgorithm", "weightedExponential")], "alias"),
        (&[("class", "x.example.com"), ("metric-aggregation-algorithm", "median")], "a foreign class"),
    ];
    for (pairs, why) in rows {
        assert_eq!(errors_of(pairs), Vec::<String>::new(), "{pairs:?} {why}");
    }
    let twice = [("min-scale", "1"), ("minScale", "1")];
    assert_eq!(errors_of(&twice), Vec::<String>::new(), "the same under two names");
}

/// Knative Serving, `annotation_validation.go`: each annotation one past its bounds.
#[test]
fn values_are_refused_one_past_the_bound() {
    let class = "expected kpa.autoscaling.knative.dev or hpa.autoscaling.knative.dev";
    let percentage = "expected a number from 1 to 100";
    let threshold = "expected a number from 110 to 1000";
    let scale = "expected a whole number from 0 to 2147483647";
    let activation = "expected a whole number from 2 to 2147483647";
    let window = "expected a duration from 6s to 1h in whole seconds";
    let delay = "expected a duration from 0s to 1h in whole seconds";
    let rows = [
        ("class", "", class),
        ("class", "vpa.autoscaling.knative.dev", class),
        ("metric", "cpu", "expected concurrency or rps"),
        ("metric", "", "expected concurrency or rps"),
        ("target", "0.009", "expected a number of 0.01 or more"),
        ("target", "-1", "expected a number of 0.01 or more"),
        ("target", "inf", "expected a number of 0.01 or more"),
        ("target", "NaN", "expected a number of 0.01 or more"),
        ("target", "ten", "expected a number of 0.01 or more"),
        ("target-utilization-percentage", "0.99", percentage),
        ("target-utilization-percentage", "100.01", percentage),
        ("target-burst-capacity", "-0.5", "expected a number of 0 or more, or -1"),
        ("target-burst-capacity", "-2", "expected a number of 0 or more, or -1"),
        ("target-burst-capacity", "inf", "expected a number of 0 or more, or -1"),
        ("window", "5s", window),
        ("window", "5.999s", window),
        ("window", "6.5s", window),
        ("window", "1h1s", window),
        ("window", "60", window),
        ("panic-window-percentage", "0.99", percentage),
        ("panic-window-percentage", "100.01", percentage),
        ("panic-threshold-percentage", "109.9", threshold),
        ("panic-threshold-percentage", "1000.1", threshold),
        ("min-scale", "-1", scale),
        ("min-scale", "2147483648", scale),
        ("min-scale", "1.5", scale),
        ("min-scale", "+1", scale),
        ("min-scale", "", scale),
        ("max-scale", "-1", scale),
        ("max-scale", "2147483648", scale),
        ("initial-scale", "-1", scale),
        ("initial-scale", "0", "expected 1 or more, as allow-zero-initial-scale is false"),
        ("activation-scale", "1", activation),
        ("activation-scale", "2147483648", activation),
        ("scale-down-delay", "-1s", delay),
        ("scale-down-delay", "1h1s", delay),
        ("scale-down-delay", "1.5s", delay),
        ("scale-to-zero-pod-retention-period", "-1s", "expected a duration from 0s to 1h"),
        ("scale-to-zero-pod-retention-period", "1h1ns", "expected a duration from 0s to 1h"),
        ("metric-aggregation-algorithm", "median", "expected linear or weighted-exponential"),
    ];
    for (name, value, why) in rows {
        let want = format!("invalid value: {value}: metadata.annotations[{PREFIX}{name}]\n{why}");
        assert_eq!(errors_of(&[(name, value)]), [want], "{name}={value}");
    }
}

#[test]
fn annotations_that_contradict_each_other_are_refused() {
    let at = |name: &str| format!("metadata.annotations[{PREFIX}{name}]");
    let rows: [(&[(&str, &str)], String); 5] = [
        (
            &[("minScale", "5"), ("max-scale", "4")],
            format!("max-scale=4 is less than min-scale=5: {}, {}", at("max-scale"), at("minScale")),
        ),
        (
            &[("activation-scale", "4"), ("min-scale", "5")],
            format!("invalid value: 4: {}\nexpected min-scale, 5, or more", at("activation-scale")),
        ),
        (
            &[("activation-scale", "4"), ("max-scale", "3")],
            format!("invalid value: 4: {}\nexpected at most max-scale, 3", at("activation-scale")),
        ),
        (
            &[("min-scale", "1"), ("minScale", "2")],
            format!("expected exactly one, got both: {}, {}", at("min-scale"), at("minScale")),
        ),
        (
            &[("class", "hpa.autoscaling.knative.dev"), ("metric", "")],
            format!("invalid value: : {}\nexpected the name of a metric", at("metric")),
        ),
    ];
    for (pairs, want) in rows {
        assert_eq!(errors_of(pairs), [want], "{pairs:?}");
    }
}

#[test]
fn an_annotation_that_is_not_known_is_named() {
    let errors = errors_of(&[("maxscale", "1")]);
    assert_eq!(errors.len(), 1);
    let start = format!(
        "invalid key name \"{PREFIX}maxscale\": metadata.annotations[{PREFIX}maxscale]\nknown here: class, metric, target,"
    );
    assert!(errors[0].starts_with(&start), "{errors:?}");
}

/// Knative Serving, `config-autoscaler`: `max-scale-limit` and `allow-zero-initial-scale`.
#[test]
fn an_administrator_sets_how_far_a_scale_may_go() {
    let defaults =
        AutoscalingDefaults { max_scale: 5, max_scale_limit: 10, allow_zero_initial_scale: true, ..Default::default() };
    for (pairs, want) in [
        ([("max-scale", "10")], None),
        ([("max-scale", "1")], None),
        ([("max-scale", "11")], Some("expected 1 <= 11 <= 10")),
        ([("max-scale", "0")], Some("expected 1 <= 0 <= 10")),
        ([("initial-scale", "0")], None),
    ] {
        let want: Vec<String> = want.iter().map(|w| format!("{w}: metadata.annotations[{PREFIX}max-scale]")).collect();
        assert_eq!(errors_within(&pairs, &defaults), want, "{pairs:?}");
    }
}

/// Knative Serving, `config-autoscaler`, the defaults.
#[test]
fn what_no_annotation_says_is_default() {
    let settings = AutoscalingSettings::of(&BTreeMap::new(), &AutoscalingDefaults::default());
    let want = AutoscalingSettings {
        class: AutoscalerClass::Kpa,
        metric: Metric::Concurrency,
        target: None,
        default_target: 100.0,
        target_utilization: 0.7,
        target_burst_capacity: 211.0,
        stable_window: Duration::from_secs(60),
        panic_window_percentage: 10.0,
        panic_threshold_percentage: 200.0,
        max_scale_up_rate: 1000.0,
        max_scale_down_rate: 2.0,
        min_scale: 0,
        max_scale: None,
        initial_scale: 1,
        activation_scale: 1,
        scale_down_delay: Duration::ZERO,
        enable_scale_to_zero: true,
        scale_to_zero_grace_period: Duration::from_secs(30),
        scale_to_zero_pod_retention_period: Duration::ZERO,
        aggregation: Aggregation::Linear,
    };
    assert_eq!(settings, want);
    assert_eq!(AutoscalingDefaults::default().validate(), Ok(()));
}

#[test]
fn each_annotation_counts_before_the_default() {
    let defaults = AutoscalingDefaults { min_scale: 1, max_scale: 9, initial_scale: 2, ..Default::default() };
    let settings = |pairs: &[(&str, &str)]| AutoscalingSettings::of(&annotated(pairs), &defaults);
    let default = settings(&[]);
    assert_eq!((default.min_scale, default.max_scale, default.initial_scale), (1, Some(9), 2));
    let seconds = Duration::from_secs;
    let cpu = Metric::Other("cpu".into());
    let hpa = AutoscalerClass::Hpa;
    let rps = Metric::RequestsPerSecond;
    let base = || default.clone();
    let rows: [((&str, &str), AutoscalingSettings); 18] = [
        (("class", "hpa.autoscaling.knative.dev"), AutoscalingSettings { class: hpa, metric: cpu, ..base() }),
        (("metric", "rps"), AutoscalingSettings { metric: rps, default_target: 200.0, ..base() }),
        (("target", "50"), AutoscalingSettings { target: Some(50.0), ..base() }),
        (("target-utilization-percentage", "80"), AutoscalingSettings { target_utilization: 0.8, ..base() }),
        (("target-burst-capacity", "-1"), AutoscalingSettings { target_burst_capacity: -1.0, ..base() }),
        (("window", "2m"), AutoscalingSettings { stable_window: seconds(120), ..base() }),
        (("panic-window-percentage", "20"), AutoscalingSettings { panic_window_percentage: 20.0, ..base() }),
        (("panic-threshold-percentage", "150"), AutoscalingSettings { panic_threshold_percentage: 150.0, ..base() }),
        (("min-scale", "3"), AutoscalingSettings { min_scale: 3, ..base() }),
        (("minScale", "3"), AutoscalingSettings { min_scale: 3, ..base() }),
        (("max-scale", "4"), AutoscalingSettings { max_scale: Some(4), ..base() }),
        (("max-scale", "0"), AutoscalingSettings { max_scale: None, ..base() }),
        (("initial-scale", "3"), AutoscalingSettings { initial_scale: 3, ..base() }),
        (("activation-scale", "3"), AutoscalingSettings { activation_scale: 3, ..base() }),
        (("scale-down-delay", "15m"), AutoscalingSettings { scale_down_delay: seconds(900), ..base() }),
        (
            ("scale-to-zero-pod-retention-period", "5m"),
            AutoscalingSettings { scale_to_zero_pod_retention_period: seconds(300), ..base() },
        ),
        (
            ("metric-aggregation-algorithm", "weighted-exponential"),
            AutoscalingSettings { aggregation: Aggregation::WeightedExponential, ..base() },
        ),
        (("min-scale", "many"), base()),
    ];
    for (pair, want) in rows {
        assert_eq!(settings(&[pair]), want, "{pair:?}");
    }
}

/// Knative Serving, `config-autoscaler`: each key at its bounds and past them.
#[test]
fn what_an_administrator_writes_is_checked() {
    let base = AutoscalingDefaults::default;
    let hour = Duration::from_secs(3600);
    let good = [
        AutoscalingDefaults { container_concurrency_target_percentage: 100.0, ..base() },
        AutoscalingDefaults { container_concurrency_target_percentage: 0.7, ..base() },
        AutoscalingDefaults { requests_per_second_target: 0.01, ..base() },
        AutoscalingDefaults { target_burst_capacity: -1.0, ..base() },
        AutoscalingDefaults { target_burst_capacity: 0.0, ..base() },
        AutoscalingDefaults { stable_window: Duration::from_secs(6), ..base() },
        AutoscalingDefaults { stable_window: hour, ..base() },
        AutoscalingDefaults { panic_window_percentage: 1.0, ..base() },
        AutoscalingDefaults { max_scale_up_rate: 1.01, ..base() },
        AutoscalingDefaults { initial_scale: 0, allow_zero_initial_scale: true, ..base() },
        AutoscalingDefaults { min_scale: 2, max_scale: 2, ..base() },
        AutoscalingDefaults { max_scale: 1, max_scale_limit: 1, ..base() },
    ];
    for defaults in good {
        assert_eq!(defaults.validate(), Ok(()), "{defaults:?}");
    }
    let bad = [
        (
            AutoscalingDefaults { container_concurrency_target_percentage: 0.0, ..base() },
            "container-concurrency-target-percentage",
        ),
        (
            AutoscalingDefaults { container_concurrency_target_percentage: 100.1, ..base() },
            "container-concurrency-target-percentage",
        ),
        (AutoscalingDefaults { container_concurrency_target: 0.01, ..base() }, "container-concurrency-target-default"),
        (AutoscalingDefaults { requests_per_second_target: 0.009, ..base() }, "requests-per-second-target-default"),
        (AutoscalingDefaults { target_burst_capacity: -2.0, ..base() }, "target-burst-capacity"),
        (AutoscalingDefaults { stable_window: Duration::from_secs(5), ..base() }, "stable-window"),
        (AutoscalingDefaults { stable_window: hour + Duration::from_secs(1), ..base() }, "stable-window"),
        (AutoscalingDefaults { stable_window: Duration::from_millis(6_500), ..base() }, "stable-window"),
        (AutoscalingDefaults { panic_window_percentage: 0.9, ..base() }, "panic-window-percentage"),
        (AutoscalingDefaults { panic_threshold_percentage: 109.0, ..base() }, "panic-threshold-percentage"),
        (AutoscalingDefaults { max_scale_up_rate: 1.0, ..base() }, "max-scale-up-rate"),
        (AutoscalingDefaults { max_scale_down_rate: f64::NAN, ..base() }, "max-scale-down-rate"),
        (AutoscalingDefaults { scale_to_zero_grace_period: Duration::ZERO, ..base() }, "scale-to-zero-grace-period"),
        (AutoscalingDefaults { scale_down_delay: Duration::from_millis(1), ..base() }, "scale-down-delay"),
        (AutoscalingDefaults { initial_scale: 0, ..base() }, "initial-scale"),
        (AutoscalingDefaults { min_scale: 3, max_scale: 2, ..base() }, "min-scale"),
        (AutoscalingDefaults { max_scale: 0, max_scale_limit: 5, ..base() }, "max-scale"),
        (AutoscalingDefaults { max_scale: 6, max_scale_limit: 5, ..base() }, "max-scale"),
    ];
    for (defaults, key) in bad {
        let errors = defaults.validate().expect_err(key);
        assert_eq!(errors.iter().flat_map(|error| error.paths.clone()).collect::<Vec<_>>(), [key], "{errors}");
    }
}

#[test]
fn the_table_of_the_module_names_every_annotation() {
    let text = include_str!("../autoscaling.rs");
    for key in rules::names() {
        assert!(text.contains(&format!("| `{}` |", key.name)), "{} is not documented", key.name);
        assert_eq!(key.annotation(), format!("autoscaling.knative.dev/{}", key.name));
    }
}

proptest! {
    #[test] // Whatever stands there, the settings are within their bounds.
    fn settings_are_always_within_bounds(values in proptest::collection::vec("[-+.0-9a-z]{0,6}", 15)) {
        let names = rules::names();
        let pairs: Vec<_> = names.iter().map(|key| key.name).zip(values.iter().map(String::as_str)).collect();
        let settings = AutoscalingSettings::of(&annotated(&pairs), &AutoscalingDefaults::default());
        let _ = errors_of(&pairs);
        prop_assert!(settings.target.is_none_or(|target| target >= 0.01 && target.is_finite()));
        prop_assert!(settings.target_utilization > 0.0 && settings.target_utilization <= 1.0);
        prop_assert!(rules::is_window(settings.stable_window));
        prop_assert!(settings.activation_scale >= 1 && settings.max_scale != Some(0));
        prop_assert!(settings.scale_down_delay <= rules::MAX_DELAY);
        prop_assert!(settings.scale_to_zero_pod_retention_period <= rules::MAX_DELAY);
    }
}
